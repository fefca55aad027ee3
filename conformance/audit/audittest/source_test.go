// SPDX-License-Identifier: Apache-2.0

package audittest

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ibnbd/ibnbd/conformance/audit"
)

// Captures that these tests read, of whatever protocol.
var srpCapture = audit.Files{Names: Mainline("srp-login-io-logout.pcap")}

const baseCase = "../testdata/cases/base.pcap.gz"

func TestFormatsGiveTheSameFrames(t *testing.T) {
	data, err := os.ReadFile(srpCapture.Names[0])
	if err != nil {
		t.Fatal(err)
	}
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	w.Write(data)
	w.Close()
	want := load(t, srpCapture)
	for name, data := range map[string][]byte{"pcap": data, "gzip": zipped.Bytes(), "pcapng": asPcapng(t, want, "srp-login-io-logout")} {
		source, err := audit.NewSource(bytes.NewReader(data), "srp-login-io-logout")
		if err != nil {
			t.Fatal(err)
		}
		got, err := drain(source)
		if err != nil || len(got) != len(want) {
			t.Fatalf("%s: %d frames, want %d: %v", name, len(got), len(want), err)
		}
		for i := range got {
			if got[i].FrameID != want[i].FrameID || !bytes.Equal(got[i].Data, want[i].Data) || got[i].At.Sub(want[i].At).Abs() > time.Microsecond {
				t.Fatalf("%s: frame %d is %v at %v, want %v at %v", name, i, got[i].FrameID, got[i].At, want[i].FrameID, want[i].At)
			}
		}
	}
}

// TestLostFrames: what a rail has recorded as dropped arrived nowhere, and is no frame to the tracker.
func TestLostFrames(t *testing.T) {
	frames := load(t, srpCapture)[:10]
	source, err := audit.NewSource(bytes.NewReader(asPcapng(t, frames, "rail0", "rail0-dropped")), "file")
	if err != nil {
		t.Fatal(err)
	}
	got, err := drain(source)
	if err != nil || len(got) != 10 {
		t.Fatalf("%d frames, want 10: %v", len(got), err)
	}
	tracker := audit.NewTracker(audit.Options{})
	for i, f := range got {
		if f.FrameID != (audit.FrameID{Rail: "rail0", Number: uint64(i + 1)}) || f.Lost != (i%2 == 1) {
			t.Errorf("frame %d is %v, lost: %t", i, f.FrameID, f.Lost)
		}
		tracker.Add(f)
	}
	if c := tracker.Counters(); c.Frames != 5 || c.Lost != 5 {
		t.Errorf("counted %d frames, and %d lost", c.Frames, c.Lost)
	}
}

