// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// This test binary is also the worker that a supervisor starts, and a supervisor that can be killed.
func TestMain(m *testing.M) {
	switch {
	case len(os.Args) == 2 && os.Args[1] == "worker":
		actWorker()
	case len(os.Args) == 3 && os.Args[1] == "supervisor":
		actSupervisor(os.Args[2])
	default:
		os.Exit(m.Run())
	}
}

// actWorker is the whole life of a fake worker. All get the same specs: those from the name of a part to the next are for the
// worker that plays it, in the order of the workers.
func actWorker() {
	var o orders
	if err := json.NewDecoder(os.Stdin).Decode(&o); err != nil {
		fmt.Println("no orders:", err)
		os.Exit(1)
	}
	o.Specs = scene(o)
	parts[o.Specs[0]](o, os.NewFile(messageDescriptor, "supervisor"))
}

// scene gives the specs of one worker. One that comes later than the last has all that there is.
func scene(o orders) []string {
	var scenes [][]string
	for _, spec := range o.Specs {
		if parts[spec] != nil {
			scenes = append(scenes, nil)
		}
		if last := len(scenes) - 1; last >= 0 {
			scenes[last] = append(scenes[last], spec)
		}
	}
	if o.Number >= len(scenes) {
		return o.Specs
	}
	return scenes[o.Number]
}

// actSupervisor runs a worker that does not go by itself, with the report in dir.
func actSupervisor(dir string) {
	s, err := newFakeRun(dir, []string{tellsItsPID})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	s.show.out = os.Stdout
	fmt.Println(runWorkers(context.Background(), s.options, s.plan, usual, s.show, s.journal))
}

// The parts of fake workers.
const (
	allPass           = "all pass"
	diesInItsSecond   = "dies in its second spec"
	diesAtOnce        = "dies at once"
	leavesSilently    = "leaves without a word"
	talksNonsense     = "talks nonsense"
	talksForever      = "talks without end, and does not stop"
	inventsClause     = "judges a clause that there is not"
	cannotBoot        = "cannot boot"
	neverAnswers      = "never answers"
	neverStops        = "never answers, and does not stop"
	stopsWhenTold     = "stops when told"
	tellsItsTemporary = "tells its temporary directory"
	doubtsAtFirst     = "cannot tell at first"
	tellsItsPID       = "tells its process id, and does not stop"
	claimsFirst       = "runs what it claims"
)

var parts = map[string]func(o orders, supervisor *os.File){
	allPass: func(o orders, supervisor *os.File) {
		out := newSender(supervisor)
		out.send(message{Kind: ready})
		for _, spec := range o.Specs {
			pass(out, spec)
		}
		unloaded := passed("the target unloads after all specs")
		unloaded.Clause = "IBNBD-FAIL-011"
		out.send(message{Kind: closed, Results: []verdict.Result{unloaded}})
	},
	diesInItsSecond: func(o orders, supervisor *os.File) {
		out := newSender(supervisor)
		out.send(message{Kind: ready})
		pass(out, o.Specs[0])
		out.send(message{Kind: begun, Spec: o.Specs[1]})
		_ = unix.Kill(os.Getpid(), unix.SIGKILL)
		select {}
	},
	diesAtOnce:     func(orders, *os.File) { os.Exit(7) },
	leavesSilently: func(_ orders, supervisor *os.File) { newSender(supervisor).send(message{Kind: ready}) },
	talksNonsense: func(_ orders, supervisor *os.File) {
		fmt.Fprintln(supervisor, "panic: hello")
		untilInterrupted()
	},
	talksForever: func(o orders, supervisor *os.File) {
		signal.Ignore(os.Interrupt)
		for { // more than a pipe holds
			fmt.Fprintf(supervisor, "{\"kind\": \"ended\", \"spec\": %q}\n", o.Specs[0])
		}
	},
	inventsClause: func(o orders, supervisor *os.File) {
		r := passed(o.Specs[0])
		r.Clause = "NO-SUCH-001"
		newSender(supervisor).send(message{Kind: ended, Spec: r.Spec, Verdict: r.Verdict, Results: []verdict.Result{r}})
		untilInterrupted()
	},
	cannotBoot: func(_ orders, supervisor *os.File) {
		out := newSender(supervisor)
		out.send(message{Kind: failed, Text: "cannot boot: no kernel; build one"})
		out.send(message{Kind: closed})
	},
	neverAnswers: func(orders, *os.File) { untilInterrupted() },
	neverStops:   func(orders, *os.File) { neverStop() },
	stopsWhenTold: func(o orders, supervisor *os.File) {
		out := newSender(supervisor)
		out.send(message{Kind: ready})
		out.send(message{Kind: begun, Spec: o.Specs[0]})
		untilInterrupted()
		r := passed(o.Specs[0])
		r.Verdict, r.Reason = verdict.SuiteError, verdict.Interrupted
		out.send(message{Kind: ended, Spec: r.Spec, Verdict: r.Verdict, Results: []verdict.Result{r}})
		out.send(message{Kind: closed})
	},
	doubtsAtFirst: func(o orders, supervisor *os.File) {
		out := newSender(supervisor)
		out.send(message{Kind: ready})
		for _, spec := range o.Specs {
			r := passed(spec)
			if spec == doubtsAtFirst && o.Number == 0 {
				r.Verdict, r.Reason = verdict.Inconclusive, verdict.ClocksApart
			}
			out.send(message{Kind: begun, Spec: spec})
			out.send(message{Kind: ended, Spec: spec, Verdict: r.Verdict, Results: []verdict.Result{r}})
		}
		out.send(message{Kind: closed})
	},
	tellsItsTemporary: func(_ orders, supervisor *os.File) {
		newSender(supervisor).send(message{Kind: failed, Text: os.TempDir()})
	},
	claimsFirst: func(o orders, supervisor *os.File) {
		out := newSender(supervisor)
		out.send(message{Kind: ready})
		for _, spec := range []string{"b", "c", "d"} {
			if mine, err := o.Claims.take(spec); mine && err == nil {
				pass(out, spec)
			}
		}
		out.send(message{Kind: closed})
	},
	tellsItsPID: func(_ orders, supervisor *os.File) {
		pass(newSender(supervisor), fmt.Sprintf("pid %d", os.Getpid()))
		neverStop()
	},
}

// passed is a result for a clause by which the subject of these tests is judged.
func passed(spec string) verdict.Result {
	return verdict.Result{Clause: "IBNBD-SYSFS-001", Spec: spec, Verdict: verdict.Pass, Start: time.Unix(1, 0).UTC()}
}

// pass reports a spec that passes.
func pass(out *sender, spec string) {
	out.send(message{Kind: begun, Spec: spec})
	out.send(message{Kind: ended, Spec: spec, Verdict: verdict.Pass, Results: []verdict.Result{passed(spec)}})
}

// untilInterrupted waits for the signal by which a worker is told to stop.
func untilInterrupted() {
	told := make(chan os.Signal, 1)
	signal.Notify(told, os.Interrupt)
	<-told
}

// neverStop waits for ever, whatever it is told.
func neverStop() {
	signal.Ignore(os.Interrupt)
	time.Sleep(time.Hour) // a select without cases would be seen as a deadlock, and end the process
}
