// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"cmp"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/ibnbd/ibnbd/reference/ibnbd"
)

// Statistics count what happened on each path and SRP channel. The memory they take grows with the number of paths, up to
// a limit, and not with the length of the capture.
type Statistics struct {
	paths  map[statKey]*PathStatistics
	Beyond uint64 // answers on paths beyond the limit, which are not in any path
}

const maxStatistics = 1024

type statKey struct {
	session, path uint64
}

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

// PathStatistics are those of one path of an IBTRS session, or of one SRP channel.
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

	ops       map[string]*OpStatistics
	histogram *hdrhistogram.Histogram
}

// NewStatistics makes an observer that counts.
func NewStatistics() *Statistics { return &Statistics{paths: make(map[statKey]*PathStatistics)} }

// counted are the kinds of events that statistics count. A path that saw none of them, because it was only asked for, has no
// statistics.
var counted = [kinds]bool{
	RequestAnswered: true, RequestSent: true, Unanswered: true, CommandUnanswered: true, CommandAnswered: true,
	TaskManagementAnswered: true, Heartbeat: true, Retransmission: true, ReceiverNotReady: true, SequenceNAK: true,
	FatalNAK: true, Gap: true, PathUp: true, ChannelUp: true,
}

// Observe takes one event of a tracker.
func (s *Statistics) Observe(e *Event) {
	if !counted[e.Kind] {
		return
	}
	p := s.of(e)
	if p == nil {
		return
	}
	switch e.Kind {
	case RequestAnswered:
		s.answered(p, e)
	case RequestSent:
		if e.Request.Failover {
			p.Failovers++
		}
	case Unanswered, CommandUnanswered:
		p.Unanswered++
	case CommandAnswered:
		moved := e.Command.MovedIn + e.Command.MovedOut
		if e.Command.OutFormat != 0 && e.Command.Out > 0 {
			moved = uint64(e.Command.Out)
		}
		name, known := scsiNames[e.Command.OpCode()]
		if !known {
			name = "other"
		}
		p.count(name, moved, e.Answer.Response.Status != 0, e.Answer.Latency)
	case TaskManagementAnswered:
		p.count("task management", 0, false, e.Answer.Latency)
	case Heartbeat:
		p.Heartbeats++
	case Retransmission:
		p.Retransmitted++
	case ReceiverNotReady:
		p.RNRNAKs++
	case SequenceNAK, FatalNAK:
		p.NAKs++
	case Gap:
		p.Gaps++
	case PathUp, ChannelUp:
		p.Connects++
	}
}

func (s *Statistics) answered(p *PathStatistics, e *Event) {
	r := e.Request
	if r == nil {
		p.count("unknown", 0, e.Response.Errno != 0, -1)
		return
	}
	name, bytes := "unknown", uint64(0)
	switch {
	case r.HasIO:
		name, bytes = r.IO.Op().String(), uint64(r.IO.Size)
	case r.MessageType == ibnbd.TypeSessInfo:
		name = "SESS_INFO"
	case r.MessageType == ibnbd.TypeOpen:
		name = "OPEN"
	case r.MessageType == ibnbd.TypeClose:
		name = "CLOSE"
	}
	p.count(name, bytes, e.Response.Errno != 0, e.Response.Latency)
}

func (p *PathStatistics) count(name string, bytes uint64, failed bool, latency time.Duration) {
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

func (s *Statistics) of(e *Event) *PathStatistics {
	var key statKey
	switch {
	case e.Session != nil && e.Path != nil:
		key = statKey{e.Session.ID, e.Path.ID}
	case e.Channel != nil && e.Channel.up:
		key = statKey{0, e.Channel.conn.ID}
	default:
		return nil
	}
	p := s.paths[key]
	if p != nil {
		if p.Session == "" && e.Session != nil {
			p.Session = e.Session.Name
		}
		return p
	}
	if len(s.paths) >= maxStatistics {
		s.Beyond++
		return nil
	}
	p = &PathStatistics{ops: make(map[string]*OpStatistics), histogram: hdrhistogram.New(1, maxLatency, 2)}
	if e.Path != nil {
		p.Protocol, p.Session, p.Path, p.Rail = "ibtrs", e.Session.Name, e.Path.String(), e.Path.Rail
	} else {
		p.Protocol, p.Path, p.Rail = "srp", e.Channel.conn.String(), e.Channel.conn.Rail
	}
	s.paths[key] = p
	return p
}

// Paths returns what was counted, by session and path.
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
		return cmp.Or(cmp.Compare(a.Session, b.Session), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Rail, b.Rail))
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
