// SPDX-License-Identifier: Apache-2.0

package subject

import (
	"context"
	"fmt"
	"time"

	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// Promises are the times that an initiator tells its user of a session; 0 stands for one that it does not tell.
type Promises struct {
	StallWithPath    time.Duration // the longest that an I/O waits when its path is lost and another is whole
	ErrorWithoutPath time.Duration // the longest until an I/O fails when no path is left
	Reconnect        time.Duration // the longest from a wire that is whole again to a connected path
}

// Promiser is an initiator that makes promises (clauses IBTRS-PATH-025 and IBTRS-PATH-026).
type Promiser interface {
	Promises(ctx context.Context, session string) (Promises, error)
}

// Loose names the promises that are looser than what follows from the timers, for a session of so many paths.
func (t Timers) Loose(p Promises, paths int) []string {
	var loose []string
	for _, c := range []struct {
		what     string
		promised time.Duration
		derived  verdict.Bound
	}{
		{"an I/O stalls with another path", p.StallWithPath, t.StallWithPath()},
		{"an I/O fails without a path", p.ErrorWithoutPath, t.ErrorWithoutPath()},
		{"a path is connected after heal", p.Reconnect, t.reconnect(paths)},
	} {
		if c.promised > c.derived.Limit {
			loose = append(loose, fmt.Sprintf("%s within %s is promised, from the timers follows %s", c.what, c.promised, c.derived))
		}
	}
	return loose
}

// Promised are the timers of an initiator that promises more than follows from them: it is judged by what it promises. Its timers
// may still be late, and a fault of which the peer does not know yet counts from when the peer is silent.
func (t Timers) Promised(p Promises) Timers {
	t.promises = p
	return t
}

// unlessPromised is a bound, or the promise that is tighter, when the peer is heard for so many intervals yet.
func (t Timers) unlessPromised(b verdict.Bound, promise time.Duration, heard int) verdict.Bound {
	limit := t.late(promise + time.Duration(heard)*t.HeartbeatInterval)
	if promise == 0 || limit >= b.Limit {
		return b
	}
	return verdict.Bound{
		Limit:   limit,
		Formula: fmt.Sprintf("the initiator promises %s, timers late by %d %%, and %d heartbeat intervals until the peer is silent", promise, t.Lateness, heard),
	}
}
