// SPDX-License-Identifier: Apache-2.0

package attacks

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// oddDepth is a queue depth that is no power of two, so that a chunk that does not exist has a number.
const oddDepth = 10

func immediates() []Attack {
	return []Attack{
		{Name: "immediates of unknown types", Clauses: []string{"IBTRS-IMM-008"}, Run: unknownImmediates},
		{Name: "request for the chunk behind the last", Clauses: []string{"IBTRS-IMM-006"}, Depth: oddDepth, Run: func(ctx context.Context, t *tester.Tester) error {
			return misplaced(ctx, t, "IBTRS-IMM-006", func(p *tester.Path, r *tester.Request) { r.Immediate = p.Place(uint32(p.Geometry.QueueDepth), 520) })
		}},
		{Name: "request whose offset is the end of its chunk", Clauses: []string{"IBTRS-IMM-007"}, Run: func(ctx context.Context, t *tester.Tester) error {
			return misplaced(ctx, t, "IBTRS-IMM-007", func(p *tester.Path, r *tester.Request) { r.Immediate = p.Place(0, p.Geometry.ChunkSize()) })
		}},
		{Name: "request with the largest offset", Clauses: []string{"IBTRS-IMM-007"}, Run: func(ctx context.Context, t *tester.Tester) error {
			return misplaced(ctx, t, "IBTRS-IMM-007", func(p *tester.Path, r *tester.Request) {
				r.Immediate = p.Place(0, 1<<p.Geometry.Shift()-1)
			})
		}},
		{Name: "requests at a queue depth that is no power of two", Clauses: []string{"IBTRS-IMM-013"}, Depth: oddDepth, Run: lastChunk},
		{Name: "heartbeat on the service connection", Clauses: []string{"IBTRS-HB-002"}, Run: func(ctx context.Context, t *tester.Tester) error { return heartbeat(ctx, t, 0) }},
		{Name: "heartbeat on a connection for I/O", Clauses: []string{"IBTRS-HB-012"}, Instead: SurvivalWarning, Run: func(ctx context.Context, t *tester.Tester) error { return heartbeat(ctx, t, 1) }},
		{Name: "acknowledgements of heartbeats that were never sent", Clauses: []string{"IBTRS-IMM-008"}, Run: uncalledAcknowledges},
	}
}

func unknownImmediates(ctx context.Context, t *tester.Tester) error {
	p, opened, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	for _, kind := range []ibtrs.ImmediateType{3, 4, 5, 6, 7, 10, 11, 12, 13, 14, 15} {
		for _, payload := range []uint32{0, 1<<28 - 1} {
			for cid := range uint16(2) {
				if err := p.Conns[cid].SendImmediate(ibtrs.MakeImmediate(kind, payload)); err != nil {
					return fmt.Errorf("immediate of type %d: %w", kind, err)
				}
			}
		}
		if _, err := p.ReadAt(ctx, opened.DeviceID, 0, 512); err != nil {
			return tester.Broken("IBTRS-IMM-008", "read after immediates of type %d: %s", kind, tester.Outcome(err))
		}
	}
	_, err = p.SessInfo(ctx, 2) // on connection 0
	return succeeded("IBTRS-IMM-008", err)
}

// misplaced sends a read with an immediate that leads nowhere.
func misplaced(ctx context.Context, t *tester.Tester, clause string, change func(*tester.Path, *tester.Request)) error {
	p, opened, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	r := readOf(p, opened.DeviceID, 0, 512)
	change(p, &r)
	if chunk := uint32(r.Immediate.Payload()) >> p.Geometry.Shift(); chunk != 0 && chunk != uint32(p.Geometry.QueueDepth) {
		return fmt.Errorf("%w: depth %d, chunks of %d bytes", ErrInapplicable, p.Geometry.QueueDepth, p.Geometry.ChunkSize())
	}
	if err := p.Post(r); err != nil {
		return err
	}
	return closedOnce(ctx, clause, p, r.CID)
}

// closedOnce judges that a path is closed without an answer on a connection.
func closedOnce(ctx context.Context, clause string, p *tester.Path, cid uint16) error {
	a, err := p.Answer(ctx, cid)
	switch {
	case err == nil:
		return tester.Broken(clause, "answered with %s, the path must be closed", a.Errno)
	case !errors.Is(err, tester.ErrClosed):
		return tester.Broken(clause, "%s, the path must be closed", tester.Outcome(err))
	}
	return closed(ctx, clause, p)
}

// lastChunk uses the last chunk, whose number has all bits that the depth needs.
func lastChunk(ctx context.Context, t *tester.Tester) error {
	p, opened, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	_, err = p.Call(ctx, p.ToChunk(readOf(p, opened.DeviceID, 0, 4096), uint32(p.Geometry.QueueDepth-1)), 4096)
	return succeeded("IBTRS-IMM-013", err)
}

// acknowledgeTime is how long the acknowledge of a heartbeat may take: half an interval, whatever patience other answers have.
var acknowledgeTime = ibtrs.DefaultTimers.HeartbeatInterval / 2

// heartbeat sends one on a connection, and waits for its acknowledge on connection 0.
func heartbeat(ctx context.Context, t *tester.Tester, cid uint16) error {
	clause := "IBTRS-HB-002"
	if cid != 0 {
		clause = "IBTRS-HB-012"
	}
	p := t.NewSession().NewPath(0)
	if err := p.Connect(ctx); err != nil {
		return err
	}
	if err := p.Conns[cid].SendImmediate(ibtrs.Heartbeat); err != nil {
		return err
	}
	sent := time.Now()
	for {
		m, err := p.Conns[0].Receive(ctx)
		took := time.Since(sent).Round(time.Millisecond)
		switch {
		case err != nil:
			return tester.Broken(clause, "%s, the heartbeat must be acknowledged", tester.Outcome(err))
		case m.Imm == ibtrs.HeartbeatAck && took > acknowledgeTime:
			return tester.Broken(clause, "acknowledged after %s, it must be within %s", took, acknowledgeTime)
		case m.Imm == ibtrs.HeartbeatAck:
			return nil
		case m.Imm != ibtrs.Heartbeat: // the target's own may come at any time
			return tester.Broken(clause, "a %s, the heartbeat must be acknowledged", m)
		}
	}
}

func uncalledAcknowledges(ctx context.Context, t *tester.Tester) error {
	p, opened, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	for range 16 {
		if err := p.Conns[0].SendImmediate(ibtrs.HeartbeatAck); err != nil {
			return err
		}
	}
	if _, err := p.SessInfo(ctx, 2); err != nil {
		return succeeded("IBTRS-IMM-008", err)
	}
	_, err = p.ReadAt(ctx, opened.DeviceID, 0, 512)
	return succeeded("IBTRS-IMM-008", err)
}
