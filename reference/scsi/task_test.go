// SPDX-License-Identifier: Apache-2.0

package scsi_test

import (
	"slices"
	"testing"

	"github.com/ibnbd/ibnbd/reference/scsi"
)

// queue submits tasks that only note that they run.
type queue struct {
	*rig
	ran   []string
	tasks map[string]*scsi.Task
}

func newQueue(t *testing.T) *queue { return &queue{rig: newRig(t), tasks: map[string]*scsi.Task{}} }

func (q *queue) submit(n *scsi.Nexus, name string, a scsi.Attribute) {
	task := &scsi.Task{}
	task.Run = func() { q.ran = append(q.ran, name) }
	n.Prepare(task, scsi.LUN{}, scsi.TestUnitReady.New())
	q.tasks[name] = task
	task.Submit(a)
	task.Ready()
}

func (q *queue) expect(names ...string) {
	q.t.Helper()
	if !slices.Equal(q.ran, names) {
		q.t.Errorf("run: %v, want %v", q.ran, names)
	}
	q.ran = nil
}

func TestTaskOrder(t *testing.T) {
	q := newQueue(t)
	q.submit(q.nexus, "simple 1", scsi.Simple)
	q.submit(q.nexus, "simple 2", scsi.Simple)
	q.expect("simple 1", "simple 2")
	q.submit(q.nexus, "ordered", scsi.Ordered)
	q.submit(q.nexus, "simple 3", scsi.Simple)
	q.submit(q.nexus, "reserved", 3) // Clause SRP-CMD-017
	q.expect()
	q.submit(q.nexus, "head", scsi.HeadOfQueue)
	q.expect("head")
	q.tasks["simple 2"].End()
	q.expect()
	q.tasks["simple 1"].End()
	q.expect("ordered")
	q.tasks["ordered"].End()
	q.expect("simple 3")
	q.tasks["simple 3"].End()
	q.expect("reserved") // the one at the head of the queue came later
	q.tasks["reserved"].End()
	q.tasks["head"].End()
	q.submit(q.nexus, "simple 4", scsi.Simple)
	q.expect("simple 4")
}

func TestDataIsWaitedFor(t *testing.T) {
	q := newQueue(t)
	var write scsi.Task
	ran := 0
	write.Run = func() { ran++ }
	q.nexus.Prepare(&write, scsi.LUN{}, must(scsi.Write10.AppendIO(nil, 0, 1, false)))
	write.Submit(scsi.Ordered)
	q.submit(q.nexus, "behind", scsi.Simple)
	q.expect()
	if ran != 0 {
		t.Error("a write runs before its data has come")
	}
	write.Ready()
	write.Ready() // again is no more than once
	if ran != 1 {
		t.Errorf("a write runs %d times when its data has come", ran)
	}
	write.End()
	q.expect("behind")
}

// TestAbort: an abort is answered when its task has ended, and never before a response that is on its way (Clause SRP-TM-002).
func TestAbort(t *testing.T) {
	q := newQueue(t)
	q.submit(q.nexus, "a", scsi.Simple)
	q.submit(q.nexus, "b", scsi.Ordered)
	done := 0
	answer := func() { done++ }
	q.tasks["b"].Abort(answer)
	q.expect("a", "b") // it waits for nobody any more
	if b := q.tasks["b"]; !b.Aborted() || b.Commit() || b.Execute(nil).Status != scsi.TaskAborted {
		t.Error("an aborted task goes on")
	}
	if done != 0 {
		t.Error("answered while the task is there")
	}
	q.tasks["b"].End()
	if done != 1 {
		t.Errorf("answered %d times", done)
	}
	if !q.tasks["a"].Commit() {
		t.Error("a task cannot answer though nobody aborted it")
	}
	q.tasks["a"].Abort(answer)
	if q.tasks["a"].Aborted() || done != 1 {
		t.Error("a task is aborted whose response is on its way, or its end not waited for")
	}
	q.tasks["a"].End()
	if done != 2 {
		t.Errorf("answered %d times", done)
	}
	q.tasks["a"].Abort(answer) // Clause SRP-TM-003
	if done != 3 {
		t.Error("the abort of a task that has ended is not answered")
	}
}

