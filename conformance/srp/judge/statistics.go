// SPDX-License-Identifier: Apache-2.0

package judge

import "github.com/ibnbd/ibnbd/conformance/audit"

// Counts gives the line of the event's channel, if the event counts.
func (e *Event) Counts() (audit.Line, bool) {
	if e.Channel == nil || !e.Channel.up {
		return nil, false
	}
	switch e.Kind {
	case CommandAnswered, CommandUnanswered, TaskManagementAnswered, ChannelUp:
		return e.Channel, true
	}
	return e.Channel, e.Transport()
}

// Key is the id of the channel's connection.
func (c *Channel) Key() uint64 { return c.conn.ID }

// Describe names the channel's line of the statistics.
func (c *Channel) Describe(s *audit.PathStatistics) {
	s.Path, s.Rail = c.conn.String(), c.conn.Rail
	if c.nexus != nil {
		s.Session = c.nexus.name
	}
}

// Count counts the event.
func (e *Event) Count(s *audit.PathStatistics) {
	switch e.Kind {
	case CommandUnanswered:
		s.Unanswered++
	case CommandAnswered:
		moved := e.Command.MovedIn + e.Command.MovedOut
		if e.Command.OutFormat != 0 && e.Command.Out > 0 {
			moved = uint64(e.Command.Out)
		}
		name, known := scsiNames[e.Command.OpCode()]
		if !known {
			name = "other"
		}
		s.Op(name, moved, e.Answer.Response.Status != 0, e.Answer.Latency)
	case TaskManagementAnswered:
		s.Op("task management", 0, false, e.Answer.Latency)
	case ChannelUp:
		s.Connects++
	}
}
