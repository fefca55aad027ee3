// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"context"
	"io"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/reference/roce"
)

// Protocol is what the engine has to know of a protocol over reliable connections. It finds the connections and puts their messages
// together; what they mean, and what must be judged, it asks the protocol.
type Protocol struct {
	Name string // as statistics and reports have it, such as "ibtrs"

	// Follow makes what follows the protocol's connections for one tracker.
	Follow func(t *Tracker) Follower

	// Catalogue has the protocol's clauses, and Rules decide them.
	Catalogue func() *clauses.Catalogue
	Rules     []Rule

	// NewMemory makes what the rules remember for one judge; nil if they remember nothing.
	NewMemory func() Memory

	// IsHeartbeat tells heartbeats without knowing of connections: a silence that such a connection outlives was none. May be nil.
	IsHeartbeat func(p *roce.Packet) bool
}

// Follower follows the connections of one protocol for one tracker.
type Follower interface {
	// Claims reports whether a connection that is asked for will carry the protocol.
	Claims(c *Connection) bool
	// Join begins to follow a connection, with its request.
	Join(c *Connection, e *Event) Conversation
	// Joined comes after everybody has seen the request.
	Joined(c *Connection)
	// Stray takes a packet of a connection that began before the capture, and that may be of any protocol.
	Stray(p *roce.Packet)
}

// Conversation is what one connection carries.
type Conversation interface {
	// Describe adds what is known of the connection to an event of connection management or of the transport.
	Describe(e *Event)
	// Reply takes the reply to the connection's request, Reject its rejection.
	Reply(e *Event)
	Reject(e *Event)
	// Message takes a whole message, in order.
	Message(f *Flow, m *Message)
	// Gap says that packets of a direction were not seen.
	Gap(f *Flow)
	// Close says that one side has asked for disconnection, or that the connection is gone. It may come more than once.
	Close()
	// Forget says that nothing more will be told of the connection.
	Forget()
}

// Detail is what a protocol knows of an event.
type Detail interface {
	// InTimeline reports whether the event belongs into a timeline of what happened to sessions, devices and I/O.
	InTimeline() bool
	// SessionName and PathName say in which session and on which path it happened; "" if there is none.
	SessionName() string
	PathName() string
	// Place says where it happened; "" if the connection tells it.
	Place() string
	// Text says what happened; "" leaves that to the engine.
	Text() string
	// Counts gives the line of the statistics that the event belongs to; false if there is none, or if the event does not count.
	Counts() (Line, bool)
	// Count counts the event in its line.
	Count(p *PathStatistics)
}

// Line is a path, or a connection, that has a line of its own in the statistics.
type Line interface {
	// Key is unique in a tracker, see [Tracker.NewID].
	Key() uint64
	// Describe names the line.
	Describe(p *PathStatistics)
}

// Memory is what the rules of a protocol remember beyond an event.
type Memory interface {
	// After learns from an event that the rules have seen.
	After(e *Event)
}

// JudgeFiles judges files together that the rails of one run were recorded in, by one clock. The results name the files as
// evidence. Nothing is known but what the files show.
func (p *Protocol) JudgeFiles(ctx context.Context, files ...string) ([]verdict.Result, error) {
	return p.JudgeConfigured(ctx, Configuration{}, files...)
}

// JudgeConfigured is JudgeFiles of sides of which it is known how they are configured.
func (p *Protocol) JudgeConfigured(ctx context.Context, c Configuration, files ...string) ([]verdict.Result, error) {
	source, err := openRecordings(ctx, files)
	if err != nil {
		return nil, err
	}
	defer source.Close()
	report, err := Audit{Tracker: Options{Protocols: []*Protocol{p}}, Configuration: c}.Run(ctx, source)
	if err != nil {
		return nil, err
	}
	rails := make(map[string]string)
	for _, file := range files {
		rails[RailOf(file)] = file
	}
	return report.Results(rails), nil
}

// WriteTimeline writes what happened to sessions, devices and I/O in the files of one run, as [Protocol.JudgeFiles] takes them,
// line by line: the first and the last lines, so many of each, and between them how many were left out. What can be told of a
// damaged capture is written before the error comes back.
func (p *Protocol) WriteTimeline(ctx context.Context, w io.Writer, most int, files ...string) error {
	source, err := openRecordings(ctx, files)
	if err != nil {
		return err
	}
	defer source.Close()
	lines := newExcerpt(w, most)
	_, err = Audit{Tracker: Options{Protocols: []*Protocol{p}}, Observe: lines.observe}.Run(ctx, source)
	if ended := lines.end(); err == nil {
		err = ended
	}
	return err
}
