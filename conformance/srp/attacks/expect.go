// SPDX-License-Identifier: Apache-2.0

package attacks

import (
	"context"
	"errors"

	"github.com/ibnbd/ibnbd/conformance/srp/tester"
	"github.com/ibnbd/ibnbd/conformance/verdict/finding"
	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/scsi"
	"github.com/ibnbd/ibnbd/reference/srp"
)

// rejected judges the end of a login that must be rejected, for a reason unless that is 0.
func rejected(clause string, request srp.LoginReqCM, err error, want srp.RejectReason) error {
	if err == nil {
		return tester.Broken(clause, "the login was accepted, it must be rejected%s", because(want))
	}
	if r, is := errors.AsType[*tester.Refused](err); is {
		return rejectedWith(clause, request, r, want)
	}
	return tester.Broken(clause, "%v; the login must be rejected%s", err, because(want))
}

func because(want srp.RejectReason) string {
	if want == 0 {
		return ""
	}
	return " with " + want.String()
}

func rejectedWith(clause string, request srp.LoginReqCM, r *tester.Refused, want srp.RejectReason) error {
	switch {
	case r.CM != rdma.ReasonConsumer || r.Reject == nil:
		return tester.Broken("SRP-LOGIN-020", "%v", r)
	case r.Reject.Tag != request.Tag:
		return tester.Broken("SRP-LOGIN-013", "the reject of a login with tag %s has tag %s", request.Tag, r.Reject.Tag)
	case want != 0 && r.Reject.Reason != want:
		return tester.Broken(clause, "%v, it must be %s (%#08x)", r, want, uint32(want))
	}
	return nil
}

// accepted judges the end of a login that must be accepted.
func accepted(clause string, c *tester.Channel, err error) error {
	if err != nil {
		return tester.Broken(clause, "%v; the login must be accepted", err)
	}
	if c.Login.Tag != c.Request.Tag {
		return tester.Broken("SRP-LOGIN-013", "the answer to a login with tag %s has tag %s", c.Request.Tag, c.Login.Tag)
	}
	return nil
}

// succeeded judges what must succeed.
func succeeded(clause string, err error) error {
	if err != nil {
		return tester.Broken(clause, "%v, it must succeed", err)
	}
	return nil
}

// sensed judges the answer to a command that must fail with a sense.
func sensed(clause string, m srp.Rsp, err error, key scsi.Key, code scsi.Code) error {
	if err == nil {
		err = tester.FailureOf(m)
	}
	s, ok := tester.Sensed(err)
	if !ok || s.Key != key || s.Code != code {
		return tester.Broken(clause, "%s, it must be CHECK CONDITION with %s, %s", outcome(err), key, code)
	}
	return nil
}

// outcome says how a request has ended.
func outcome(err error) string {
	if err == nil {
		return "answered with GOOD"
	}
	return err.Error()
}

// refusedFields judges the answer to a command that must be refused with response code 2.
func refusedFields(clause, what string, m srp.Rsp, err error) error {
	if err != nil {
		return tester.Broken(clause, "%s: %v, it must be refused with response code 2", what, err)
	}
	if code, ok := m.ResponseCode(); !ok || code != srp.ResponseInvalidFields {
		return tester.Broken(clause, "%s: %s, it must be refused with response code 2", what, outcome(tester.FailureOf(m)))
	}
	return nil
}

// usable judges whether a channel is served after something.
func usable(ctx context.Context, clause, after string, c *tester.Channel, lun srp.LUN) error {
	if _, err := c.Execute(ctx, lun, scsi.TestUnitReady.New(), srp.Buffer{}, srp.Buffer{}); err != nil {
		return tester.Broken(clause, "after %s, TEST UNIT READY: %v", after, err)
	}
	return nil
}

// answered judges the end of a request that must be answered, whatever the answer.
func answered(clause, what string, err error) error {
	if err != nil && finding.Of(err).Undecided == nil {
		return tester.Broken(clause, "%s: %v, it must be answered", what, err)
	}
	return err
}

// Patterns of memory in which it shows whether something was written.
const untouched = 0xa5

// paint fills the memory of a channel with the pattern.
func paint(c *tester.Channel) ([]byte, error) {
	data, err := c.Memory()
	for i := range data {
		data[i] = untouched
	}
	return data, err
}

// touched is the index of the first byte of a part of the memory that something has written to, or -1.
func touched(data []byte) int {
	for i, b := range data {
		if b != untouched {
			return i
		}
	}
	return -1
}
