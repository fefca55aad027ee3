// SPDX-License-Identifier: Apache-2.0

package attacks

import (
	"context"
	"errors"
	"fmt"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/reference/rdma"
)

// formOf is how a target of the announced key mode responds.
func formOf(p *tester.Path) rdma.Op {
	if p.KeyRefresh() {
		return rdma.OpSendImm
	}
	return rdma.OpWriteImm
}

func keys() []Attack {
	return []Attack{
		{Name: "one chunk used again and again", Does: Writes, Clauses: []string{"IBTRS-INV-004"}, Run: oneChunk},
		{Name: "write to a chunk with its old key", Clauses: []string{"IBTRS-INV-005"}, Run: oldKey},
		{Name: "write to a chunk with a key that never was", Clauses: []string{"IBNBD-FAIL-015"}, Run: wrongKey},
		{Name: "write in front of the chunks", Clauses: []string{"IBNBD-FAIL-015"}, Run: outside},
		{Name: "responses where keys are kept", Clauses: []string{"IBTRS-IO-014"}, Run: keptKeys},
	}
}

func oneChunk(ctx context.Context, t *tester.Tester) error {
	p, opened, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	for i := range 16 {
		if err := p.WriteAt(ctx, opened.DeviceID, 0, tester.Stamped(0, 4096, uint64(i))); err != nil {
			return tester.Broken("IBTRS-INV-004", "request %d through one chunk: %s", i, tester.Outcome(err))
		}
	}
	return nil
}

// oldKey looks for a key that is the same after a request, in every chunk and over many requests in one, and then uses one that has
// been taken back.
func oldKey(ctx context.Context, t *tester.Tester) error {
	p, opened, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	if !p.KeyRefresh() {
		return fmt.Errorf("%w: it keeps its keys", ErrInapplicable)
	}
	const again = 20 // requests in the first chunk
	var old uint32
	for i := range again + min(uint32(p.Geometry.QueueDepth), mostRequests) {
		chunk := uint32(0)
		if i >= again {
			chunk = i - again
		}
		old = p.Chunks[chunk].RKey
		if _, err := p.Call(ctx, p.ToChunk(readOf(p, opened.DeviceID, 0, readSize), chunk), readSize); err != nil {
			return err
		}
		if p.Chunks[chunk].RKey == old {
			return tester.Broken("IBTRS-INV-005", "the key %#x of chunk %d is the same after a request", old, chunk)
		}
	}
	last := min(uint32(p.Geometry.QueueDepth), mostRequests) - 1
	r := p.ToChunk(readOf(p, opened.DeviceID, 0, readSize), last)
	r.Key = old
	_, err = p.Do(ctx, r)
	return brokenOff(ctx, "IBTRS-INV-005", p, err)
}

func wrongKey(ctx context.Context, t *tester.Tester) error {
	p, opened, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	const never = 0xA5A5A500 // differs from every chunk's in more than the part that counts registrations
	return withKey(ctx, "IBNBD-FAIL-015", p, opened.DeviceID, p.Chunks[0].RKey^never)
}

// withKey sends a request with a key that must not work.
func withKey(ctx context.Context, clause string, p *tester.Path, device uint32, key uint32) error {
	r := readOf(p, device, 0, readSize)
	r.Key = key
	_, err := p.Do(ctx, r)
	return brokenOff(ctx, clause, p, err)
}

// brokenOff judges that the connection of a request broke by access to what the client has no key for, and that the target
// then closes the path.
func brokenOff(ctx context.Context, clause string, p *tester.Path, err error) error {
	var work *rdma.WorkError
	if !errors.As(err, &work) || work.Status != rdma.StatusRemoteAccess {
		return tester.Broken(clause, "%s, the work must fail with %q", tester.Outcome(err), rdma.StatusRemoteAccess)
	}
	return closed(ctx, clause, p)
}

// outside writes in front of the first chunk, with the key of the first chunk.
func outside(ctx context.Context, t *tester.Tester) error {
	p, opened, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	p.Chunks[0].Address -= 4096
	_, err = p.Do(ctx, readOf(p, opened.DeviceID, 0, readSize))
	return brokenOff(ctx, "IBNBD-FAIL-015", p, err)
}

func keptKeys(ctx context.Context, t *tester.Tester) error {
	p, opened, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	if p.KeyRefresh() {
		return fmt.Errorf("%w: it refreshes its keys", ErrInapplicable)
	}
	a, err := p.Do(ctx, readOf(p, opened.DeviceID, 0, readSize))
	switch {
	case err != nil:
		return err
	case a.Op != rdma.OpWriteImm || len(a.Body) != 0:
		return tester.Broken("IBTRS-IO-014", "the response is a %s", a.Message)
	}
	return nil
}