// TestReset ends the tasks of all initiators, and tells those who did not ask (Clause SRP-TM-004).
func TestReset(t *testing.T) {
	for _, tc := range []struct {
		name string
		ask  func(*scsi.Nexus, func()) bool
		code scsi.Code // for the other initiator
		all  bool      // tasks
	}{
		{"reset", func(n *scsi.Nexus, done func()) bool { return n.Reset(scsi.LUN{}, done) }, scsi.BusDeviceReset, true},
		{"clear", func(n *scsi.Nexus, done func()) bool { return n.ClearTaskSet(scsi.LUN{}, done) }, scsi.CommandsCleared, true},
		{"abort", func(n *scsi.Nexus, done func()) bool { return n.AbortTaskSet(scsi.LUN{}, done) }, 0, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			q := newQueue(t)
			other := scsi.NewNexus(q.luns, scsi.NexusLoss)
			defer other.Close()
			if got := execute(other, scsi.LUN{}, scsi.TestUnitReady.New(), nil); got.Sense.Code != scsi.NexusLoss {
				t.Errorf("%v", got.Sense)
			}
			q.submit(q.nexus, "mine", scsi.Simple)
			q.submit(other, "his", scsi.Simple)
			done := false
			if !tc.ask(q.nexus, func() { done = true }) {
				t.Fatal("refused")
			}
			if !q.tasks["mine"].Aborted() || q.tasks["his"].Aborted() != tc.all {
				t.Error("the wrong tasks are aborted")
			}
			q.tasks["mine"].End()
			if done != !tc.all {
				t.Error("answered too early or too late")
			}
			q.tasks["his"].End()
			if !done {
				t.Error("not answered")
			}
			if got := execute(q.nexus, scsi.LUN{}, scsi.TestUnitReady.New(), nil); got.Status != scsi.Good {
				t.Errorf("the initiator that asked gets %v", got.Sense)
			}
			got := execute(other, scsi.LUN{}, scsi.TestUnitReady.New(), nil)
			if got.Sense.Code != tc.code {
				t.Errorf("the other initiator gets %v", got.Sense)
			}
		})
	}
	if newRig(t).nexus.Reset(scsi.LUN{0, 9}, func() { t.Error("answered") }) {
		t.Error("a unit is reset that is not there")
	}
}

// TestAttentions: which commands report them, how often, and where else they go.
func TestAttentions(t *testing.T) {
	r := newRig(t)
	n := scsi.NewNexus(r.luns, scsi.PowerOnOrReset)
	defer n.Close()
	run := func(cdb []byte) outcome { return execute(n, scsi.LUN{}, cdb, nil) }
	inquiry := scsi.Inquiry.New()
	inquiry[4] = 36
	if got := run(inquiry); got.Status != scsi.Good {
		t.Errorf("INQUIRY reports %v", got.Sense)
	}
	sense := scsi.RequestSense.New()
	sense[4] = 18
	if got, _ := scsi.ParseSense(run(sense).in); got.Code != scsi.PowerOnOrReset {
		t.Errorf("REQUEST SENSE gives %v", got)
	}
	if got := run(scsi.TestUnitReady.New()); got.Status != scsi.Good {
		t.Errorf("reported twice: %v", got.Sense)
	}
	if err := r.luns.Add(3, r.unit); err != nil {
		t.Fatal(err)
	}
	if got := run(scsi.TestUnitReady.New()); got.Sense != (scsi.Sense{Key: scsi.UnitAttention, Code: scsi.ReportedLUNsChanged}) {
		t.Errorf("a new unit is not reported: %v", got.Sense)
	}
	for range 2 { // what is waiting already is not reported once more
		if err := r.luns.Add(4, r.unit); err != nil {
			t.Fatal(err)
		}
		if err := r.luns.Remove(4); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.luns.Remove(3); err != nil {
		t.Fatal(err)
	}
	if got := run(scsi.TestUnitReady.New()); got.Sense.Code != scsi.ReportedLUNsChanged {
		t.Errorf("a unit that goes is not reported: %v", got.Sense)
	}
	if got := run(scsi.TestUnitReady.New()); got.Status != scsi.Good {
		t.Errorf("reported twice: %v", got.Sense)
	}
}
