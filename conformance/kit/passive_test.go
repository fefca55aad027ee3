// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/vm"
)

// TestJudgePackets: what the judge of a protocol finds becomes the results of a spec, unless the spec itself has brought it about.
func TestJudgePackets(t *testing.T) {
	reports := t.TempDir()
	proof := func() []verdict.Evidence {
		return []verdict.Evidence{{Path: filepath.Join(reports, "evidence", "rail0.pcapng")}}
	}
	found := func(context.Context, ...string) ([]verdict.Result, error) {
		return []verdict.Result{
			{Clause: "kept", Verdict: verdict.Pass, Evidence: proof()},
			{Clause: "broken", Spec: "packets", Verdict: verdict.Fail, Evidence: proof()},
			{Clause: "broken in time", Spec: "packets", Verdict: verdict.Fail},
			{Clause: "open", Verdict: verdict.Inconclusive},
			{Clause: "not seen", Verdict: verdict.Skip},
		}, nil
	}
	kept := verdict.Result{Clause: "kept", Verdict: verdict.Pass}
	broken := verdict.Result{
		Clause: "broken", Spec: "packets in: a spec", Verdict: verdict.Fail, Evidence: []verdict.Evidence{{Path: "evidence/rail0.pcapng"}},
	}
	late := verdict.Result{Clause: "broken in time", Spec: "packets in: a spec", Verdict: verdict.Fail}
	for name, c := range map[string]struct {
		testbed Testbed
		want    []verdict.Result
	}{
		"a whole wire":                {Testbed{}, []verdict.Result{kept, broken, late}},
		"a wire that the spec breaks": {Testbed{disturbed: true}, []verdict.Result{kept, broken}},
		"a peer that is no subject":   {Testbed{foreign: true}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			setProtocol(t, Protocol{Judge: found, TimedClauses: []string{"broken in time"}})
			got, err := judgePackets(t.Context(), &c.testbed, &evidence{reportDir: reports, recording: &vm.Recording{}}, "a spec")
			if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
				t.Errorf("%v, results (-want +got):\n%s", err, diff)
			}
		})
	}
}

func TestMutantOfNoProtocol(t *testing.T) {
	setProtocol(t, Protocol{})
	env.config.Mutants = map[string]string{"a spec": "a mutant"}
	if err := alter(&Testbed{}, "a spec"); err == nil {
		t.Error("a spec meets a mutant that there is not")
	}
	if err := alter(&Testbed{}, "another spec"); err != nil {
		t.Errorf("a spec that has to do with no mutant: %v", err)
	}
}

func TestJudgeThatFails(t *testing.T) {
	failing := errors.New("no")
	setProtocol(t, Protocol{Judge: func(context.Context, ...string) ([]verdict.Result, error) { return nil, failing }})
	if _, err := judgePackets(t.Context(), &Testbed{}, &evidence{recording: &vm.Recording{}}, "a spec"); !errors.Is(err, failing) {
		t.Errorf("a recording that cannot be read: %v", err)
	}
}

// setProtocol puts a protocol into the environment of a test.
func setProtocol(t *testing.T, p Protocol) {
	before := env
	t.Cleanup(func() { env = before })
	env.protocol = p
}
