// SPDX-License-Identifier: Apache-2.0

package ibtrs

import "fmt"

// ProtocolError says that a peer broke a rule of the protocol, and which. It ends the path on which it happened and
// nothing else.
type ProtocolError struct {
	Clause string // id of the clause that the peer broke, such as "IBTRS-IMM-006"
	Err    error  // what was wrong, often a *layout.Error
}

// Error names the clause and the fault.
func (e *ProtocolError) Error() string {
	return fmt.Sprintf("peer breaks clause %s: %v", e.Clause, e.Err)
}

// Unwrap gives the fault, and ECONNRESET, which is what the user of a path that ends so gets to see.
func (e *ProtocolError) Unwrap() []error { return []error{e.Err, ECONNRESET} }

func breach(clause string, err error) error {
	if err == nil {
		return nil
	}
	return &ProtocolError{clause, err}
}

func breachf(clause, format string, args ...any) error {
	return &ProtocolError{clause, fmt.Errorf(format, args...)}
}
