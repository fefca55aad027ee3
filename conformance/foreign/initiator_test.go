// SPDX-License-Identifier: Apache-2.0

package foreign

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/provocations"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// TestInitiatorSpecs checks what every spec must have, that what may end the initiator comes last, and that no provocation is
// left out.
func TestInitiatorSpecs(t *testing.T) {
	catalogue := clauses.MustLoad()
	names := make(map[string]bool)
	ends := false
	for _, s := range InitiatorSpecs() {
		if names[s.Name] || s.provocation == nil || s.Takes <= 0 || s.Rails < 1 || s.survives != s.provocation.Survives() {
			t.Errorf("%q is not whole, or not the only one of its name: %+v", s.Name, s)
		}
		names[s.Name] = true
		if ends && !s.MayEnd {
			t.Errorf("%q comes after one that may end the initiator", s.Name)
		}
		ends = ends || s.MayEnd
		for _, id := range s.Clauses {
			if c, known := catalogue.Get(id); !known || !c.Role.Judges(clauses.Initiator) || !c.DecidedBy(clauses.Active) {
				t.Errorf("%q claims %s, which active specs do not decide for an initiator", s.Name, id)
			}
		}
	}
	for _, c := range provocations.All() {
		if !names["an initiator lives on when "+c.Name] {
			t.Errorf("the provocation %q is left out", c.Name)
		}
	}
}

func TestMissingForInitiator(t *testing.T) {
	counts := func(c InitiatorConfig) map[verdict.Reason]int {
		n := make(map[verdict.Reason]int)
		for _, s := range c.Specs() {
			reason, why := c.Missing(s)
			if (reason == "") != (why == "") {
				t.Errorf("%q: reason %q, %q", s.Name, reason, why)
			}
			n[reason]++
		}
		return n
	}
	one := Place{Source: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24")}}
	if n := counts(InitiatorConfig{Place: one}); n[""] != 0 || n[verdict.NoHook] == 0 || n[verdict.NoConsent] == 0 {
		t.Errorf("without a hook: %v", n)
	}
	more := 0 // specs that need several addresses
	for _, c := range provocations.All() {
		if c.Needs() > 1 {
			more++
		}
	}
	if n := counts(InitiatorConfig{Place: one, Hook: Hook{"true"}, Consent: Consent{Outage: true}}); n[verdict.NoSecondPath] != more || len(n) != 2 {
		t.Errorf("with all but addresses: %v", n)
	}
	if n := counts(InitiatorConfig{Place: Place{Netdev: "eth1"}, Hook: Hook{"true"}, Consent: Consent{Outage: true}}); len(n) != 1 || n[""] == 0 {
		t.Errorf("on a network interface, whose addresses are seen later: %v", n)
	}
}

// steer gives a disk whose hook is a script. The script sees the action in $2, behind "first", and its words behind that.
func steer(t *testing.T, script string) (*steeredDisk, *error) {
	t.Helper()
	lacking := new(error)
	i := &steered{hook: hook(t, script), giveUp: func(err error) { *lacking = err }, mapping: sessionNames()}
	return &steeredDisk{i, "nbd0"}, lacking
}

func TestSteeredDisk(t *testing.T) {
	d, _ := steer(t, `echo "$*" >>"$0.log"
case $2 in
read) printf 12345678;;
write) cat >>"$0.log"; tail -n 1 "$0.log" >&2; exit 1;;
size) echo 4096;;
state) [ "$(grep -c state "$0.log")" -lt 3 ] && echo closed || echo open;;
map) echo "node of $3";;
esac`)
	ctx := t.Context()
	if b, err := d.Read(ctx, 512, 8); err != nil || string(b) != "12345678" {
		t.Errorf("read: %q, %v", b, err)
	}
	if b, err := d.Read(ctx, 512, 9); err == nil {
		t.Errorf("a read that is too short: %q", b)
	}
	if err := d.Write(ctx, 512, []byte("ENOSPC\n")); ibtrs.ErrnoOf(err) != ibtrs.ENOSPC || errors.Is(err, provocations.ErrNoNumber) {
		t.Errorf("a write that fails with what it was given: %v", err)
	}
	if err := d.Write(ctx, 512, []byte("no idea\n")); !errors.Is(err, provocations.ErrNoNumber) {
		t.Errorf("a write that fails without a number: %v", err)
	}
	if size, err := d.Size(ctx); err != nil || size != 4096 {
		t.Errorf("size: %d, %v", size, err)
	}
	if err := d.AwaitState(ctx, "open"); err != nil {
		t.Errorf("state: %v", err)
	}
	if _, err := d.initiator.Map(ctx, netip.MustParseAddr("10.0.0.1")); err == nil || !strings.Contains(err.Error(), "must say one word") {
		t.Errorf("a node of several words: %v", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	if err := d.AwaitState(ctx, "closed"); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "it is open") {
		t.Errorf("a state that does not come: %v", err)
	}
}

func TestHookThatLacksAnAction(t *testing.T) {
	d, lacking := steer(t, "[ $2 = unmap ] || exit 127")
	if err := d.Reconnect(t.Context()); !errors.Is(err, ErrNotSupported) || *lacking == nil {
		t.Errorf("%v, and the spec is given up by %v", err, *lacking)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.Unmap(over); err != nil {
		t.Errorf("a disk stays mapped when its spec is given up: %v", err)
	}
}

func TestListening(t *testing.T) {
	if all, err := (Place{Netdev: "lo"}).listening(); err != nil || len(all) == 0 {
		t.Errorf("%v, %v", all, err)
	}
	if all, err := (Place{Netdev: "no-such-dev"}).listening(); err == nil {
		t.Errorf("an interface that is not there has %v", all)
	}
	if err := (Place{}).CheckListening(); err == nil {
		t.Error("no place is taken for one")
	}
}
