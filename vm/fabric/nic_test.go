// SPDX-License-Identifier: Apache-2.0

package fabric_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/ibnbd/ibnbd/reference/roce"
	"github.com/ibnbd/ibnbd/reference/roce/layer"
	"github.com/ibnbd/ibnbd/vm/fabric"
)

// patience ends a stuck test; nothing is measured with it.
const patience = 20 * time.Second

func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// newFabric makes a fabric that is closed with the test.
func newFabric(t testing.TB) *fabric.Fabric {
	t.Helper()
	dir, err := os.MkdirTemp("", "fabric")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	f, err := fabric.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

func addRail(t testing.TB, f *fabric.Fabric, name string) *fabric.Rail {
	t.Helper()
	r, err := f.AddRail(name)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func addPort(t testing.TB, r *fabric.Rail, name string) *fabric.Port {
	t.Helper()
	p, err := r.AddPort(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// nic is the guest's end of a port, as QEMU would hold it.
type nic struct {
	t    testing.TB
	mac  fabric.MAC
	conn net.Conn
}

// mac makes the address of the n-th station of a test.
func mac(n byte) fabric.MAC { return fabric.MAC{0x52, 0x54, 0, 0, 0, n} }

var broadcast = fabric.MAC{0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}

// plugIn connects a NIC to a port and returns when the port has it.
func plugIn(t testing.TB, f *fabric.Fabric, p *fabric.Port, n byte) *nic {
	t.Helper()
	_, since := f.Events(0)
	conn, err := net.Dial("unix", p.Path())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	waitEvent(t, f, since, fabric.Connected, p.Name())
	return &nic{t, mac(n), conn}
}

// waitEvent returns once the fabric has told an event of that kind whose detail begins as given.
func waitEvent(t testing.TB, f *fabric.Fabric, since uint64, kind fabric.EventKind, detail string) fabric.Event {
	t.Helper()
	ctx := within(t, patience)
	for {
		events, next := f.Events(since)
		for _, e := range events {
			if e.Kind == kind && len(e.Detail) >= len(detail) && e.Detail[:len(detail)] == detail {
				return e
			}
		}
		since = next
		select {
		case <-ctx.Done():
			t.Fatalf("no event %s of %q", kind, detail)
		case <-time.After(time.Millisecond):
		}
	}
}

// pair is the usual rail: two guests that have met.
type pair struct {
	fabric *fabric.Fabric
	rail   *fabric.Rail
	a, b   *nic
	pa, pb *fabric.Port
}

func newPair(t testing.TB) *pair {
	t.Helper()
	f := newFabric(t)
	r := addRail(t, f, "rail0")
	p := &pair{fabric: f, rail: r, pa: addPort(t, r, "alpha"), pb: addPort(t, r, "beta")}
	p.a, p.b = plugIn(t, f, p.pa, 1), plugIn(t, f, p.pb, 2)
	p.a.send(frame(p.b, p.a, "hello"))
	p.b.expect("hello")
	p.b.send(frame(p.a, p.b, "hello"))
	p.a.expect("hello")
	return p
}

// frame makes an Ethernet frame of a type for experiments with a text in it.
func frame(to, from *nic, text string) []byte {
	return frameTo(to.mac, from.mac, text)
}

func frameTo(to, from fabric.MAC, text string) []byte {
	data := append(append(to[:], from[:]...), 0x88, 0xB5)
	return append(data, text...)
}

func (n *nic) send(frames ...[]byte) {
	n.t.Helper()
	var stream []byte
	for _, data := range frames {
		stream = binary.BigEndian.AppendUint32(stream, uint32(len(data)))
		stream = append(stream, data...)
	}
	if _, err := n.conn.Write(stream); err != nil {
		n.t.Fatal(err)
	}
}

func (n *nic) receive() ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(n.conn, length[:]); err != nil {
		return nil, err
	}
	data := make([]byte, binary.BigEndian.Uint32(length[:]))
	_, err := io.ReadFull(n.conn, data)
	return data, err
}

// expect receives frames and compares their texts, in order.
func (n *nic) expect(texts ...string) {
	n.t.Helper()
	_ = n.conn.SetReadDeadline(time.Now().Add(patience))
	for _, want := range texts {
		data, err := n.receive()
		if err != nil {
			n.t.Fatalf("instead of the frame %q: %v", want, err)
		}
		if got := string(data[14:]); got != want {
			n.t.Fatalf("the frame holds %q, want %q", got, want)
		}
	}
}

// expectOnlyFrom says that nothing came up to now: a last frame from a station that waits for nobody is the next to come.
func (n *nic) expectOnlyFrom(sentinel *nic) {
	n.t.Helper()
	sentinel.send(frame(n, sentinel, "sentinel"))
	n.expect("sentinel")
}

// expectEnd says that the other side closed the connection.
func (n *nic) expectEnd() {
	n.t.Helper()
	_ = n.conn.SetReadDeadline(time.Now().Add(patience))
	if _, err := n.receive(); !errors.Is(err, io.EOF) {
		n.t.Fatalf("the connection goes on: %v", err)
	}
}

// packet makes a RoCEv2 frame, an RDMA WRITE with immediate of a payload, with a right ICRC.
func packet(t testing.TB, to, from fabric.MAC, psn roce.PSN, immediate uint32, payload []byte) []byte {
	t.Helper()
	ip := &layers.IPv4{
		Version: 4, IHL: 5, TTL: 64, Id: 7, Flags: layers.IPv4DontFragment, Protocol: layers.IPProtocolUDP,
		SrcIP: net.IP{10, 0, 0, from[5]}, DstIP: net.IP{10, 0, 0, to[5]},
	}
	udp := &layers.UDP{SrcPort: 50000, DstPort: roce.UDPPort}
	bth := layer.BTHOf(roce.BTH{OpCode: roce.RCWriteOnlyImm, PKey: roce.DefaultPKey, DestQP: 0x12, AckReq: true, PSN: psn})
	bth.SetHeadersForICRC(ip, udp)
	extension := make([]byte, roce.RETHLen)
	extension = binary.BigEndian.AppendUint32(extension, immediate)
	if err := udp.SetNetworkLayerForChecksum(ip); err != nil {
		t.Fatal(err)
	}
	buffer := gopacket.NewSerializeBuffer()
	options := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	ether := &layers.Ethernet{SrcMAC: from[:], DstMAC: to[:], EthernetType: layers.EthernetTypeIPv4}
	err := gopacket.SerializeLayers(buffer, options, ether, ip, udp, bth, gopacket.Payload(append(extension, payload...)))
	if err != nil {
		t.Fatal(err)
	}
	return buffer.Bytes()
}

// checkICRC judges a frame that packet made.
func checkICRC(data []byte) roce.ICRCVerdict {
	return roce.CheckICRC(data[14:34], data[34:42], data[42:])
}
