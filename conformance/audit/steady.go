// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"cmp"
	"slices"
	"time"
)

// The frames of a file stand in the order in which they were captured, with two exceptions: a capture tool writes what comes from
// several queues of a network card a little out of order, with right times; and a clock may be set while it runs, by a little or
// by years, so that the times are wrong and the order is right. Which of the two it is, cause and effect tell: no packet is
// acknowledged before it is sent. A [steady] source gives the frames in the right order with times that never run back.

const (
	// steadyWindow is how many frames are looked at behind the present one, and as many in front of it.
	steadyWindow = 128
	// queueDelay is how much later than others the frames of one queue may be written. What goes back farther is a clock that was set.
	queueDelay = 20 * time.Millisecond
	// stillness is a silence behind which it is looked whether time has passed at all.
	stillness = time.Second
	// deadSilence is a silence that no connection with heartbeats outlives, and no packet that waits for its acknowledgement.
	deadSilence = 25 * time.Second
	// tick is what stands between two frames when the time between them is not known.
	tick = time.Microsecond
)

// ClockStep is a moment at which the clock of a file was set.
type ClockStep struct {
	Frame FrameID       `json:"frame"` // the first with the new time
	By    time.Duration `json:"by_ns"` // by about so much forwards, or by at least so much backwards
}

// mostSteps is how many steps of a clock are listed; all are taken out.
const mostSteps = 64

// steady is a source whose times run forwards.
type steady struct {
	Source
	ahead  []*timedFrame // read, and not given yet
	past   []*timedFrame // given last
	free   []*timedFrame
	err    error
	last   time.Time     // of the frame given last
	offset time.Duration // that the clock is ahead
	apart  bool          // it is not the clock of other files
	timed  bool          // a frame with a time was given
	newest time.Time     // of all that was read
	turned int           // frames ahead that are older than one in front of them
	settle int           // frames to be given before the order is looked at again
	steps  []ClockStep
	probe  prober
}

// timedFrame is a frame with its own bytes.
type timedFrame struct {
	frame  Frame
	data   []byte
	turned bool // it is older than one in front of it
}

func newSteady(source Source, protocols []*Protocol) *steady {
	return &steady{Source: source, probe: prober{protocols: protocols}}
}

// Steps are the steps of the clock so far.
func (s *steady) Steps() []ClockStep { return s.steps }

func (s *steady) Next() (Frame, error) {
	s.fill()
	if len(s.ahead) == 0 {
		return Frame{}, s.err
	}
	s.bringIntoOrder()
	f := s.ahead[0]
	if f.turned {
		s.turned--
	}
	s.place(f)
	s.ahead = slices.Delete(s.ahead, 0, 1)
	s.past = append(s.past, f)
	if len(s.past) > steadyWindow {
		s.free = append(s.free, s.past[0])
		s.past = slices.Delete(s.past, 0, 1)
	}
	return f.frame, nil
}

func (s *steady) fill() {
	for s.err == nil && len(s.ahead) < steadyWindow {
		var frame Frame
		if frame, s.err = s.Source.Next(); s.err != nil {
			return
		}
		f := s.take()
		f.data = append(f.data[:0], frame.Data...)
		f.frame = frame
		f.frame.Data = f.data
		if f.turned = !frame.Untimed && frame.At.Before(s.newest); f.turned {
			s.turned++
		} else {
			s.newest = frame.At
		}
		s.ahead = append(s.ahead, f)
	}
}

func (s *steady) take() *timedFrame {
	if n := len(s.free); n > 0 {
		f := s.free[n-1]
		s.free = s.free[:n-1]
		return f
	}
	return new(timedFrame)
}

// place gives the next frame its time.
func (s *steady) place(f *timedFrame) {
	f.frame.Apart = s.apart
	if s.last.IsZero() {
		s.last = f.frame.At
	}
	if f.frame.Untimed {
		f.frame.At = s.last
		return
	}
	at := f.frame.At.Add(-s.offset)
	silence := at.Sub(s.last)
	switch {
	case !s.timed:
		s.timed = true
	case silence < 0:
		at = s.backwards(f, at, -silence)
	case silence > stillness:
		at = s.forwards(f, at, silence)
	}
	f.frame.At, s.last = at, at
}

