// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	be "encoding/binary"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/reference/roce"
)

// frames reads the frames of a classic capture, and when each was captured.
func frames(t *testing.T, path string) (list [][]byte, at []time.Time) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	r, err := pcapgo.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	for {
		data, info, err := r.ReadPacketData()
		if err == io.EOF {
			return list, at
		}
		if err != nil {
			t.Fatal(err)
		}
		list, at = append(list, data), append(at, info.Timestamp)
	}
}

// capturing writes a classic capture: the first bytes of each frame, snap at most. Where no times are
// given, the frames come from one moment.
func capturing(t *testing.T, w io.Writer, snap int, list [][]byte, at []time.Time) {
	t.Helper()
	pcap := pcapgo.NewWriter(w)
	if err := pcap.WriteFileHeader(uint32(snap), layers.LinkTypeEthernet); err != nil {
		t.Fatal(err)
	}
	for i, data := range list {
		kept := data[:min(len(data), snap)]
		info := gopacket.CaptureInfo{Timestamp: time.Unix(1_600_000_000, 0), CaptureLength: len(kept), Length: len(data)}
		if i < len(at) {
			info.Timestamp = at[i]
		}
		if err := pcap.WritePacket(info, kept); err != nil {
			t.Fatal(err)
		}
	}
}

// pcapng makes a capture of the next generation with one interface of a link type.
func pcapng(t *testing.T, link layers.LinkType, list ...[]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := pcapgo.NewNgWriter(&b, link)
	if err != nil {
		t.Fatal(err)
	}
	for _, data := range list {
		if err := w.WritePacket(gopacket.CaptureInfo{Timestamp: time.Now(), CaptureLength: len(data), Length: len(data)}, data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// strange is a datagram of another protocol to port 4791.
func strange() []byte {
	frame := make([]byte, 60)
	frame[12] = 0x08                         // IPv4
	frame[14] = 0x45                         // header of 20 bytes
	be.BigEndian.PutUint16(frame[16:], 46)   // length of the packet
	frame[22], frame[23] = 64, 17            // UDP
	be.BigEndian.PutUint16(frame[36:], 4791) // port
	be.BigEndian.PutUint16(frame[38:], 26)   // length of the datagram
	copy(frame[42:], "not RoCE at all!")
	return frame
}

// TestAuditBadInput: whatever is wrong with a capture is said in a sentence, with the exit code that belongs to it.
func TestAuditBadInput(t *testing.T) {
	path := captures(t, "rnbd-mainline-rail0.pcap")[0]
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	list, at := frames(t, path)
	snapped := func(snap int, list [][]byte, at []time.Time) []byte {
		var b bytes.Buffer
		capturing(t, &b, snap, list, at)
		return b.Bytes()
	}
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	w.Write(whole)
	w.Close()
	ng := pcapng(t, layers.LinkTypeEthernet, list[:200]...)
	for _, test := range []struct {
		name   string
		data   []byte
		code   verdict.ExitCode
		stdout string
		stderr string
	}{
		{"ends in a record", whole[:len(whole)-7], verdict.ExitHolds, "0 are broken", "capture ends in the middle of a record, after frame 1522"},
		{"ends in a pcapng block", ng[:len(ng)-9], verdict.ExitHolds, "0 are broken", "capture ends in the middle of a record, after frame 199"},
		{"ends in the compressed stream", packed.Bytes()[:packed.Len()/2], verdict.ExitUsage, "0 are broken", "data compressed by gzip is cut off or damaged"},
		{"ends in the header", whole[:20], verdict.ExitUsage, "", "pcap header"},
		{"unknown link type of an interface", pcapng(t, layers.LinkTypeIEEE802_11, list[0]), verdict.ExitUsage, "", "link type 105 (802.11) is not Ethernet, raw IP, Linux cooked capture"},
		{"snap length that keeps connection management", snapped(400, list, at), verdict.ExitInconclusive, "applicable clauses judged; 948 frames are cut by the snap length: capture whole frames", ""},
		{"snap length behind the headers of data", snapped(80, list, at), verdict.ExitNothingRan, "nothing was judged; 1060 frames are cut by the snap length: capture whole frames", ""},
		{"snap length within the headers", snapped(48, list, at), verdict.ExitNothingRan, "frames are cut by the snap length: capture whole frames", ""},
		{"foreign datagrams on the port", snapped(1500, [][]byte{strange(), strange()}, nil), verdict.ExitNothingRan, "2 foreign or malformed on port 4791", ""},
		{"foreign datagrams between others", snapped(1500, append([][]byte{strange()}, list...), append(at[:1:1], at...)), verdict.ExitHolds, "1 foreign or malformed on port 4791", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "bad.pcap")
			if err := os.WriteFile(file, test.data, 0o644); err != nil {
				t.Fatal(err)
			}
			got := command(t, "audit", file)
			if got.code != int(test.code) {
				t.Errorf("exit code %d, want %d; stderr %q\n%s", got.code, test.code, got.stderr, got.stdout)
			}
			if !strings.Contains(got.stdout, test.stdout) {
				t.Errorf("no %q in\n%s", test.stdout, got.stdout)
			}
			if !strings.Contains(got.stderr, test.stderr) || (test.stderr == "") != (got.stderr == "") {
				t.Errorf("stderr %q, want %q", got.stderr, test.stderr)
			}
			if strings.Contains(got.stderr, "goroutine") {
				t.Errorf("panic: %s", got.stderr)
			}
		})
	}
}

// TestAuditHalfOpenFlood: a million connections that are asked for and never made, each for a session of its own, are read
// in bounded memory, and the traffic behind them is judged.
func TestAuditHalfOpenFlood(t *testing.T) {
	const flood, mostKiB = 1_000_000, 256 << 10
	list, at := frames(t, captures(t, "rnbd-mainline-rail0.pcap")[0])
	cmd := exec.CommandContext(t.Context(), binary, "audit", "-")
	cmd.Dir = t.TempDir()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, 1)
	go func() { failed <- floodWith(in, flood, list, at) }()
	got := run(t, cmd)
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
	if got.code != int(verdict.ExitHolds) || got.stderr != "" {
		t.Errorf("exit code %d, stderr %q\n%s", got.code, got.stderr, got.stdout)
	}
	for _, want := range []string{"1001523 frames", "connections forgotten for lack of room", "| other ", "0 are broken"} {
		if !strings.Contains(got.stdout, want) {
			t.Errorf("no %q in\n%s", want, got.stdout)
		}
	}
	if used := cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss; used > mostKiB {
		t.Errorf("the command used %d KiB, more than %d", used, mostKiB)
	} else {
		t.Logf("the command used %d KiB", used)
	}
}

