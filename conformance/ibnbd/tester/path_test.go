// SPDX-License-Identifier: Apache-2.0

package tester

import (
	"errors"
	"testing"

	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

func TestRejectErrorNamesTheNumber(t *testing.T) {
	cause := errors.New("consumer reject")
	for errno, want := range map[ibtrs.Errno]string{
		0: "rejected without an error number: consumer reject", ibtrs.ECONNRESET: "rejected with ECONNRESET: consumer reject",
	} {
		if got := (&RejectError{Errno: errno, Err: cause}).Error(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
