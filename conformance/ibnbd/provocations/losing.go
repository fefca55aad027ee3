// SPDX-License-Identifier: Apache-2.0

package provocations

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/script"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/conformance/stamp"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// losing are about requests that wait: for a chunk, or for the answer of a server that goes away.
func losing() []Provocation {
	return []Provocation{
		{Name: "there are more requests than chunks", Clauses: []string{"IBTRS-IO-020"}, Run: waitForChunks},
		{Name: "one answer frees the chunk that the only other request waits for", Clauses: []string{noTraffic}, Run: woken},
		{Name: "a server disconnects while one request waits for a chunk", Clauses: []string{noTraffic}, Run: desertedInLine},
		{Name: "one of two paths is lost with the only request", Servers: 2, Clauses: []string{noTraffic}, Run: lostAlone},
		{Name: "a server disconnects while writes wait for their answers", Clauses: []string{"IBTRS-IO-030", "IBNBD-FAIL-006"}, Run: deserted},
		{Name: "a disk is read whose server is gone", Clauses: []string{"IBNBD-IO-019"}, Run: readWithoutServer},
		{Name: "a disk is unmapped whose server is gone", Clauses: []string{"IBNBD-FAIL-009"}, Run: unmappedWithoutServer},
		{Name: "another disk is mapped whose server is gone", Clauses: []string{"IBNBD-FAIL-010"}, Run: mappedWithoutServer},
		{Name: "one of two paths is lost while writes wait on it", Servers: 2, Clauses: []string{"IBNBD-FAIL-005"}, Run: oneOfTwoLost},
		{Name: "one of two paths is lost and stays away", Servers: 2, Clauses: []string{"IBNBD-FAIL-005"}, Run: oneStaysAway},
		{Name: "two paths are lost, one after the other", Servers: 2, Clauses: []string{"IBTRS-PATH-015"}, Run: bothLost},
		{Name: "a path is added and the other is lost", Servers: 2, Clauses: []string{"IBTRS-MP-009"}, Run: addedAlone},
		{Name: "a path is removed while writes wait on it", Servers: 2, Clauses: []string{"IBTRS-PATH-019"}, Run: removedUnderWrites},
	}
}

// noTraffic is the clause that no request waits until there is other traffic.
const noTraffic = "IBNBD-FAIL-030"

// beginOnTwo starts a server with two addresses and maps its disk over the first so many of them, which must work.
func (p *Execution) beginOnTwo(ctx context.Context, paths int) (*script.Server, Disk, error) {
	v, err := p.serveOn(2, script.Script{})
	if err != nil {
		return nil, nil, err
	}
	d, err := p.take(ctx, func(ctx context.Context) (Disk, error) { return p.setup.Initiator.Map(ctx, v.Addrs()[:paths]...) })
	if err != nil {
		return v, nil, fmt.Errorf("map the disk of a conforming server over %d paths: %w", paths, err)
	}
	return v, d, nil
}

// batch is writes that are under way at once, each to a place of its own. No two lie side by side, or a block layer might
// make one of them.
type batch struct {
	disk    Disk
	results chan error
	size    int
}

// gather begins so many writes.
func gather(ctx context.Context, d Disk, size int) *batch {
	c := &batch{disk: d, results: make(chan error, size), size: size}
	for i := range size {
		go func() { c.results <- bounded(ctx, d.Write(ctx, placeOf(i), stamped(i))) }()
	}
	return c
}

