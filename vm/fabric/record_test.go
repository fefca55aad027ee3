// SPDX-License-Identifier: Apache-2.0

package fabric_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket/pcapgo"

	"github.com/ibnbd/ibnbd/vm/fabric"
)

// record begins a recording in a new file.
func (p *pair) record(t *testing.T) *fabric.Recording {
	t.Helper()
	rec, err := p.rail.Record(filepath.Join(t.TempDir(), "rail0.pcapng"), "the spec's name")
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

// readBack closes a recording and returns the texts of its frames by the name of their interface.
func readBack(t *testing.T, rec *fabric.Recording) map[string][]string {
	t.Helper()
	if err := rec.Close(); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(rec.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	reader, err := pcapgo.NewNgReader(file, pcapgo.DefaultNgReaderOptions)
	if err != nil {
		t.Fatal(err)
	}
	if got := reader.SectionInfo().Comment; got != "the spec's name" {
		t.Errorf("the section's comment is %q", got)
	}
	texts := map[string][]string{}
	var last time.Time
	for {
		data, info, err := reader.ReadPacketData()
		if errors.Is(err, io.EOF) {
			return texts
		}
		if err != nil {
			t.Fatal(err)
		}
		if info.Timestamp.Before(last) || time.Since(info.Timestamp).Abs() > time.Minute {
			t.Errorf("a frame of %v follows one of %v", info.Timestamp, last)
		}
		last = info.Timestamp
		nic, err := reader.Interface(info.InterfaceIndex)
		if err != nil {
			t.Fatal(err)
		}
		texts[nic.Name] = append(texts[nic.Name], string(data[14:]))
	}
}

func TestRecordingShowsWhatLeftAndWhatDidNot(t *testing.T) {
	p := newPair(t)
	rec := p.record(t)
	fromAlpha := fabric.FromPort("alpha")
	p.inject(t, fabric.Fault{Action: fabric.Drop{}, Match: fromAlpha, Pick: fabric.Nth{2}})
	p.inject(t, fabric.Fault{Action: fabric.Corrupt{Offset: 14}, Match: fromAlpha, Pick: fabric.Nth{2}})  // "3"
	p.inject(t, fabric.Fault{Action: fabric.Duplicate{Copies: 1}, Match: fromAlpha, Pick: fabric.Nth{3}}) // "4"
	p.inject(t, fabric.Fault{Action: fabric.Reorder{Behind: 1}, Match: fromAlpha, Pick: fabric.Nth{4}})   // "5"
	p.numbers(6)
	p.b.expect("1", "2", "4", "4", "6", "5")
	if forwarded, dropped := rec.Count(); forwarded != 6 || dropped != 2 {
		t.Errorf("counted %d forwarded and %d dropped", forwarded, dropped)
	}
	want := map[string][]string{
		"rail0":         {"1", "2", "4", "4", "6", "5"}, // "3" became "2": a bit flipped
		"rail0-dropped": {"2", "3"},
	}
	if diff := cmp.Diff(want, readBack(t, rec)); diff != "" {
		t.Errorf("the recording differs (-want +got):\n%s", diff)
	}
}

func TestRecordingHasAFloodedFrameOnce(t *testing.T) {
	p := newPair(t)
	c := plugIn(t, p.fabric, addPort(t, p.rail, "gamma"), 3)
	rec := p.record(t)
	p.a.send(frameTo(broadcast, p.a.mac, "to all"))
	p.b.expect("to all")
	c.expect("to all")
	if diff := cmp.Diff(map[string][]string{"rail0": {"to all"}}, readBack(t, rec)); diff != "" {
		t.Errorf("the recording differs (-want +got):\n%s", diff)
	}
}

func TestRecordingIsBoundedByItsCalls(t *testing.T) {
	p := newPair(t)
	p.a.send(frame(p.b, p.a, "before"))
	p.b.expect("before")
	one := p.record(t)
	p.a.send(frame(p.b, p.a, "first spec"))
	p.b.expect("first spec")
	two := p.record(t)
	p.a.send(frame(p.b, p.a, "second spec"))
	p.b.expect("second spec")
	if diff := cmp.Diff(map[string][]string{"rail0": {"first spec", "second spec"}}, readBack(t, one)); diff != "" {
		t.Errorf("the first differs (-want +got):\n%s", diff)
	}
	p.a.send(frame(p.b, p.a, "after the first"))
	p.b.expect("after the first")
	if diff := cmp.Diff(map[string][]string{"rail0": {"second spec", "after the first"}}, readBack(t, two)); diff != "" {
		t.Errorf("the second differs (-want +got):\n%s", diff)
	}
}

func TestRecordingThatCannotBe(t *testing.T) {
	p := newPair(t)
	if _, err := p.rail.Record(filepath.Join(t.TempDir(), "no", "dir"), ""); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the error is %v", err)
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("no /dev/full to write to")
	}
	_ = full.Close()
	link := filepath.Join(t.TempDir(), "taken")
	if err := os.Symlink("/dev/full", link); err != nil {
		t.Fatal(err)
	}
	if _, err := p.rail.Record(link, ""); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a recording in the place of another file: %v", err)
	}
}

func TestSubscriptionShowsFates(t *testing.T) {
	p := newPair(t)
	sub := p.rail.Subscribe(10)
	p.inject(t, fabric.Fault{Action: fabric.Drop{}, Match: fabric.FromPort("alpha"), Pick: fabric.Nth{1}})
	p.numbers(2)
	p.b.expect("2")
	for _, want := range []string{"dropped 1 alpha>beta", "forwarded 2 alpha>beta"} {
		s := <-sub.Frames()
		got := fmt.Sprintf("%s %s %s>%s", s.Disposition, s.Frame.Data[14:], s.Frame.From, s.Frame.To)
		if got != want {
			t.Errorf("the observation is %q, want %q", got, want)
		}
	}
	sub.Close()
	sub.Close()
	if _, open := <-sub.Frames(); open {
		t.Error("the subscription is open")
	}
}

func TestSubscriberThatDoesNotReadLosesAndIsTold(t *testing.T) {
	p := newPair(t)
	sub := p.rail.Subscribe(1)
	p.numbers(5)
	p.b.expect("1", "2", "3", "4", "5")
	if got := sub.Lost(); got != 4 {
		t.Errorf("lost %d, want 4", got)
	}
}

func TestHookSeesBeforeFaults(t *testing.T) {
	p := newPair(t)
	tracked := map[string]bool{} // fed by the hook, asked by the predicate: both under the rail's lock
	remove := p.rail.Hook(func(f *fabric.Frame) { tracked[string(f.Data[14:])] = true })
	known := fabric.Func("tracked", func(f *fabric.Frame) bool { return tracked[string(f.Data[14:])] })
	p.inject(t, fabric.Fault{Action: fabric.Drop{}, Match: fabric.And(known, fabric.FromPort("alpha")), Pick: fabric.Nth{2}})
	p.numbers(3)
	p.b.expect("1", "3")
	remove()
	remove()
	p.a.send(frame(p.b, p.a, "untracked"))
	p.b.expect("untracked")
	if len(tracked) != 3 {
		t.Errorf("tracked %v", tracked)
	}
}
