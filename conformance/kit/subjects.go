// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"context"
	"io"

	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// Subjects are the target and the initiator under test on the hosts of a testbed, and everything that the running spec has made
// with them. Each protocol has its own, and its specs know more of them than this.
type Subjects interface {
	// Start makes both ready, on hosts that have nothing of them yet.
	Start(ctx context.Context) error
	// Begin is called before each spec, with the spec's labels. It skips a spec that does not apply to the subjects.
	Begin(labels []string)
	// TakeDown removes what the spec has made with the subjects. The error says what cannot be removed.
	TakeDown(ctx context.Context) error
	// Died lists how programs of the subjects have ended that should be running.
	Died() []error
	// TakeLogs gives what programs of the subjects have said since this was last asked, by names of files.
	TakeLogs() map[string][]byte
	// Stop takes both down, which must leave nothing loaded. The results say how they took it.
	Stop(ctx context.Context) []verdict.Result
}

// Protocol is what the kit has to know of a protocol.
type Protocol struct {
	// NewSubjects makes the subjects of a configuration on a testbed. Nothing is started yet.
	NewSubjects func(*Testbed, Config) (Subjects, error)
	// SysfsDirs are shell patterns of the directories in which subjects show their state.
	SysfsDirs []string
	// Judge reads recordings of one spec, and says which clauses the packets keep and which they break.
	Judge func(ctx context.Context, recordings ...string) ([]verdict.Result, error)
	// TimedClauses are those that Judge decides by when frames were seen.
	TimedClauses []string
	// WriteTimeline writes what the packets of recordings mean: so many lines from the beginning, and so many from the end.
	WriteTimeline func(ctx context.Context, out io.Writer, lines int, recordings ...string) error
	// Alteration finds what makes subjects look broken, by the names that [Config] has of mutants.
	Alteration func(mutant string) (Alteration, bool)
}
