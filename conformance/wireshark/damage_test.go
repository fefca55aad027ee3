// SPDX-License-Identifier: Apache-2.0

package wireshark_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/pcapgo"

	"github.com/ibnbd/ibnbd/reference/roce"
)

// frame is a frame of a capture as it is in the file.
type frame struct {
	info gopacket.CaptureInfo
	data []byte
}

// damaged writes a copy of a capture that change has had its way with, and returns its name.
func damaged(t *testing.T, capture string, change func([]frame) []frame) string {
	t.Helper()
	in, err := os.Open(capture)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	reader, err := pcapgo.NewReader(in)
	if err != nil {
		t.Fatal(err)
	}
	var frames []frame
	for {
		data, info, err := reader.ReadPacketData()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		frames = append(frames, frame{info, data})
	}

	name := filepath.Join(t.TempDir(), "damaged.pcap")
	out, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	writer := pcapgo.NewWriter(out)
	if err := writer.WriteFileHeader(65536, reader.LinkType()); err != nil {
		t.Fatal(err)
	}
	for _, f := range change(frames) {
		if err := writer.WritePacket(f.info, f.data); err != nil {
			t.Fatal(err)
		}
	}
	return name
}

// find returns the index of the first frame for which is holds.
func find(t *testing.T, frames []frame, what string, is func(*roce.Packet) bool) int {
	t.Helper()
	for i, f := range frames {
		var p roce.Packet
		if p.Decode(f.data) == nil && is(&p) {
			return i
		}
	}
	t.Fatalf("no %s in the capture", what)
	return 0
}

const rail0 = captures + "rnbd-mainline-rail0.pcap"

var ioFields = []string{"ibnbd.op", "ibnbd.sector", "ibnbd.size"}

// A capture that begins behind the set-up still shows the requests, and says what it cannot know.
func TestCaptureBeginsInTheMiddle(t *testing.T) {
	const cut = 60
	file := damaged(t, rail0, func(f []frame) []frame { return f[cut:] })
	whole := dissect(t, rail0, ioFields)
	got := dissect(t, file, ioFields)
	checked := 0
	for number, want := range whole {
		if number <= cut {
			continue
		}
		if diff := cmp.Diff(want, got[number-cut]); diff != "" {
			t.Errorf("frame %d (-whole +cut):\n%s", number, diff)
		}
		checked++
	}
	if checked < 20 {
		t.Errorf("only %d requests behind the cut", checked)
	}
	if out := tshark(t, file, "-Y", "ibtrs.guessed and ibnbd.op and (ibtrs.chunk or not ibtrs.unknown)"); out != "" {
		t.Errorf("requests with a chunk number that nobody can know:\n%s", out)
	}
}

// A lost segment costs the message it belongs to, and no other.
func TestLostSegment(t *testing.T) {
	var lost int
	file := damaged(t, rail0, func(f []frame) []frame {
		lost = find(t, f, "middle of a write request", func(p *roce.Packet) bool {
			return p.BTH.OpCode == roce.RCWriteMiddle && p.Dst.String() == "10.0.0.1"
		})
		return slices.Delete(f, lost, lost+1)
	})
	whole, got := dissect(t, rail0, ioFields), dissect(t, file, ioFields)
	missing := 0
	for number, want := range whole {
		if number > lost {
			number--
		}
		switch diff := cmp.Diff(want, got[number]); {
		case diff == "":
		case got[number] == nil && number > lost && number < lost+5:
			missing++
		default:
			t.Errorf("frame %d (-whole +damaged):\n%s", number, diff)
		}
	}
	if missing != 1 {
		t.Errorf("%d requests are missing, want the one with the lost segment", missing)
	}
	if out := tshark(t, file, "-Y", fmt.Sprintf("ibtrs.unknown and frame.number > %d and frame.number < %d", lost, lost+5)); out == "" {
		t.Error("nothing says that a message is incomplete")
	}
}

