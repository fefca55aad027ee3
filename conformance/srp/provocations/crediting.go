// SPDX-License-Identifier: Apache-2.0

package provocations

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/ibnbd/ibnbd/conformance/srp/script"
	"github.com/ibnbd/ibnbd/conformance/verdict/finding"
	"github.com/ibnbd/ibnbd/reference/scsi"
	"github.com/ibnbd/ibnbd/reference/srp"
)

func crediting() []Provocation {
	return []Provocation{
		{Name: "all credits are used", Clauses: []string{"SRP-CRED-003"}, Run: usedUp},
		{Name: "responses give and take several credits", Clauses: []string{"SRP-CRED-005"}, Run: givesAndTakes},
		{Name: "a response with an unknown tag gives credits", Clauses: []string{"SRP-RSP-011"}, Run: strangeCredits},
		{Name: "requests that give credits are cut off", Clauses: []string{"SRP-CRED-010"}, Run: cutOff},
		{Name: "a response gives more credits than can be counted", Clauses: []string{"SRP-CRED-014"}, Run: tooManyCredits},
	}
}

// readBurst is many reads at once, of which a target with few credits holds all that come.
type readBurst struct {
	e     *Execution
	v     *script.Target
	reads []<-chan error
	held  []*script.Command // that are not answered, in order
	came  int               // reads of the burst that have come
	asked int               // requests of the target
}

// Numbers of a burst. An initiator may keep a credit for task management, so that one read more or less can come.
const (
	burstReads  = 12
	burstLimit  = 4
	burstAtOnce = burstLimit - 1
)

// newReadBurst begins the reads, and waits until all have come for which there are credits.
func (e *Execution) newReadBurst(ctx context.Context) (*readBurst, error) {
	v, d, err := e.begin(ctx, script.Script{Limit: burstLimit})
	if err != nil {
		return nil, err
	}
	if err := prepare(v, burstReads); err != nil {
		return nil, err
	}
	w := &readBurst{e: e, v: v}
	places := make(map[int64]bool)
	for i := range burstReads {
		places[placeOf(i)] = true
	}
	v.Do(func() {
		v.Script.Serve = func(c *script.Command) {
			for at := range places {
				if c.Reads(at) {
					w.came++
					w.held = append(w.held, c)
					return
				}
			}
			c.Answer()
		}
	})
	for i := range burstReads {
		w.reads = append(w.reads, async(func() error { return readBack(ctx, d, placeOf(i), 1) }))
	}
	return w, w.arrive(ctx, Survival, burstAtOnce)
}

// arrive judges that so many reads come in all.
func (w *readBurst) arrive(ctx context.Context, clause string, n int) error {
	ctx, cancel := w.e.patient(ctx)
	defer cancel()
	return broken(clause, w.v.Await(ctx, fmt.Sprintf("%d of %d reads have come", n, burstReads), func() bool { return w.came >= n }))
}

// settle waits until the initiator has seen what was sent to it: it answers two requests one after the other.
func (w *readBurst) settle(ctx context.Context, clause string) error {
	for range 2 {
		w.asked++
		w.v.Do(func() { last(w.v).GiveCredits(0, srp.TagOf(uint64(w.asked))) })
		if err := w.e.answers(ctx, clause, w.v, w.asked); err != nil {
			return err
		}
	}
	return nil
}

// atMost judges that no more reads have come in all.
func (w *readBurst) atMost(ctx context.Context, clause string, n int) error {
	if err := w.settle(ctx, clause); err != nil {
		return err
	}
	came := 0
	w.v.Do(func() { came = w.came })
	if came > n {
		return finding.Broken(clause, "%d reads have come, and there were credits for %d", came, n)
	}
	return nil
}

// answer answers the oldest read, with a number of credits.
func (w *readBurst) answer(delta int32) {
	w.v.Do(func() {
		c := w.held[0]
		w.held = w.held[1:]
		m := c.Execute()
		m.RequestLimitDelta = delta
		c.Send(m)
	})
}

