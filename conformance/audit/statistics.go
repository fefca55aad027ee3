// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"cmp"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Statistics count what happened on each path. The memory they take grows with the number of paths, up to
// a limit, and not with the length of the capture.
type Statistics struct {
	paths  map[uint64]*PathStatistics
	Beyond uint64 // answers on paths beyond the limit, which are not in any path
}

const maxStatistics = 1024

// OpStatistics count one kind of operation.
type OpStatistics struct {
	Operation string `json:"operation"`
	Count     uint64 `json:"count"`
	Errors    uint64 `json:"errors"`
	Bytes     uint64 `json:"bytes"`    // of the device
	Smallest  uint64 `json:"smallest"` // bytes of one
	Largest   uint64 `json:"largest"`
}

// Latency gives percentiles in nanoseconds, with two significant digits at least.
type Latency struct {
	Count uint64        `json:"count"`
	Min   time.Duration `json:"min_ns"`
	P50   time.Duration `json:"p50_ns"`
	P90   time.Duration `json:"p90_ns"`
	P99   time.Duration `json:"p99_ns"`
	P999  time.Duration `json:"p999_ns"`
	Max   time.Duration `json:"max_ns"`
}

// PathStatistics are those of one path of a session, or of one connection of a protocol without sessions.
type PathStatistics struct {
	Protocol      string         `json:"protocol"`
	Session       string         `json:"session,omitempty"`
	Path          string         `json:"path"` // "10.0.0.2 to 10.0.0.1"
	Rail          string         `json:"rail,omitempty"`
	Operations    []OpStatistics `json:"operations"`
	Latency       Latency        `json:"latency"`
	Unanswered    uint64         `json:"unanswered"`
	Failovers     uint64         `json:"failovers"`
	Heartbeats    uint64         `json:"heartbeats"`
	Retransmitted uint64         `json:"retransmitted"`
	RNRNAKs       uint64         `json:"rnr_naks"`
	NAKs          uint64         `json:"naks"`
	Gaps          uint64         `json:"gaps"` // places where packets are missing in the capture
	Connects      uint64         `json:"connects"`

	key       uint64 // of its line
	ops       map[string]*OpStatistics
	histogram *hdrhistogram.Histogram
}

// NewStatistics makes an observer that counts.
func NewStatistics() *Statistics { return &Statistics{paths: make(map[uint64]*PathStatistics)} }

// Observe takes one event of a tracker. A path that saw nothing that counts, because it was only asked for, has no statistics.
func (s *Statistics) Observe(e *Event) {
	if e.Detail == nil {
		return
	}
	line, counts := e.Detail.Counts()
	if !counts {
		return
	}
	p := s.of(line, e)
	if p == nil {
		return
	}
	switch e.Kind {
	case Retransmission:
		p.Retransmitted++
	case ReceiverNotReady:
		p.RNRNAKs++
	case SequenceNAK, FatalNAK:
		p.NAKs++
	case Gap:
		p.Gaps++
	}
	e.Detail.Count(p)
}

// Transport reports whether an event of the transport counts in statistics.
func (e *Event) Transport() bool {
	switch e.Kind {
	case Retransmission, ReceiverNotReady, SequenceNAK, FatalNAK, Gap:
		return true
	}
	return false
}

// Op counts an operation that was answered; the latency is negative if it is not known.
func (p *PathStatistics) Op(name string, bytes uint64, failed bool, latency time.Duration) {
	op := p.ops[name]
	if op == nil {
		op = &OpStatistics{Operation: name, Smallest: bytes}
		p.ops[name] = op
	}
	op.Count++
	op.Bytes += bytes
	op.Smallest, op.Largest = min(op.Smallest, bytes), max(op.Largest, bytes)
	if failed {
		op.Errors++
	}
	if latency >= 0 {
		p.histogram.RecordValue(min(max(int64(latency), 1), maxLatency))
	}
}

const maxLatency = int64(time.Hour)

func (s *Statistics) of(line Line, e *Event) *PathStatistics {
	p := s.paths[line.Key()]
	if p != nil {
		return p
	}
	if len(s.paths) >= maxStatistics {
		s.Beyond++
		return nil
	}
	p = &PathStatistics{Protocol: e.Protocol.Name, key: line.Key(), ops: make(map[string]*OpStatistics), histogram: hdrhistogram.New(1, maxLatency, 2)}
	line.Describe(p)
	s.paths[line.Key()] = p
	return p
}

// Paths returns what was counted, by session and path, and then in the order in which they were first seen.
func (s *Statistics) Paths() []PathStatistics {
	paths := make([]PathStatistics, 0, len(s.paths))
	for _, p := range s.paths {
		copied := *p
		for _, op := range p.ops {
			copied.Operations = append(copied.Operations, *op)
		}
		slices.SortFunc(copied.Operations, func(a, b OpStatistics) int { return cmp.Compare(a.Operation, b.Operation) })
		copied.Latency = p.percentiles()
		paths = append(paths, copied)
	}
	slices.SortFunc(paths, func(a, b PathStatistics) int {
		return cmp.Or(cmp.Compare(a.Session, b.Session), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Rail, b.Rail), cmp.Compare(a.key, b.key))
	})
	return paths
}

func (p *PathStatistics) percentiles() Latency {
	h := p.histogram
	if h.TotalCount() == 0 {
		return Latency{}
	}
	at := func(percent float64) time.Duration { return time.Duration(h.ValueAtQuantile(percent)) }
	return Latency{
		Count: uint64(h.TotalCount()), Min: time.Duration(h.Min()), P50: at(50), P90: at(90), P99: at(99), P999: at(99.9),
		Max: time.Duration(h.Max()),
	}
}
