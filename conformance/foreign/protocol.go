// SPDX-License-Identifier: Apache-2.0

package foreign

import (
	"context"
	"io"
	"time"

	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// Protocol is what runs against somebody else's implementation know of a protocol.
type Protocol struct {
	Port       uint16 // where a target listens whose address has no port
	Targets    Targets
	Initiators Initiators
	Packets    Packets
	Heartbeats bool // both sides send some, and can be configured how often
}

// Targets is what a protocol knows of targets.
type Targets struct {
	Specs func() []Spec // that can be run on a target
	// Patience is how long one answer may take, unless [Config] says otherwise.
	Patience time.Duration
	// Scratch is how many sectors of [SectorSize] bytes the specs write in a scratch range, from its begin on.
	Scratch uint64
	// LeastExport is what the specs need of an export, in bytes.
	LeastExport uint64
	// LongestExport is how long the name of an export may be, in bytes.
	LongestExport int
	// Exports are those of a target of which nothing else is said.
	Exports []string
	// CheckExport, unless nil, refuses what cannot name an export.
	CheckExport func(name string) error
	// Identity is what else an initiator has to say of a target to be let in, such as an identifier.
	Identity []Word
	// Owners say in the help of a command what actions of the control hook there are beside those of all protocols.
	Owners string
	// Random says what is drawn at random; nil: nothing is.
	Random *Random
	// Contact connects to every address of a target, has each export checked by [TargetRun.CheckExport], and says what it found out.
	// It writes nothing.
	Contact func(ctx context.Context, r *TargetRun) (Found, error)
	// Serves fails unless a new client is served, as far as the owner lets it try.
	Serves func(ctx context.Context, r *TargetRun) error
	// Serving is the clause that says that it must be.
	Serving string
}

// Random is the spec that draws what it does from [Config.Seed], and that can run what it has saved of a failure.
type Random struct {
	Spec  string
	Check func(saved []byte) error // refuses what the spec cannot run
}

// DefaultSeed is what is drawn from unless a [Config] says otherwise, so that two runs do the same.
const DefaultSeed = 1

// Word is something that the owner of a target has to tell.
type Word struct {
	Name, Usage string
	Check       func(value string) error // refuses what it cannot be
}

// Found is what the first contact finds out of a target.
type Found struct {
	Abilities  map[clauses.Ability]bool
	QueueDepth int // requests that it takes at a time
}

// Initiators is what a protocol knows of initiators.
type Initiators struct {
	Specs func() []Spec // that can be run on an initiator
	// Patience is how long it may take for what needs no timer, unless [InitiatorConfig] says otherwise.
	Patience time.Duration
	// OrdinaryPort is where the server of Use listens.
	OrdinaryPort uint16
	// Use has the initiator map a disk of an ordinary server, write, read, and unmap it. Where the control hook lacks an action,
	// the error is ErrNotSupported.
	Use func(ctx context.Context, r *InitiatorRun) error
	// Serving is the clause that says that an initiator must be able to do so.
	Serving string
	// Help says in the help of a command what waits for an initiator, and lists the actions of its control hook.
	Help string
}

// Packets reads packets that were recorded.
type Packets struct {
	// Judge is the passive judge: what the packets in the files say of both sides.
	Judge func(ctx context.Context, c audit.Configuration, files ...string) ([]verdict.Result, error)
	// Timeline writes what the packets mean, a line for each: so many lines from the begin and from the end.
	Timeline func(ctx context.Context, w io.Writer, lines int, files ...string) error
}

// Target is a target as a subject of this protocol.
func (p *Protocol) Target(c Config) Subject { return target{Config: c, protocol: p} }

// Initiator is an initiator as a subject of this protocol.
func (p *Protocol) Initiator(c InitiatorConfig) Subject { return initiator{c, p} }