// floodWith writes a capture that begins with so many connection requests of another client, and goes on with frames.
func floodWith(out io.WriteCloser, count int, list [][]byte, at []time.Time) error {
	w := bufio.NewWriterSize(out, 1<<20)
	pcap := pcapgo.NewWriter(w)
	if err := pcap.WriteFileHeader(65536, layers.LinkTypeEthernet); err != nil {
		return err
	}
	write := func(data []byte, at time.Time) error {
		return pcap.WritePacket(gopacket.CaptureInfo{Timestamp: at, CaptureLength: len(data), Length: len(data)}, data)
	}
	request := firstRequest(list)
	var frame []byte
	for i := range uint32(count) {
		renumber(request, i)
		var err error
		if frame, err = request.AppendFrame(frame[:0]); err != nil {
			return err
		}
		if err := write(frame, at[0]); err != nil {
			return err
		}
	}
	for i, data := range list {
		if err := write(data, at[i]); err != nil {
			return err
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return out.Close()
}

// firstRequest is the first connection request of a capture, as if another client had made it.
func firstRequest(list [][]byte) *roce.Packet {
	for _, data := range list {
		p := new(roce.Packet)
		if p.Decode(data) != nil || !p.IsMAD() {
			continue
		}
		if mad, _, err := roce.DecodeCM(p.Payload); err == nil && mad.AttributeID == roce.AttrREQ {
			p.Src, p.SrcMAC[5] = netip.MustParseAddr("10.0.0.3"), p.SrcMAC[5]+1
			p.Payload = bytes.Clone(p.Payload)
			return p
		}
	}
	panic("the capture has no connection request")
}

// Places in the datagram of a connection request.
const (
	reqCommID    = 24
	reqQPN       = 24 + 32
	reqPathUUID  = 24 + 140 + 36 + 12
	reqGroupUUID = 24 + 140 + 36 + 28
)

// renumber makes request i of many: with its own number, queue pair, path and session.
func renumber(p *roce.Packet, i uint32) {
	p.BTH.PSN = roce.PSN(i & 0xFFFFFF)
	be.BigEndian.PutUint32(p.Payload[reqCommID:], 1<<31+i)
	be.BigEndian.PutUint32(p.Payload[reqQPN:], i<<8)
	be.BigEndian.PutUint32(p.Payload[reqPathUUID:], i)
	be.BigEndian.PutUint32(p.Payload[reqGroupUUID:], i)
}
