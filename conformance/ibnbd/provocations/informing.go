// SPDX-License-Identifier: Apache-2.0

package provocations

import (
	"context"
	"math"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/script"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// badRegions are regions that must not be taken, made of the one region of all 16 chunks.
type badRegions struct {
	name   string
	clause string
	make   func(all ibtrs.Descriptor, chunk uint32) []ibtrs.Descriptor
}

var badRegionLists = []badRegions{
	{"INFO tells of no regions", "IBTRS-INFO-016", func(ibtrs.Descriptor, uint32) []ibtrs.Descriptor { return nil }},
	{"INFO tells of regions whose number does not divide the depth", "IBTRS-INFO-016", func(all ibtrs.Descriptor, chunk uint32) []ibtrs.Descriptor {
		return cut(all, 5*chunk, 5*chunk, 6*chunk)
	}},
	{"INFO tells of a region that is no multiple of a chunk", "IBTRS-INFO-017", func(all ibtrs.Descriptor, _ uint32) []ibtrs.Descriptor {
		return cut(all, all.Length+512)
	}},
	{"INFO tells of regions that end inside a chunk", "IBTRS-INFO-017", func(all ibtrs.Descriptor, chunk uint32) []ibtrs.Descriptor {
		return cut(all, 8*chunk-512, 8*chunk+512)
	}},
	{"INFO tells of an empty region", "IBTRS-INFO-017", func(all ibtrs.Descriptor, _ uint32) []ibtrs.Descriptor { return cut(all, all.Length, 0) }},
	{"INFO tells of too few chunks", "IBTRS-INFO-017", func(all ibtrs.Descriptor, chunk uint32) []ibtrs.Descriptor {
		return cut(all, all.Length-chunk)
	}},
	{"INFO tells of too many chunks", "IBTRS-INFO-017", func(all ibtrs.Descriptor, chunk uint32) []ibtrs.Descriptor {
		return cut(all, all.Length+chunk)
	}},
	{"INFO tells of a region as large as can be", "IBTRS-INFO-017", func(all ibtrs.Descriptor, chunk uint32) []ibtrs.Descriptor {
		return cut(all, -chunk)
	}},
}

// cut makes regions of the given lengths out of one.
func cut(all ibtrs.Descriptor, lengths ...uint32) []ibtrs.Descriptor {
	var regions []ibtrs.Descriptor
	for _, length := range lengths {
		regions = append(regions, ibtrs.Descriptor{Address: all.Address, RKey: all.RKey, Length: length})
		all.Address += uint64(length)
	}
	return regions
}

// infoOf is an INFO response.
func infoOf(regions ...ibtrs.Descriptor) ibtrs.InfoResponse {
	return ibtrs.NewInfoResponse(ibtrs.Descriptors{}.Append(regions...))
}

// informs is a script that answers INFO with what a function makes of the conforming response.
func informs(change func(r *ibtrs.InfoResponse)) script.Script {
	return script.Script{Inform: func(p *script.Path) {
		r := infoOf(p.Regions()...)
		change(&r)
		p.Conns[0].Send(tester.Marshal(r))
	}}
}

func (b badRegions) provocation() Provocation {
	return Provocation{Name: b.name, Clauses: []string{b.clause}, Run: func(ctx context.Context, p *Execution) error {
		return refused(ctx, p, b.clause, script.Script{Inform: func(p *script.Path) {
			regions := b.make(p.Regions()[0], script.DefaultGeometry.ChunkSize())
			p.Conns[0].Send(tester.Marshal(infoOf(regions...)))
		}})
	}}
}

func informing() []Provocation {
	var all []Provocation
	for _, b := range badRegionLists {
		all = append(all, b.provocation())
	}
	const malformed = "IBTRS-INFO-026"
	for _, m := range []struct {
		name string
		s    script.Script
	}{
		{"INFO is answered with another type", informs(func(r *ibtrs.InfoResponse) { r.Type = ibtrs.TypeInfoRequest })},
		{"INFO counts more regions than it tells of", informs(func(r *ibtrs.InfoResponse) { r.Count = script.DefaultGeometry.QueueDepth })},
		{"INFO is answered with three bytes", script.Script{Inform: func(p *script.Path) { p.Conns[0].Send([]byte{1, 0, 1}) }}},
		{"INFO is answered with an empty message", script.Script{Inform: func(p *script.Path) { p.Conns[0].Send(nil) }}},
		{"INFO is answered with more than there is room for", script.Script{Inform: func(p *script.Path) { p.Conns[0].Send(make([]byte, 8192)) }}},
	} {
		all = append(all, Provocation{Name: m.name, Clauses: []string{malformed}, Run: func(ctx context.Context, p *Execution) error {
			return refused(ctx, p, malformed, m.s)
		}})
	}
	return append(all,
		Provocation{Name: "INFO tells of memory at the end of the address space", Run: func(ctx context.Context, p *Execution) error {
			return refused(ctx, p, Survival, script.Script{Inform: func(p *script.Path) {
				region := p.Regions()[0]
				region.Address = math.MaxUint64 - 4095
				p.Conns[0].Send(tester.Marshal(infoOf(region)))
			}})
		}},
		Provocation{Name: "INFO tells of a key that is none", Run: func(ctx context.Context, p *Execution) error {
			return refused(ctx, p, Survival, script.Script{Inform: func(p *script.Path) {
				region := p.Regions()[0]
				region.RKey ^= 0xA5A5A500 // differs in more than the part that counts registrations
				p.Conns[0].Send(tester.Marshal(infoOf(region)))
			}})
		}},
		Provocation{Name: "INFO is answered twice", Run: func(ctx context.Context, p *Execution) error {
			return endured(ctx, p, script.Script{Inform: func(p *script.Path) { p.Inform(); p.Inform() }}, nil)
		}},
		Provocation{Name: "a heartbeat comes in front of the INFO response", Run: func(ctx context.Context, p *Execution) error {
			return endured(ctx, p, script.Script{Inform: func(p *script.Path) {
				p.Conns[0].Immediate(ibtrs.Heartbeat)
				p.Inform()
			}}, nil)
		}},
		Provocation{Name: "INFO tells of one region although keys are to be refreshed", Run: func(ctx context.Context, p *Execution) error {
			return endured(ctx, p, script.Script{KeyRefresh: true, Inform: func(p *script.Path) {
				p.BindAll()
				region := p.Regions()[0]
				region.Length *= uint32(script.DefaultGeometry.QueueDepth)
				p.Conns[0].Send(tester.Marshal(infoOf(region)))
			}}, nil)
		}},
		Provocation{Name: "a server disconnects instead of answering INFO", Run: func(ctx context.Context, p *Execution) error {
			return refused(ctx, p, Survival, script.Script{Inform: func(p *script.Path) { p.Hangup() }})
		}},
	)
}
