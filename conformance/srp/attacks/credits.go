// SPDX-License-Identifier: Apache-2.0

package attacks

import (
	"context"
	"errors"
	"fmt"

	"github.com/ibnbd/ibnbd/conformance/foreign"
	"github.com/ibnbd/ibnbd/conformance/srp/tester"
	"github.com/ibnbd/ibnbd/reference/scsi"
	"github.com/ibnbd/ibnbd/reference/srp"
)

func credits() []Attack {
	return []Attack{
		{Name: "all credits at once, again and again", Clauses: []string{"SRP-CRED-002"}, Run: allCredits},
		{Name: "a flood of commands without credit", Clauses: []string{"SRP-CRED-011"}, Run: flood},
		{Name: "units longer than the target takes", Run: tooLong},
		{Name: "answers to requests that the target has not made", Run: spuriousAnswers},
	}
}

// allCredits uses all credits at once, and looks whether all come back.
func allCredits(ctx context.Context, t *tester.Tester) error {
	const clause = "SRP-CRED-002"
	c, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	for range 4 {
		n := c.Limit()
		if n < 1 {
			return tester.Broken(clause, "the request limit is %d when everything is answered, and was %d at login", n, c.Initial)
		}
		if err := post(c, t.Target().LUNs[0], int(n)); err != nil {
			return err
		}
		for i := range n {
			if _, err := c.Any(ctx); err != nil {
				return tester.Broken(clause, "of %d commands, for which there was credit, %d are not answered: %v", n, n-i, err)
			}
		}
	}
	return nil
}

// flood sends several times as many commands as there are credits. The target may answer them all, in its own time, or close the
// channel.
func flood(ctx context.Context, t *tester.Tester) error {
	c, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	n := min(4*int(c.Initial), 600)
	if err := post(c, t.Target().LUNs[0], n); err != nil && !c.Lost() {
		return err
	}
	for i := range n {
		_, err := c.Any(ctx)
		if errors.Is(err, tester.ErrClosed) {
			return nil
		}
		if err != nil {
			return tester.Broken("SRP-CRED-011", "of %d commands at once, %d are not answered, and the channel is open: %v", n, n-i, err)
		}
	}
	return nil
}

// tooLong sends units beyond the length that the login allows. The channel may end.
func tooLong(ctx context.Context, t *tester.Tester) error {
	for _, more := range []int{1, 4096, 65536} {
		c, err := t.Ready(ctx)
		if err != nil {
			return err
		}
		unit := c.Command(t.Target().LUNs[0], scsi.TestUnitReady.New(), srp.Buffer{}, srp.Buffer{})
		unit = append(unit, make([]byte, int(c.Login.MaxInitiatorIULength)-len(unit)+more)...)
		if err := c.Post(unit); err != nil && !c.Lost() {
			return fmt.Errorf("a unit of %d bytes: %w", len(unit), err)
		}
		if _, err := c.Any(ctx); err != nil && !errors.Is(err, tester.ErrClosed) {
			return fmt.Errorf("a unit of %d bytes: %w", len(unit), err)
		}
	}
	return nil
}

// spuriousAnswers answers what nobody has asked. The target may log out.
func spuriousAnswers(ctx context.Context, t *tester.Tester) error {
	c, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	for i := range 8 {
		cred, _ := srp.CredRsp{Type: srp.TypeCredRsp, Tag: srp.TagOf(uint64(i))}.AppendBinary(nil)
		event, _ := srp.AERRsp{Type: srp.TypeAERRsp, Tag: srp.TagOf(uint64(i))}.AppendBinary(nil)
		if err := c.Post(cred, event); err != nil && !c.Lost() {
			return err
		}
		if c.Lost() {
			return nil
		}
		if _, err := c.Execute(ctx, t.Target().LUNs[0], scsi.TestUnitReady.New(), srp.Buffer{}, srp.Buffer{}); err != nil && !errors.Is(err, tester.ErrClosed) {
			return err
		}
	}
	return nil
}

func owners() []Attack {
	return []Attack{
		{Name: "credits that the target gives by itself", Clauses: []string{"SRP-TGT-005", "SRP-CRED-008"}, Needs: GiveCredits, Run: creditRequests},
		{Name: "an event that the target reports", Clauses: []string{"SRP-TGT-005"}, Needs: ReportEvent, Run: events},
		{Name: "a logout of the target", Clauses: []string{"SRP-TGT-005", "SRP-LOGOUT-009"}, Needs: LogOut, Run: targetLogout},
		{Name: "a login without access", Clauses: []string{"SRP-LOGIN-019", "SRP-LOGIN-035", "SRP-LOGIN-020", "SRP-TGT-007"}, Needs: Deny, Run: noAccess},
		{
			Name: "logins while the target port is disabled", Clauses: []string{"SRP-LOGIN-016", "SRP-LOGIN-035", "SRP-LOGIN-020", "SRP-TGT-006"}, Needs: Disable,
			MayEnd: true, Does: foreign.Reads, Run: disabled,
		},
	}
}