// A repeated request is shown, marked, and not taken for another one.
func TestRetransmission(t *testing.T) {
	var again int
	file := damaged(t, rail0, func(f []frame) []frame {
		again = find(t, f, "request of one packet", func(p *roce.Packet) bool {
			return p.BTH.OpCode == roce.RCWriteOnlyImm && p.Dst.String() == "10.0.0.1"
		})
		return slices.Insert(f, again+1, f[again])
	})
	fields := []string{"ibtrs.retransmission", "ibtrs.chunk"}
	var marked []int
	for number, r := range dissectText(t, file, fields) {
		if r["ibtrs.retransmission"] != "" {
			marked = append(marked, number)
		}
	}
	if !slices.Equal(marked, []int{again + 2}) {
		t.Errorf("frames marked as repeated: %v, want %d", marked, again+2)
	}
}

// Reserved bytes that a sender did not clear get a remark, those of mainline do not.
func TestReservedBytesGetARemark(t *testing.T) {
	if out := tshark(t, rail0, "-Y", "ibtrs.reserved_set or ibnbd.reserved_set"); out != "" {
		t.Errorf("remarks on a capture without reserved bytes set:\n%s", out)
	}
	file := damaged(t, rail0, func(f []frame) []frame {
		request := find(t, f, "connection request", func(p *roce.Packet) bool { return p.IsMAD() })
		const reserved = 14 + 20 + 8 + roce.BTHLen + roce.DETHLen + 164 + roce.IPCMLen + 45
		f[request].data[reserved] = 1
		return f
	})
	if out := tshark(t, file, "-Y", "ibtrs.reserved_set", "-T", "fields", "-e", "ibtrs.conn_request.cid"); out != "0\n" {
		t.Errorf("requests with a remark: %q, want that of connection 0", out)
	}
}

// A frame that the snap length cut is left alone, for what it carries is not all there.
func TestCutFrames(t *testing.T) {
	file := damaged(t, rail0, func(f []frame) []frame {
		for i := range f {
			f[i].data = f[i].data[:min(len(f[i].data), 100)]
			f[i].info.CaptureLength = len(f[i].data)
		}
		return f
	})
	if out := tshark(t, file, "-Y", "frame.cap_len < frame.len and (ibnbd or ibtrs or srp_rdma)"); out != "" {
		t.Errorf("messages found in frames cut at 100 bytes:\n%s", out)
	}
	if out := tshark(t, file, "-Y", "ibnbd.close"); out == "" {
		t.Error("nothing found in frames shorter than 100 bytes")
	}
}

// The same traffic over IPv6 shows the same.
func TestIPv6(t *testing.T) {
	file := damaged(t, rail0, func(f []frame) []frame {
		for i := range f {
			var p roce.Packet
			if p.Decode(f[i].data) != nil {
				continue
			}
			p.Src, p.Dst = toIPv6(p.Src), toIPv6(p.Dst)
			data, err := p.AppendFrame(nil)
			if err != nil {
				t.Fatal(err)
			}
			f[i].data = data
			f[i].info.CaptureLength, f[i].info.Length = len(data), len(data)
		}
		return f
	})
	want := decode(t, rail0).rows
	if diff := cmp.Diff(want, dissect(t, file, fieldsOf(want))); diff != "" {
		t.Error("by frame (-IPv4 +IPv6):\n" + diff)
	}
}

func toIPv6(a netip.Addr) netip.Addr {
	four := a.As4()
	return netip.AddrFrom16([16]byte{0xfd, 12: four[0], 13: four[1], 14: four[2], 15: four[3]})
}

// The folder works as Wireshark loads it from its place for plugins, file by file.
func TestAsPlugin(t *testing.T) {
	program, err := exec.LookPath("tshark")
	if err != nil {
		t.Skip("tshark is not installed: the dissector cannot be run")
	}
	home := t.TempDir()
	plugins := filepath.Join(home, ".local/lib/wireshark/plugins/ibnbd")
	if err := os.CopyFS(plugins, os.DirFS("ibnbd")); err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), program, "-r", rail0, "-Y", "ibnbd.close", "-T", "fields", "-e", "ibnbd.close.device_id")
	command.Env = append(os.Environ(), "HOME="+home, "XDG_CONFIG_HOME="+home)
	var complaints bytes.Buffer
	command.Stderr = &complaints
	out, err := command.Output()
	if err != nil || string(out) != "0\n1\n0\n" || strings.Contains(complaints.String(), "Lua") {
		t.Errorf("output %q (%v)\n%s", out, err, complaints.String())
	}
}