func TestBadCaptures(t *testing.T) {
	frames := load(t, srpCapture)[:4]
	pcap := classic{}.write(frames)
	next := pcapHeaderLen + pcapRecordLen + len(frames[0].Data) // the second record
	w := newNg(le, 0)
	section := len(w.out)
	w.iface(audit.Ethernet, 0, w.option(2, []byte("rail0")))
	packet := len(w.out)
	for _, f := range frames {
		w.enhanced(0, micros(f.At), f)
	}
	ng, snoop := w.out, snoopOf(frames)
	snoopNext := snoopHeaderLen + snoopRecordLen + len(frames[0].Data) + -len(frames[0].Data)&3
	for _, test := range []struct {
		name   string
		data   []byte
		frames int // before it
		want   error
		says   string
	}{
		{"nothing", nil, 0, audit.ErrFormat, "0 bytes"},
		{"two bytes", pcap[:2], 0, audit.ErrFormat, "2 bytes"},
		{"half a header", pcap[:20], 0, audit.ErrFormat, "pcap header has 20 bytes, must have 24"},
		{"another format", []byte("this is no capture"), 0, audit.ErrFormat, "neither pcap nor pcapng nor snoop"},
		{"half a record", pcap[:24+16+10], 0, audit.ErrCutOff, "after frame 0"},
		{"half a record header", pcap[:next+5], 1, audit.ErrCutOff, "after frame 1"},
		{"captured length of 1 GiB", changed32(pcap, next+8, 1<<30), 1, audit.ErrFormat, "record after frame 1: not a readable capture: captured length is 1073741824, must be at most 262144"},
		{"zeros at the end", append(bytes.Clone(pcap), make([]byte, 4096)...), 4, audit.ErrFormat, "nothing but zeros"},
		{"two captures in one file", append(bytes.Clone(pcap), pcap...), 4, audit.ErrFormat, "another capture begins here"},
		{"unknown link type", changed32(pcap, 20, 147), 0, audit.ErrFormat, "link type 147 is not"},
		{"unknown link type above 255", changed32(pcap, 20, 271), 0, audit.ErrFormat, "link type 271 (vsock) is not"},
		{"pcap version 3", changed32(pcap, 4, 3), 0, audit.ErrFormat, "pcap version is 3.0"},

		{"half a section header", ng[:20], 0, audit.ErrFormat, "pcapng header"},
		{"half a block", ng[:len(ng)-10], 3, audit.ErrCutOff, "after frame 3"},
		{"section header of 4 GiB", changed32(ng, 4, 0xFFFFFFFC), 0, audit.ErrFormat, "section header has 4294967292 bytes"},
		{"byte order of a section", changed32(ng, 8, 7), 0, audit.ErrFormat, "byte order"},
		{"pcapng version 2", changed32(ng, 12, 2), 0, audit.ErrFormat, "pcapng version is 2.0"},
		{"block length of 8", changed32(ng, packet+4, 8), 0, audit.ErrFormat, "block length is 8"},
		{"block length of 101", changed32(ng, packet+4, 101), 0, audit.ErrFormat, "block length is 101"},
		{"another length behind a block", changed32(ng, len(ng)-4, 40), 3, audit.ErrFormat, "in front and 40 behind"},
		{"block of an unknown kind without end", changed32(changed32(ng, packet, 99), packet+4, 0xFFFFFFFC), 0, audit.ErrCutOff, "after frame 0"},
		{"option longer than its block", changed32(ng, section+16, 0xFFFF0002), 0, audit.ErrFormat, "option 2 of an interface has 65535 bytes"},
		{"packet longer than its block", changed32(ng, packet+20, 5000), 0, audit.ErrFormat, "no room for"},
		{"captured length of 1 GiB in a block", changed32(ng, packet+20, 1<<30), 0, audit.ErrFormat, "captured length is 1073741824"},
		{"interface that is not there", changed32(ng, packet+8, 7), 0, audit.ErrFormat, "interface of a packet is 7, 1 are described"},
		{"packet without interface", newNg(le, 0).enhanced(0, 0, frames[0]).out, 0, audit.ErrFormat, "0 are described"},
		{"interface of 4 bytes", newNg(le, 0).block(ngInterface, make([]byte, 4)).out, 0, audit.ErrFormat, "no room for"},
		{"unit of 10^-20 s", newNg(le, 0).iface(audit.Ethernet, 0, w.option(ngOptionUnit, []byte{20})).out, 0, audit.ErrFormat, "time unit"},
		{"unit of 2^-64 s", newNg(le, 0).iface(audit.Ethernet, 0, w.option(ngOptionUnit, []byte{0xC0})).out, 0, audit.ErrFormat, "time unit"},
		{"only another link type", newNg(le, 0).iface(271, 0).enhanced(0, 0, frames[0]).out, 1, audit.ErrFormat, "link type 271 (vsock) is not"},

		{"half a snoop header", snoop[:10], 0, audit.ErrFormat, "snoop header has 10 bytes"},
		{"snoop version 3", changed32(snoop, 8, 3<<24), 0, audit.ErrFormat, "snoop version is 3"},
		{"snoop of FDDI", changed32(snoop, 12, 8<<24), 0, audit.ErrFormat, "data link type of snoop is 8"},
		{"half a snoop record", snoop[:snoopNext+30], 1, audit.ErrCutOff, "after frame 1"},
		{"snoop record shorter than its frame", changed32(snoop, snoopNext+8, 0), 1, audit.ErrFormat, "record has 0 bytes"},
		{"snoop record of 2 GiB", changed32(snoop, snoopNext+4, 0x80), 1, audit.ErrFormat, "captured length is 2147483648"},

		{"no gzip", []byte{0x1f, 0x8b, 0, 0, 0, 0}, 0, audit.ErrFormat, "gzip"},
		{"gzip cut off", zipped(pcap)[:len(zipped(pcap))-9], 4, audit.ErrFormat, "compressed by gzip is cut off or damaged"},
		{"gzip of three bytes", zipped(pcap[:3]), 0, audit.ErrFormat, "3 bytes"},
		{"gzip with a wrong sum", changed32(zipped(pcap), len(zipped(pcap))-8, 1), 4, audit.ErrFormat, "compressed by gzip is cut off or damaged"},
		{"no bzip2", []byte("BZh9 not really"), 0, audit.ErrFormat, "bzip2"},
		{"xz", []byte("\xfd7zXZ\x00"), 0, audit.ErrFormat, "'xz -dc FILE | ibnbd-conformance audit -'"},
		{"zstd", []byte("\x28\xb5\x2f\xfd\x00"), 0, audit.ErrFormat, "zstd"},
	} {
		t.Run(test.name, func(t *testing.T) {
			source, err := audit.NewSource(bytes.NewReader(test.data), "bad")
			var got Capture
			if err == nil {
				got, err = drain(source)
			}
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.says) || errors.Is(err, audit.ErrCutOff) != (test.want == audit.ErrCutOff) {
				t.Errorf("error %v, want %v: %s", err, test.want, test.says)
			}
			if len(got) != test.frames {
				t.Errorf("%d frames before it, want %d", len(got), test.frames)
			}
			if source == nil {
				return
			}
			if _, again := source.Next(); again != err {
				t.Errorf("behind the error: %v", again)
			}
		})
	}
}

// TestBrokenBesideWhole: among merged files one that is broken ends alone, with one message.
func TestBrokenBesideWhole(t *testing.T) {
	frames := load(t, srpCapture)
	whole := classic{}.write(frames)
	broken := changed32(whole, pcapHeaderLen+8, 1<<30)
	source, err := audit.Files{Names: written(t, broken, whole, zipped(whole)[:2000], whole)}.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	got, err := drain(source)
	if err == nil || strings.Count(err.Error(), "\n") != 1 || strings.Count(err.Error(), "not a readable capture") != 2 {
		t.Errorf("error %v, want one of each broken file", err)
	}
	if len(got) < 2*len(frames) {
		t.Errorf("%d frames, want those of the whole files at least, %d", len(got), 2*len(frames))
	}
}

// TestForeignTraffic: other datagrams on the port are counted and nothing else.
func TestForeignTraffic(t *testing.T) {
	c := load(t, srpCapture)
	frame := bytes.Clone(c[30].Data[:60])
	binary.BigEndian.PutUint16(frame[16:], 46)
	binary.BigEndian.PutUint16(frame[38:], 12)
	tracker := audit.NewTracker(audit.Options{})
	tracker.Frame("rail0", time.Now(), frame, len(frame))
	if n := tracker.Counters(); n.Foreign != 1 || n.RoCE != 0 {
		t.Errorf("counters %+v", n)
	}
}