// backwards places a frame whose time is before that of the frame in front of it.
func (s *steady) backwards(f *timedFrame, at time.Time, by time.Duration) time.Time {
	if by <= queueDelay {
		return s.last
	}
	f.frame.Stepped = true
	if s.comesBack(func(next time.Time) bool { return !next.Before(s.last) }) {
		s.stepAgain()
		return s.last
	}
	s.step(f, -by)
	return s.last.Add(tick)
}

// forwards places a frame that comes after a silence.
func (s *steady) forwards(f *timedFrame, at time.Time, silence time.Duration) time.Time {
	if s.comesBack(func(next time.Time) bool { return next.Before(at.Add(-queueDelay)) && !next.Before(s.last) }) {
		f.frame.Stepped = true // this frame alone has a wrong time
		s.stepAgain()
		return s.last
	}
	switch stood := s.probe.stoodStill(s.past, s.ahead, silence > deadSilence); {
	case stood && silence > deadSilence:
		f.frame.Stepped = true
		s.step(f, silence)
		return s.last.Add(tick)
	case stood:
		f.frame.Stepped = true
	}
	return at
}

// comesBack reports whether most of the frames that come next have times as if the present one did not exist.
func (s *steady) comesBack(back func(next time.Time) bool) bool {
	const looked = 8
	next := s.ahead[1:min(len(s.ahead), looked+1)]
	n := 0
	for _, f := range next {
		if back(f.frame.At.Add(-s.offset)) {
			n++
		}
	}
	return n > len(next)/2
}

// stepAgain marks the frame behind the present one: how long it came after that is not known either.
func (s *steady) stepAgain() {
	if len(s.ahead) > 1 {
		s.ahead[1].frame.Stepped = true
	}
}

// step notes that the clock was set before a frame, which from there on is taken back.
func (s *steady) step(f *timedFrame, by time.Duration) {
	s.offset = f.frame.At.Sub(s.last.Add(tick))
	s.recount()
	if len(s.steps) < mostSteps {
		s.steps = append(s.steps, ClockStep{f.frame.FrameID, by})
	}
}

// recount notes anew which frames are older than one in front of them: after a step of the clock all would be.
func (s *steady) recount() {
	s.turned, s.newest = 0, s.ahead[0].frame.At
	for _, f := range s.ahead[1:] {
		if f.turned = !f.frame.Untimed && f.frame.At.Before(s.newest); f.turned {
			s.turned++
		} else if !f.frame.Untimed {
			s.newest = f.frame.At
		}
	}
}

// bringIntoOrder sorts by their times the frames that come next, if cause and effect are then less in disorder than they are.
func (s *steady) bringIntoOrder() {
	if s.settle > 0 {
		s.settle--
		return
	}
	if !s.overtaken() {
		return
	}
	s.settle = steadyWindow / 2
	sorted := slices.Clone(s.ahead)
	sortQueues(sorted)
	if s.probe.violations(sorted) < s.probe.violations(s.ahead) {
		copy(s.ahead, sorted)
	}
}

// overtaken reports whether a frame behind the next one was captured before it.
func (s *steady) overtaken() bool {
	if s.turned == 0 || s.ahead[0].frame.Untimed {
		return false
	}
	first := s.ahead[0].frame
	return slices.ContainsFunc(s.ahead[1:], func(f *timedFrame) bool {
		return !f.frame.Untimed && f.frame.At.Before(first.At) && first.At.Sub(f.frame.At) <= queueDelay
	})
}

// sortQueues sorts frames by their times as far as the delay of a queue explains their disorder.
func sortQueues(frames []*timedFrame) {
	for from := 0; from < len(frames); {
		to := from + 1
		for to < len(frames) && frames[to].frame.At.Sub(frames[to-1].frame.At).Abs() <= queueDelay {
			to++
		}
		slices.SortStableFunc(frames[from:to], func(a, b *timedFrame) int { return cmp.Compare(a.frame.At.UnixNano(), b.frame.At.UnixNano()) })
		from = to
	}
}
