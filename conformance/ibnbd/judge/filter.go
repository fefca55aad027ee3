// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/conformance/audit/live"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
)

// Filters for package live: they choose frames by what they mean to IBTRS and IBNBD.

// filter makes a filter of what the protocol knows of an event. Events of others are not chosen.
func filter(chosen func(e *Event) bool) live.Filter {
	return func(event *audit.Event) bool {
		e := Of(event)
		return e != nil && chosen(e)
	}
}

// Requests chooses IBTRS requests when they are sent: each is one RDMA WRITE with immediate.
func Requests() live.Filter { return live.OfKind(RequestSent) }

// Answers chooses the answers to IBTRS requests.
func Answers() live.Filter { return live.OfKind(RequestAnswered) }

// WithOp chooses requests, and answers to requests, that carry a block operation.
func WithOp(op ibnbd.Op) live.Filter {
	return filter(func(e *Event) bool { return e.Request != nil && e.Request.HasIO && e.Request.IO.Op() == op })
}

// WithMessage chooses requests, and answers to requests, that carry a type of block message, such as ibnbd.TypeOpen.
func WithMessage(kind uint16) live.Filter {
	return filter(func(e *Event) bool { return e.Request != nil && e.Request.MessageType == kind })
}

// InSession chooses what happens in the session of a name.
func InSession(name string) live.Filter {
	return filter(func(e *Event) bool { return e.Session != nil && e.Session.Name == name })
}

// OnPath chooses what happens on the n-th path of its session, from 1, in the order in which the paths were first seen.
func OnPath(n int) live.Filter {
	return filter(func(e *Event) bool {
		if e.Session == nil || e.Path == nil {
			return false
		}
		paths := e.Session.Paths()
		return n >= 1 && n <= len(paths) && paths[n-1] == e.Path
	})
}

// OnConnection chooses what happens on the connection with a number in its path.
func OnConnection(cid int) live.Filter {
	return filter(func(e *Event) bool { return e.CID() == cid })
}