// creditRequests has the target give credits, and take them back, more often than it has receives, and uses all that there are: if the
// answers to its requests had used some, a command would not be taken.
func creditRequests(ctx context.Context, t *tester.Tester) error {
	c, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	port := c.Request.InitiatorPort.String()
	asked, limit := 0, c.Limit()
	deltas := []int64{3, -1, 0, 2, -4, 1, 1, -2}
	for i := range max(len(deltas), min(3*int(c.Initial), 400)) {
		delta := deltas[i%len(deltas)]
		if err := t.Control(ctx, GiveCredits, port, fmt.Sprint(delta)); err != nil {
			return fmt.Errorf("credits %d: %w", delta, err)
		}
		if asked++; c.AwaitAsked(ctx, asked) != nil {
			return tester.Broken("SRP-TGT-005", "the target does not send the SRP_CRED_REQ that it was told to send, of %d credits", delta)
		}
		if limit += delta; c.Limit() != limit {
			return tester.Broken("SRP-TGT-005", "the request limit is %d after the SRP_CRED_REQ of %d credits, it must be %d", c.Limit(), delta, limit)
		}
		// The answer comes before the next request of the target.
		if _, err := c.Execute(ctx, t.Target().LUNs[0], scsi.TestUnitReady.New(), srp.Buffer{}, srp.Buffer{}); err != nil {
			return tester.Broken("SRP-CRED-008", "after %d SRP_CRED_RSP: %v", asked, err)
		}
	}
	if err := post(c, t.Target().LUNs[0], int(c.Limit())); err != nil {
		return err
	}
	for i := range limit {
		if _, err := c.Any(ctx); err != nil {
			return tester.Broken("SRP-CRED-008", "after %d SRP_CRED_RSP, of %d commands, for which there was credit, %d are not answered: %v", asked, limit, limit-i, err)
		}
	}
	return nil
}

func events(ctx context.Context, t *tester.Tester) error {
	c, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	if err := t.Control(ctx, ReportEvent, c.Request.InitiatorPort.String()); err != nil {
		return err
	}
	if c.AwaitAsked(ctx, 1) != nil || c.Asked[0][0] != srp.TypeAERReq {
		return tester.Broken("SRP-TGT-005", "the target does not send the SRP_AER_REQ that it was told to send")
	}
	if m, err := srp.ParseAERReq(c.Asked[0]); err != nil || len(m.Sense()) == 0 {
		return tester.Broken("SRP-TGT-005", "the SRP_AER_REQ has no sense data: %v", err)
	}
	return usable(ctx, "SRP-TGT-005", "an event", c, t.Target().LUNs[0])
}

// targetLogout has the target log out while commands come.
func targetLogout(ctx context.Context, t *tester.Tester) error {
	c, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	if err := t.Control(ctx, LogOut, c.Request.InitiatorPort.String()); err != nil {
		return err
	}
	for c.Logout == nil {
		unit, err := c.Unit(ctx)
		if err != nil {
			return tester.Broken("SRP-TGT-005", "the target does not send the SRP_T_LOGOUT that it was told to send: %v", err)
		}
		if m, err := srp.ParseTLogout(unit); err == nil {
			c.Logout = &m
		}
	}
	if err := post(c, t.Target().LUNs[0], 2); err != nil && !c.Lost() {
		return err
	}
	if err := c.Settle(ctx); err != nil {
		return err // the target may leave it to the initiator to disconnect
	}
	if m, has := c.First(); has {
		return tester.Broken("SRP-LOGOUT-009", "the target answers tag %s after its logout", m.Tag)
	}
	return nil
}

func noAccess(ctx context.Context, t *tester.Tester) error {
	if err := t.Control(ctx, Deny, DeniedPort.String()); err != nil {
		return err
	}
	request := t.Request(DeniedPort)
	_, err := t.Login(ctx, 0, request)
	if err := rejected("SRP-LOGIN-019", request, err, 0); err != nil {
		return err
	}
	return rejected("SRP-LOGIN-035", request, err, srp.RejectChannelsExhausted)
}

// disabled has the port disabled and enabled again.
func disabled(ctx context.Context, t *tester.Tester) (err error) {
	c, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	if err := t.Control(ctx, Disable); err != nil {
		return err
	}
	defer func() {
		if enabled := t.Control(context.WithoutCancel(ctx), Enable); enabled != nil {
			err = errors.Join(err, enabled)
		}
	}()
	if err := c.AwaitClosed(ctx); err != nil {
		return tester.Broken("SRP-TGT-006", "the port is disabled, and a channel: %v, it must be disconnected", err)
	}
	request := t.Request(t.NewPort())
	_, refused := t.Login(ctx, 0, request)
	if err := rejected("SRP-LOGIN-016", request, refused, 0); err != nil {
		return err
	}
	if err := rejected("SRP-LOGIN-035", request, refused, srp.RejectNoResources); err != nil {
		return err
	}
	if err := t.Control(ctx, Enable); err != nil {
		return err
	}
	back, err := t.Ready(ctx)
	if err != nil {
		return tester.Broken("SRP-TGT-006", "the port is enabled again, and a login: %v", err)
	}
	return usable(ctx, "SRP-TGT-006", "the port was enabled again", back, t.Target().LUNs[0])
}
