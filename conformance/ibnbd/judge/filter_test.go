// SPDX-License-Identifier: Apache-2.0

package judge_test

import (
	"io"
	"testing"

	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/conformance/audit/live"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/judge"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/vm/fabric"
)

// replay shows the frames of a capture to a watcher as its rails would, and returns which frames a predicate matched.
func replay(t *testing.T, w *live.Watcher, p fabric.Predicate) (matched []audit.FrameID) {
	t.Helper()
	const dir = "../../../reference/roce/testdata/captures/"
	source, err := audit.Files{Names: []string{dir + "rnbd-mainline-rail0.pcap", dir + "rnbd-mainline-rail1.pcap"}}.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	for {
		f, err := source.Next()
		if err == io.EOF {
			return matched
		}
		if err != nil {
			t.Fatal(err)
		}
		frame := &fabric.Frame{Number: f.Number, At: f.At, Rail: f.Rail, Data: f.Data}
		if p.Match(frame) {
			t.Fatalf("frame %v matches before it was seen", f.FrameID)
		}
		w.See(frame)
		if p.Match(frame) {
			matched = append(matched, f.FrameID)
		}
	}
}

func TestPredicates(t *testing.T) {
	for _, test := range []struct {
		name    string
		filters []live.Filter
		count   int
		first   audit.FrameID
	}{
		{"writes", []live.Filter{judge.Requests(), judge.WithOp(ibnbd.OpWrite)}, 4, audit.FrameID{Rail: "rnbd-mainline-rail0", Number: 88}},
		{"write on the second path", []live.Filter{judge.Requests(), judge.WithOp(ibnbd.OpWrite), judge.OnPath(2)}, 1, audit.FrameID{Rail: "rnbd-mainline-rail1", Number: 37}},
		{"answers to OPEN in session other", []live.Filter{judge.Answers(), judge.WithMessage(ibnbd.TypeOpen), judge.InSession("other")}, 2, audit.FrameID{Rail: "rnbd-mainline-rail0", Number: 1389}},
		{"heartbeats of the target", []live.Filter{live.OfKind(judge.Heartbeat), live.From(audit.Target), judge.OnConnection(0)}, 6, audit.FrameID{Rail: "rnbd-mainline-rail0", Number: 1468}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := live.NewWatcher(audit.Options{Protocols: []*audit.Protocol{judge.Protocol}})
			p := w.On(test.name, test.filters...)
			matched := replay(t, w, p)
			if len(matched) != test.count || matched[0] != test.first {
				t.Errorf("matched %v, want %d beginning with %v", matched, test.count, test.first)
			}
			if p.String() != test.name {
				t.Errorf("name is %q", p)
			}
			if w.Counters().Frames != 2086 {
				t.Errorf("%d frames were tracked", w.Counters().Frames)
			}
		})
	}
}

// TestAttach drops the second I/O request on a real rail and looks at what arrives.
func TestAttach(t *testing.T) {
	f, err := fabric.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rail, err := f.AddRail("rail0")
	if err != nil {
		t.Fatal(err)
	}
	w := live.NewWatcher(audit.Options{Protocols: []*audit.Protocol{judge.Protocol}})
	remove := w.Attach(rail)
	handle, err := rail.Inject(fabric.Fault{Match: w.On("writes", judge.Requests(), judge.WithOp(ibnbd.OpWrite)), Pick: fabric.Nth{2}, Action: fabric.Drop{}})
	if err != nil {
		t.Fatal(err)
	}
	send := stations(t, rail)
	source, err := audit.OpenFile(t.Context(), "../../../reference/roce/testdata/captures/rnbd-mainline-rail0.pcap")
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	for {
		frame, err := source.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		send(frame.Data)
	}
	if err := handle.WaitApplied(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	remove()
	if n := w.Counters().Frames; n != 1523 {
		t.Errorf("%d frames were seen", n)
	}
}

// stations puts two stations on a rail and returns a function that sends a frame from the one that its source address
// belongs to.
func stations(t *testing.T, rail *fabric.Rail) func(frame []byte) {
	t.Helper()
	var owners [2]*fabric.Station
	for i, name := range []string{"client", "server"} {
		s, err := rail.Attach(name, 4096)
		if err != nil {
			t.Fatal(err)
		}
		owners[i] = s
	}
	first := ""
	return func(frame []byte) {
		source := string(frame[6:12])
		if first == "" {
			first = source
		}
		owner := owners[0]
		if source != first {
			owner = owners[1]
		}
		if err := owner.Send(frame); err != nil {
			t.Fatal(err)
		}
	}
}
