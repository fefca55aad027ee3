// SPDX-License-Identifier: Apache-2.0

package fabric_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ibnbd/ibnbd/reference/roce"
	"github.com/ibnbd/ibnbd/vm/fabric"
)

// frameSizes are nearly an acknowledge, a full packet at path MTU 1024 and one at 4096, in bytes.
var frameSizes = []int{64, 1100, 4200}

// BenchmarkForward sends frames through real Unix sockets: one guest writes as QEMU does, a system call a frame, the other
// reads. It reports frames a second.
func BenchmarkForward(b *testing.B) {
	watchers := map[string]func(*testing.B, *fabric.Rail){
		"plain":     func(*testing.B, *fabric.Rail) {},
		"recording": startRecording,
		"fault":     injectIdleFault,
	}
	for _, size := range frameSizes {
		for _, name := range []string{"plain", "recording", "fault"} {
			b.Run(fmt.Sprintf("%s/%d", name, size), func(b *testing.B) {
				p := newPair(b)
				watchers[name](b, p.rail)
				p.stream(b, size)
			})
		}
	}
}

// BenchmarkDirect is the same without a fabric: the socket pair alone.
func BenchmarkDirect(b *testing.B) {
	for _, size := range frameSizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "wire")
			listener, err := net.Listen("unix", path)
			if err != nil {
				b.Fatal(err)
			}
			defer listener.Close()
			from, err := net.Dial("unix", path)
			if err != nil {
				b.Fatal(err)
			}
			to, err := listener.Accept()
			if err != nil {
				b.Fatal(err)
			}
			p := pair{a: &nic{b, mac(1), from}, b: &nic{b, mac(2), to}}
			p.stream(b, size)
		})
	}
}

func startRecording(b *testing.B, r *fabric.Rail) {
	rec, err := r.Record(filepath.Join(b.TempDir(), "rail0.pcapng"), "benchmark")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := rec.Close(); err != nil {
			b.Error(err)
		}
	})
}

// injectIdleFault has the rail decode every frame and find nothing to do.
func injectIdleFault(b *testing.B, r *fabric.Rail) {
	if _, err := r.Inject(fabric.Fault{Action: fabric.Drop{}, Match: fabric.Opcode(roce.CNP)}); err != nil {
		b.Fatal(err)
	}
}

// frameOf makes a RoCEv2 packet of a size, or a plain frame where the size has no room for one.
func frameOf(b *testing.B, to, from fabric.MAC, size int) []byte {
	const headers = 78
	if size < headers {
		return frameTo(to, from, strings.Repeat("x", size-fabric.MinFrame))
	}
	return packet(b, to, from, 1, 0, make([]byte, size-headers))
}

// window is how many frames may be on their way: a receiver that falls behind must not make the port overflow.
const window = 256

// stream sends b.N frames from a to b and waits for the last.
func (p *pair) stream(b *testing.B, size int) {
	data := frameOf(b, p.b.mac, p.a.mac, size)
	stream := append(binary.BigEndian.AppendUint32(nil, uint32(len(data))), data...)
	credits := make(chan struct{}, window)
	failed := make(chan error, 1)
	go func() {
		defer close(failed)
		for range b.N {
			credits <- struct{}{}
			if _, err := p.a.conn.Write(stream); err != nil {
				failed <- err
				return
			}
		}
	}()
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	b.ResetTimer()
	buffer := make([]byte, 1<<20)
	for received := 0; received < b.N*len(stream); {
		before := received / len(stream)
		n, err := p.b.conn.Read(buffer)
		if err != nil {
			b.Fatal(err)
		}
		received += n
		for range received/len(stream) - before {
			<-credits
		}
	}
	b.StopTimer()
	if err := <-failed; err != nil && err != io.EOF {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "frames/s")
}
