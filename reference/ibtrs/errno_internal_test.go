// SPDX-License-Identifier: Apache-2.0

package ibtrs

import (
	"strings"
	"testing"
)

// TestErrorsHaveTheNamesOfNumbers, also those that are made before the package is initialised.
func TestErrorsHaveTheNamesOfNumbers(t *testing.T) {
	for _, err := range []error{errNoPath, errGivenUp, errSessionClosed} {
		if !strings.HasSuffix(err.Error(), ": ECONNABORTED") {
			t.Errorf("%q does not end with the name of its number", err)
		}
	}
}