// ended waits for all writes, and gives their errors.
func (c *batch) ended() []error {
	var errs []error
	for range c.size {
		if err := <-c.results; err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

// intact reads what was written, and compares it.
func (c *batch) intact(ctx context.Context) error {
	for i := range c.size {
		b, err := c.disk.Read(ctx, placeOf(i), probeSize)
		if err == nil {
			err = stamp.Check(b, uint64(placeOf(i)/stamp.Sector), stamp.Stamp{Writer: 1, Sequence: sequenceOf(i)})
		}
		if err != nil {
			return fmt.Errorf("block %d: %w", i, bounded(ctx, err))
		}
	}
	return nil
}

// placeOf is the place of the i-th of several I/Os that are under way at once. They do not touch, or the kernel might make one
// request of two.
func placeOf(i int) int64 { return probeOffset + int64(2*i*probeSize) }

func sequenceOf(i int) uint64 { return uint64(10 + i) }

func stamped(i int) []byte {
	return tester.Stamped(uint64(placeOf(i)/stamp.Sector), probeSize, sequenceOf(i))
}

// delayed are writes that a server has not answered yet.
type delayed struct {
	server *script.Server
	writes []*script.Request // belong to the server's event loop
}

// delay has a server answer none of the writes that are chosen, until it is told to.
func delay(v *script.Server, chosen func(r *script.Request) bool) *delayed {
	l := &delayed{server: v}
	v.Do(func() {
		v.Script.Serve = func(r *script.Request) {
			if r.Kind == ibnbd.TypeIO && r.IO.Op() == ibnbd.OpWrite && chosen(r) {
				l.writes = append(l.writes, r)
				return
			}
			r.Answer()
		}
	})
	return l
}

func every(*script.Request) bool { return true }

// gathered waits until so many writes wait.
func (l *delayed) gathered(ctx context.Context, count int) error {
	return l.server.Await(ctx, fmt.Sprintf("%d writes wait for their answers", count), func() bool { return len(l.writes) >= count })
}

// release answers the writes that wait, and later ones at once.
func (l *delayed) release() {
	l.server.Do(func() {
		l.server.Script.Serve = nil
		for _, r := range l.writes {
			r.Answer()
		}
		l.writes = nil
	})
}

// turnAway has a server let nobody in, until it is told to.
func turnAway(v *script.Server) {
	v.Do(func() { v.Script.Connect = func(k *script.ConnRequest) { k.RejectErrno(-int16(ibtrs.EBUSY)) } })
}

// waitForChunks judges that requests for which there is no chunk wait, and are completed later.
func waitForChunks(ctx context.Context, p *Execution) error {
	const clause = "IBTRS-IO-020"
	const chunks, writes = 4, 12
	g := script.DefaultGeometry
	g.QueueDepth = chunks
	v, d, err := p.begin(ctx, script.Script{Geometry: g})
	if err != nil {
		return err
	}
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	patience, cancel := p.patient(ctx)
	defer cancel()
	late := delay(v, every)
	c := gather(bounded, d, writes)
	_ = late.gathered(patience, chunks) // an initiator may leave chunks unused
	late.release()
	if errs := c.ended(); len(errs) > 0 {
		return tester.Broken(clause, "%d of %d writes to a server with %d chunks failed: %v", len(errs), writes, chunks, errs[0])
	}
	if err := c.intact(bounded); err != nil {
		return tester.Broken(clause, "%v", err)
	}
	return nil
}

// answerOne answers the first of the writes that wait, and no other.
func (l *delayed) answerOne() {
	l.server.Do(func() {
		l.writes[0].Answer()
		l.writes = l.writes[1:]
	})
}

// line is an initiator of whose writes all but one have a chunk.
type line struct {
	server *script.Server
	writes *batch
	late   *delayed
}

// narrow has an initiator write to a server of two chunks until one write waits for a chunk. The writes end with the second
// context at the latest.
func narrow(ctx, patience context.Context, p *Execution) (*line, error) {
	const chunks = 2
	g := script.DefaultGeometry
	g.QueueDepth = chunks
	v, d, err := p.begin(ctx, script.Script{Geometry: g})
	if err != nil {
		return nil, err
	}
	l := &line{server: v, late: delay(v, every)}
	l.writes = gather(patience, d, chunks+1)
	return l, l.late.gathered(patience, chunks)
}

// woken judges that the only request which waits for a chunk is sent when one answer has freed one, though nothing else happens.
func woken(ctx context.Context, p *Execution) error {
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	l, err := narrow(ctx, bounded, p)
	if err != nil {
		return err
	}
	patience, cancel := p.patient(ctx)
	defer cancel()
	l.late.answerOne()
	if err := l.late.gathered(patience, l.writes.size-1); err != nil {
		return tester.Broken(noTraffic, "a write waits for a chunk, and one is free: %v", err)
	}
	l.late.release()
	if errs := l.writes.ended(); len(errs) > 0 {
		return tester.Broken(noTraffic, "%d of %d writes failed: %v", len(errs), l.writes.size, errs[0])
	}
	if err := l.writes.intact(bounded); err != nil {
		return tester.Broken(noTraffic, "%v", err)
	}
	return nil
}

// desertedInLine judges that a request which waits for a chunk ends with those that have one, when the only path is lost.
func desertedInLine(ctx context.Context, p *Execution) error {
	patience, cancel := p.patient(ctx)
	defer cancel()
	l, err := narrow(ctx, patience, p)
	if err != nil {
		return err
	}
	turnAway(l.server)
	p.hangup(ctx, l.server)
	for range l.writes.size {
		if err := failed(noTraffic, "a write when the server disconnects", <-l.writes.results, ibtrs.EIO); err != nil {
			return err
		}
	}
	return nil
}

// lostAlone judges that the only request of an initiator goes out on the other path when its own is lost, though nothing else
// happens.
func lostAlone(ctx context.Context, p *Execution) error {
	v, d, err := p.beginOnTwo(ctx, 2)
	if err != nil {
		return err
	}
	patience, cancel := p.patient(ctx)
	defer cancel()
	var lost *script.Path
	late := delay(v, func(r *script.Request) bool {
		if lost == nil {
			lost = r.Conn.Path
		}
		return r.Conn.Path == lost
	})
	c := gather(patience, d, 1)
	if err := late.gathered(patience, 1); err != nil {
		return err
	}
	turnAway(v)
	v.Do(lost.Hangup)
	if errs := c.ended(); len(errs) > 0 {
		return tester.Broken(noTraffic, "the write failed: %v", errs[0])
	}
	if err := c.intact(patience); err != nil {
		return tester.Broken(noTraffic, "%v", err)
	}
	return nil
}

// waitingWrites are few enough to fit into the queue of any initiator.
const waitingWrites = 4

// deserted judges that every request which waits for an answer ends, with an error, when the only path is lost.
func deserted(ctx context.Context, p *Execution) error {
	const once, number = "IBTRS-IO-030", "IBNBD-FAIL-006"
	v, d, err := p.begin(ctx, script.Script{})
	if err != nil {
		return err
	}
	patience, cancel := p.patient(ctx)
	defer cancel()
	late := delay(v, every)
	c := gather(patience, d, waitingWrites)
	if err := late.gathered(patience, waitingWrites); err != nil {
		return err
	}
	p.hangup(ctx, v)
	for range c.size {
		err := <-c.results
		if errors.Is(err, errStuck) {
			return tester.Broken(once, "a write that waits for its answer when the server disconnects: %v", err)
		}
		if err := failed(number, "a write that waits for its answer when the server disconnects", err, ibtrs.EIO); err != nil {
			return err
		}
	}
	late.release()
	return returned(ctx, p, once, v, d)
}

// gone maps a disk whose server then goes away for good.
func gone(ctx context.Context, p *Execution) (*script.Server, Disk, error) {
	v, d, err := p.begin(ctx, script.Script{})
	if err != nil {
		return nil, nil, err
	}
	if err := v.StopListening(); err != nil {
		return nil, nil, err
	}
	p.hangup(ctx, v)
	return v, d, p.awaitState(ctx, d, closed)
}

// readWithoutServer judges that I/O fails at once while there is no path.
func readWithoutServer(ctx context.Context, p *Execution) error {
	const clause = "IBNBD-IO-019"
	_, d, err := gone(ctx, p)
	if err != nil {
		return err
	}
	err = p.read(ctx, d)
	if errors.Is(err, errStuck) {
		return tester.Broken(clause, "a read of a disk without a path: %v", err)
	}
	return failed(clause, "a read of a disk without a path", err, ibtrs.EIO)
}

// unmappedWithoutServer judges that a disk can be given up while there is no path.
func unmappedWithoutServer(ctx context.Context, p *Execution) error {
	const clause = "IBNBD-FAIL-009"
	_, d, err := gone(ctx, p)
	if err != nil {
		return err
	}
	if err := p.unmap(ctx, d); err != nil {
		return tester.Broken(clause, "a disk without a path: %v", err)
	}
	return nil
}

// mappedWithoutServer judges that mapping fails, and does not wait, while there is no path.
func mappedWithoutServer(ctx context.Context, p *Execution) error {
	const clause = "IBNBD-FAIL-010"
	_, d, err := gone(ctx, p)
	if err != nil {
		return err
	}
	patience, cancel := p.patient(ctx)
	defer cancel()
	_, err = p.takeWithin(patience, d.MapAnother)
	return failed(clause, "mapping over a session without a path", err)
}

// oneOfTwoLost judges that nobody notices when one of two paths is lost on which requests wait.
func oneOfTwoLost(ctx context.Context, p *Execution) error {
	return withoutNotice(ctx, p, "IBNBD-FAIL-005", func(ctx context.Context, lost *script.Path, _ Disk) error {
		turnAway(lost.Server())
		lost.Server().Do(lost.Hangup)
		return nil
	})
}

// removedUnderWrites judges the same of a path that is removed.
func removedUnderWrites(ctx context.Context, p *Execution) error {
	return withoutNotice(ctx, p, "IBTRS-PATH-019", func(ctx context.Context, lost *script.Path, d Disk) error {
		return d.RemovePath(ctx, lost.Addr())
	})
}

// withoutNotice has writes wait on one of two paths, takes that path away, and judges that all writes end well, and once.
func withoutNotice(ctx context.Context, p *Execution, clause string, take func(ctx context.Context, lost *script.Path, d Disk) error) error {
	const writes = 8
	v, d, err := p.beginOnTwo(ctx, 2)
	if err != nil {
		return err
	}
	patience, cancel := p.patient(ctx)
	defer cancel()
	var lost *script.Path // that of the first write
	late := delay(v, func(r *script.Request) bool {
		if lost == nil {
			lost = r.Conn.Path
		}
		return r.Conn.Path == lost
	})
	c := gather(patience, d, writes)
	if err := late.gathered(patience, 1); err != nil {
		return err
	}
	if err := take(patience, lost, d); err != nil {
		return tester.Broken(clause, "%v", err)
	}
	if errs := c.ended(); len(errs) > 0 {
		return tester.Broken(clause, "%d of %d writes failed: %v", len(errs), writes, errs[0])
	}
	if err := c.intact(patience); err != nil {
		return tester.Broken(clause, "%v", err)
	}
	return nil
}

// loseFirst has a server disconnect the first path that it has seen and let nobody in any more, and waits until that path is
// over.
func (p *Execution) loseFirst(ctx context.Context, v *script.Server) error {
	turnAway(v)
	var first *script.Path
	v.Do(func() {
		first = v.Paths[0]
		first.Hangup()
	})
	ctx, cancel := p.patient(ctx)
	defer cancel()
	return v.Await(ctx, "the client has ended the lost path", first.Over)
}

// used judges that a disk can be used, without waiting for a timer, and goes on being used for a while: an initiator may notice
// a loss a little later than its server.
func (p *Execution) used(ctx context.Context, clause, when string, d Disk) error {
	const rounds, period = 5, 50 * time.Millisecond
	ctx, cancel := p.patient(ctx)
	defer cancel()
	next := time.NewTicker(period)
	defer next.Stop()
	for range rounds {
		if err := Usable(ctx, d); err != nil {
			return tester.Broken(clause, "%s: %v", when, err)
		}
		<-next.C
	}
	return nil
}

// oneStaysAway judges that I/O goes on over the other path when one is lost.
func oneStaysAway(ctx context.Context, p *Execution) error {
	v, d, err := p.beginOnTwo(ctx, 2)
	if err != nil {
		return err
	}
	if err := p.loseFirst(ctx, v); err != nil {
		return err
	}
	return p.used(ctx, "IBNBD-FAIL-005", "when one of two paths is lost", d)
}

// bothLost judges that a session is lost with its last path, and back with the first.
func bothLost(ctx context.Context, p *Execution) error {
	const clause = "IBTRS-PATH-015"
	v, d, err := p.beginOnTwo(ctx, 2)
	if err != nil {
		return err
	}
	if err := p.loseFirst(ctx, v); err != nil {
		return err
	}
	if err := p.used(ctx, clause, "when the first of two paths is lost", d); err != nil {
		return err
	}
	p.hangup(ctx, v)
	if err := p.awaitState(ctx, d, closed); err != nil {
		return tester.Broken(clause, "when both paths are lost: %v", err)
	}
	v.Do(func() {
		first := v.Paths[0].Request.PathUUID
		v.Script.Connect = func(k *script.ConnRequest) {
			if k.Request.PathUUID == first {
				k.Accept()
				return
			}
			k.RejectErrno(-int16(ibtrs.EBUSY))
		}
	})
	return returned(ctx, p, clause, v, d)
}

// addedAlone judges that a path which was added carries I/O when it is the only one.
func addedAlone(ctx context.Context, p *Execution) error {
	const clause = "IBTRS-MP-009"
	v, d, err := p.beginOnTwo(ctx, 1)
	if err != nil {
		return err
	}
	patience, cancel := p.patient(ctx)
	defer cancel()
	if err := d.AddPath(patience, v.Addrs()[1]); err != nil {
		return tester.Broken(clause, "the path cannot be added: %v", err)
	}
	if err := p.loseFirst(ctx, v); err != nil {
		return err
	}
	return p.used(ctx, clause, "when the path that was added is the only one", d)
}