// end gives enough credits for all, and judges that each read ends well.
func (w *readBurst) end(ctx context.Context, clause string) error {
	w.v.Do(func() {
		w.v.Script.Serve = nil
		for _, c := range w.held {
			c.Answer()
		}
		w.held = nil
		w.asked++
		last(w.v).GiveCredits(2*burstReads, srp.TagOf(uint64(w.asked)))
	})
	ctx, cancel := w.e.patient(ctx)
	defer cancel()
	var errs []error
	for _, r := range w.reads {
		errs = append(errs, outcome(ctx, r))
	}
	return broken(clause, errors.Join(errs...))
}

// usedUp answers all that have come without a credit.
func usedUp(ctx context.Context, e *Execution) error {
	const clause = "SRP-CRED-003"
	w, err := e.newReadBurst(ctx)
	if err != nil {
		return err
	}
	if err := w.atMost(ctx, clause, burstLimit); err != nil {
		return err
	}
	for range burstAtOnce {
		w.answer(0)
	}
	if err := w.atMost(ctx, clause, burstLimit); err != nil {
		return err
	}
	return w.end(ctx, clause)
}

// givesAndTakes gives three credits more than one, and then takes three away that it gives by a request.
func givesAndTakes(ctx context.Context, e *Execution) error {
	const clause, some = "SRP-CRED-005", 3
	w, err := e.newReadBurst(ctx)
	if err != nil {
		return err
	}
	w.answer(some)
	if err := w.arrive(ctx, clause, burstAtOnce+some); err != nil {
		return err
	}
	w.answer(-some)
	w.asked++
	w.v.Do(func() { last(w.v).GiveCredits(some, srp.TagOf(uint64(w.asked))) })
	if err := w.atMost(ctx, clause, burstLimit+some); err != nil {
		return err
	}
	return w.end(ctx, clause)
}

func strangeCredits(ctx context.Context, e *Execution) error {
	const clause, some = "SRP-RSP-011", 3
	w, err := e.newReadBurst(ctx)
	if err != nil {
		return err
	}
	w.v.Do(func() { last(w.v).Respond(srp.Rsp{Type: srp.TypeRsp, Tag: strange, RequestLimitDelta: some}) })
	if err := w.arrive(ctx, clause, burstAtOnce+some); err != nil {
		return err
	}
	return w.end(ctx, clause)
}

// cutOff sends an SRP_CRED_REQ and SRP_AER_REQs of which a part is missing, each with credits.
func cutOff(ctx context.Context, e *Execution) error {
	const clause = "SRP-CRED-010"
	w, err := e.newReadBurst(ctx)
	if err != nil {
		return err
	}
	w.v.Do(func() {
		c := last(w.v)
		credits, _ := srp.CredReq{Type: srp.TypeCredReq, RequestLimitDelta: burstReads, Tag: strange}.AppendBinary(nil)
		c.Send(credits[:srp.CredReqSize-4])
		sense := scsi.Sense{Key: scsi.UnitAttention, Code: scsi.ReportedLUNsChanged}.AppendFixed(nil)
		event, _ := srp.AERReq{Type: srp.TypeAERReq, RequestLimitDelta: burstReads, Tag: strange, SenseLength: uint32(len(sense)), Body: sense}.AppendBinary(nil)
		c.Send(event[:srp.AERReqSize-4])
		c.Send(event[:srp.AERReqSize+4])
	})
	if err := w.atMost(ctx, clause, burstLimit); err != nil {
		return err
	}
	answers := 0
	w.v.Do(func() { answers = len(w.v.Others) })
	if answers != w.asked {
		return finding.Broken(clause, "%d requests are answered, and %d of them were whole", answers, w.asked)
	}
	return w.end(ctx, clause)
}

func tooManyCredits(ctx context.Context, e *Execution) error {
	const clause = "SRP-CRED-014"
	v, d, err := e.begin(ctx, script.Script{})
	if err != nil {
		return err
	}
	err = onceAt(v, func(c *script.Command) {
		m := c.Execute()
		m.RequestLimitDelta = math.MaxInt32
		c.Send(m)
	})
	if err != nil {
		return err
	}
	patience, cancel := e.patient(ctx)
	defer cancel()
	if err := readBack(patience, d, probeOffset, 1); err != nil {
		return finding.Broken(clause, "%v", err)
	}
	if err := Usable(patience, d); err != nil {
		return finding.Broken(clause, "afterwards: %v", bounded(patience, err))
	}
	return nil
}
