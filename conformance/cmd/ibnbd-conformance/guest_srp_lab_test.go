// SPDX-License-Identifier: Apache-2.0

//go:build lab

package main_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/foreign"
	"github.com/ibnbd/ibnbd/conformance/srp/attacks"
	"github.com/ibnbd/ibnbd/conformance/srp/subject"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/reference/srp"
)

// lio is LIO on the vendor's machine.
type lio struct {
	*guest
	target *subject.LIO
}

// reboot has the machine lose power, and come back with its target: what has oopsed cannot be taken down.
func (l *lio) reboot(ctx context.Context) error {
	l.host.PowerLoss()
	if err := l.lab.Replace(ctx, l.host); err != nil {
		return err
	}
	if err := l.meet(ctx, judges[0]); err != nil {
		return err
	}
	return l.target.Start(ctx)
}

func (l *lio) do(ctx context.Context, words []string, _ []byte) ([]byte, int) {
	var err error
	switch action := foreign.Action(words[0]); action {
	case "status":
		return []byte("kernel=" + l.release), 0
	case "restart":
		err = l.reboot(ctx)
	case attacks.Disable, attacks.Enable:
		err = l.target.Control(ctx, action)
	default:
		return nil, unknownAction
	}
	if err != nil {
		return []byte(err.Error()), 1
	}
	return nil, 0
}

// TestGuestAsTargetOfSRP has LIO judged, of which the command knows address, port and identifiers. What it breaks is known.
func TestGuestAsTargetOfSRP(t *testing.T) {
	here := newMachine(t)
	l := &lio{guest: newGuest(t, here, judges[0])}
	l.target = subject.NewLIO(l.host, l.release)
	if err := l.target.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	extension, guid := subject.TargetPort.Split(srp.IOClassRev16a)
	const units = "0,1"
	got, outcome := l.judge(t, here, serveHook(t, owner(l.do)), "--protocol", "srp", "--target", "ip:10.0.0.1", "--id-ext", fmt.Sprintf("%x", extension),
		"--ioc-guid", fmt.Sprintf("%x", guid), "--lun", units, "--allow-data-loss", units, "--allow-outage", "--focus", attackSpecs)
	if got.code != int(verdict.ExitFails) {
		t.Errorf("exit code %d: %s\n%s", got.code, got.stderr, got.stdout)
	}
	var broken []string
	for _, c := range outcome.Clauses() {
		if c.Verdict == verdict.Fail && c.Force == clauses.Binding {
			broken = append(broken, c.ID)
		}
	}
	// As in the lab (srp/baselines/mainline.yaml).
	want := []string{
		"SRP-LOGIN-018", "SRP-LOGIN-031", "SRP-CMD-008", "SRP-CMD-009", "SRP-CMD-013", "SRP-CMD-017", "SRP-CMD-020", "SRP-RSP-006", "SRP-TM-003",
		"SRP-LOGOUT-002", "SRP-LOGOUT-005", "SRP-LOGOUT-009", "SRP-TGT-001",
	}
	if !slices.Equal(broken, want) {
		t.Errorf("broken are %v, must be %v\n%s", broken, want, got.stdout)
	}
	if is := verdictsOf(outcome, "attack by a reset of a logical unit"); !slices.Contains(is, "SRP-TM-004 PASS") {
		t.Errorf("a reset: %v", is)
	}
}
