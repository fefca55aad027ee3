// SPDX-License-Identifier: Apache-2.0

package live

import (
	"slices"

	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
)

// Filter chooses events.
type Filter func(e *audit.Event) bool

// All chooses what every filter chooses.
func All(filters ...Filter) Filter {
	return func(e *audit.Event) bool {
		return !slices.ContainsFunc(filters, func(f Filter) bool { return !f(e) })
	}
}

// OfKind chooses events of any of these kinds.
func OfKind(kinds ...audit.Kind) Filter {
	return func(e *audit.Event) bool { return slices.Contains(kinds, e.Kind) }
}

// Requests chooses IBTRS requests when they are sent: each is one RDMA WRITE with immediate.
func Requests() Filter { return OfKind(audit.RequestSent) }

// Answers chooses the answers to IBTRS requests.
func Answers() Filter { return OfKind(audit.RequestAnswered) }

// Of chooses requests, and answers to requests, that carry a block operation.
func Of(op ibnbd.Op) Filter {
	return func(e *audit.Event) bool {
		return e.Request != nil && e.Request.HasIO && e.Request.IO.Op() == op
	}
}

// OfMessage chooses requests, and answers to requests, that carry a type of block message, such as ibnbd.TypeOpen.
func OfMessage(kind uint16) Filter {
	return func(e *audit.Event) bool { return e.Request != nil && e.Request.MessageType == kind }
}

// OfSession chooses what happens in the session of a name.
func OfSession(name string) Filter {
	return func(e *audit.Event) bool { return e.Session != nil && e.Session.Name == name }
}

// OnPath chooses what happens on the n-th path of its session, from 1, in the order in which the paths were first seen.
func OnPath(n int) Filter {
	return func(e *audit.Event) bool {
		if e.Session == nil || e.Path == nil {
			return false
		}
		paths := e.Session.Paths()
		return n >= 1 && n <= len(paths) && paths[n-1] == e.Path
	}
}

// OnConnection chooses what happens on the connection with a number in its path.
func OnConnection(cid int) Filter {
	return func(e *audit.Event) bool { return e.Connection != nil && e.Connection.CID() == cid }
}

// From chooses what one side does.
func From(side audit.Side) Filter {
	return func(e *audit.Event) bool { return e.From == side }
}
