// SPDX-License-Identifier: Apache-2.0

package srp_test

import (
	"bytes"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/ibnbd/ibnbd/reference/scsi"
	"github.com/ibnbd/ibnbd/reference/srp"
)

// pieces describes n bytes of the peer's memory in a list of pieces of size bytes that lie in reverse order, of which the command
// carries carried.
func (p *peer) pieces(n, size, carried int) srp.Buffer {
	var list srp.MemoryDescriptors
	for at := 0; at < n; at += size {
		list = list.Append(p.piece(peerMemory/2-at-size, min(size, n-at)))
	}
	table := p.memory.Bytes()[peerMemory/2 : peerMemory/2+len(list)]
	copy(table, list)
	return srp.IndirectBuffer(p.piece(peerMemory/2, len(table)), list[:carried*srp.MemoryDescriptorSize], uint32(n))
}

// fill and gather move data to and from where pieces describes it.
func (p *peer) fill(b srp.Buffer, data []byte) {
	p.eachPiece(b, func(mem []byte) { data = data[copy(mem, data):] })
}

func (p *peer) gather(b srp.Buffer) (data []byte) {
	p.eachPiece(b, func(mem []byte) { data = append(data, mem...) })
	return data
}

func (p *peer) eachPiece(b srp.Buffer, f func([]byte)) {
	list := srp.MemoryDescriptors{}.Append(b.Memory)
	if b.Format == srp.Indirect {
		at := b.Memory.Address - p.memory.Addr()
		list = srp.MemoryDescriptors(p.memory.Bytes()[at : at+uint64(b.Memory.Length)])
	}
	for _, d := range list.All() {
		at := d.Address - p.memory.Addr()
		f(p.memory.Bytes()[at : at+uint64(d.Length)])
	}
}

// TestTargetData moves data of many sizes in all forms, and compares (Clauses SRP-CMD-006, SRP-CMD-008, SRP-DATA-001).
func TestTargetData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		cfg := l.targetConfig()
		l.listen(cfg)
		p := l.connect(1)
		for i, n := range []int{512, 4096, 8192, 12288, 65536, 1 << 18} {
			for name, describe := range map[string]func() srp.Buffer{
				"direct":    func() srp.Buffer { return srp.DirectBuffer(p.piece(512, n)) },
				"indirect":  func() srp.Buffer { return p.pieces(n, max(512, n/8), n/max(512, n/8)) },
				"partial":   func() srp.Buffer { return p.pieces(n, max(512, n/128), 1) },
				"no entry":  func() srp.Buffer { return p.pieces(n, max(512, n/128), 0) },
				"odd sizes": func() srp.Buffer { return p.pieces(n, 1000+i, min(n/(1000+i), 200)) },
			} {
				data := pattern(i, n)
				clear(p.memory.Bytes())
				out := describe()
				p.fill(out, data)
				good(t, p.write(8, uint32(n/512), out))
				clear(p.memory.Bytes())
				in := describe()
				good(t, p.read(8, uint32(n/512), in))
				if !bytes.Equal(p.gather(in), data) {
					t.Errorf("%d bytes, %s: read back other bytes than were written", n, name)
				}
			}
			if n <= 8192 {
				good(t, p.write(8, uint32(n/512), srp.ImmediateBuffer(pattern(i+100, n))))
				in := srp.DirectBuffer(p.piece(0, n))
				good(t, p.read(8, uint32(n/512), in))
				if !bytes.Equal(p.gather(in), pattern(i+100, n)) {
					t.Errorf("%d bytes, immediate: read back other bytes than were written", n)
				}
			}
		}
	})
}

// TestTargetResiduals: what is said of data and room that do not fit together, and that nothing is touched beside the room.
func TestTargetResiduals(t *testing.T) {
	inquiry := must2(scsi.Inquiry.New(), func(b []byte) { b[4] = 96 })
	read := must(scsi.Read10.AppendIO(nil, 0, 2, false))
	write := must(scsi.Write10.AppendIO(nil, 0, 2, false))
	for _, tc := range []struct {
		name    string
		cdb     []byte
		out, in int // bytes of room
		flags   srp.RspFlags
		outLeft uint32
		inLeft  uint32
		code    scsi.Code
	}{
		{"SRP-RSP-005 more room", inquiry, 0, 255, srp.DataInUnder, 0, 181, 0},
		{"SRP-RSP-007 less room", inquiry, 0, 10, srp.DataInOver, 0, 64, 0},
		{"SRP-RSP-007 less room for blocks", read, 0, 700, srp.DataInOver, 0, 324, 0},
		{"SRP-RSP-007 no room", read, 0, 0, srp.DataInOver, 0, 1024, 0},
		{"SRP-RSP-006 more data", write, 2000, 0, srp.DataOutUnder, 976, 0, 0},
		{"SRP-RSP-007 less data", write, 700, 0, srp.DataOutOver | srp.SenseValid, 324, 0, scsi.InvalidFieldInCDB},
		{"SRP-RSP-007 data for a read", read, 1024, 0, srp.DataOutUnder | srp.DataInOver, 1024, 1024, 0},
		{"SRP-RSP-007 room for a write", write, 0, 1024, srp.DataOutOver | srp.DataInUnder | srp.SenseValid, 1024, 1024, scsi.InvalidFieldInCDB},
		{"SRP-RSP-005 room for nothing", scsi.TestUnitReady.New(), 0, 512, srp.DataInUnder, 0, 512, 0},
		{"SRP-CMD-009 both ways", read, 512, 1024, srp.DataOutUnder, 512, 0, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				l.listen(l.targetConfig())
				p := l.connect(1)
				for i := range p.memory.Bytes() {
					p.memory.Bytes()[i] = 0xee
				}
				before := bytes.Clone(p.memory.Bytes())
				var out, in srp.Buffer
				if tc.out > 0 {
					out = srp.DirectBuffer(p.piece(0, tc.out))
				}
				if tc.in > 0 {
					in = srp.DirectBuffer(p.piece(4096, tc.in))
				}
				m := p.do(p.command(srp.NewCmd(p.tag(), srp.LUN{}), tc.cdb, out, in))
				if m.Flags != tc.flags || m.DataOutResidual != tc.outLeft || m.DataInResidual != tc.inLeft {
					t.Errorf("flags %#x, residuals %d out and %d in, want %#x, %d and %d", m.Flags, m.DataOutResidual, m.DataInResidual, tc.flags, tc.outLeft, tc.inLeft)
				}
				if tc.code != 0 && senseOf(t, m).Code != tc.code {
					t.Errorf("sense %v", senseOf(t, m))
				}
				clear(before[4096 : 4096+tc.in])
				clear(p.memory.Bytes()[4096 : 4096+tc.in])
				if !bytes.Equal(p.memory.Bytes(), before) { // Clause SRP-DATA-002
					t.Error("the target has written beside the room")
				}
			})
		})
	}
}

func must2(cdb []byte, change func([]byte)) []byte {
	change(cdb)
	return cdb
}

// TestTargetRefusesCommands: bad commands get response code 2, their credit comes back, and the channel goes on.
func TestTargetRefusesCommands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.listen(l.targetConfig())
		p := l.connect(1)
		write := must(scsi.Write10.AppendIO(nil, 0, 1, false))
		direct := srp.DirectBuffer(p.piece(0, 512))
		valid := func() []byte { return p.command(srp.NewCmd(p.tag(), srp.LUN{}), write, direct, srp.Buffer{}) }
		immediate := func() []byte {
			return p.command(srp.NewCmd(p.tag(), srp.LUN{}), write, srp.ImmediateBuffer(make([]byte, 512)), srp.Buffer{})
		}
		for name, change := range map[string]func() []byte{
			"SRP-CMD-013 reserved data-out format":  func() []byte { b := valid(); b[5] = 0x40; return b },
			"SRP-CMD-013 reserved data-in format":   func() []byte { b := valid(); b[5] = 0x13; return b },
			"SRP-CMD-018 descriptor cut short":      func() []byte { b := valid(); return b[:60] },
			"SRP-CMD-018 additional CDB cut short":  func() []byte { b := valid(); b[31] = 0xfc; return b },
			"SRP-CMD-018 list cut short":            func() []byte { b := valid(); b[5], b[6] = 0x20, 255; return b },
			"SRP-CMD-018 command cut short":         func() []byte { return valid()[:40] },
			"SRP-CMD-018 nothing behind the tag":    func() []byte { return valid()[:16] },
			"SRP-CMD-012 immediate data cut short":  func() []byte { b := immediate(); return b[:len(b)-1] },
			"SRP-CMD-012 immediate data that wraps": func() []byte { b := immediate(); copy(b[48:], "\xff\xff\xff\xff"); return b },
			"SRP-CMD-012 overlapping descriptor":    func() []byte { b := immediate(); b[31] = 20; return b },
			"SRP-CMD-007 sum of the list": func() []byte {
				b := p.pieces(1024, 512, 2)
				b.Length++
				return p.command(srp.NewCmd(p.tag(), srp.LUN{}), write, b, srp.Buffer{})
			},
			"SRP-CMD-007 sum of a list in memory": func() []byte {
				b := p.pieces(1024, 512, 1)
				b.Length++
				return p.command(srp.NewCmd(p.tag(), srp.LUN{}), write, b, srp.Buffer{})
			},
			"SRP-CMD-007 table with half an entry": func() []byte {
				b := p.pieces(1024, 512, 1)
				b.Memory.Length += 8
				return p.command(srp.NewCmd(p.tag(), srp.LUN{}), write, b, srp.Buffer{})
			},
			"table too long": func() []byte {
				b := p.pieces(1024, 512, 1)
				b.Memory.Length = 1 << 20
				return p.command(srp.NewCmd(p.tag(), srp.LUN{}), write, b, srp.Buffer{})
			},
		} {
			for range 10 { // more often than there are credits
				m := p.do(change())
				if code, ok := m.ResponseCode(); !ok || code != srp.ResponseInvalidFields || m.RequestLimitDelta != 1 {
					t.Errorf("%s: %+v", name, m)
				}
			}
			good(t, p.do(valid()))
		}
		for name, unit := range map[string][]byte{
			"SRP-CMD-019 unknown type": append([]byte{0x55}, make([]byte, 47)...), "nothing": {0},
			"SRP-CRED-008 answer to nothing": append([]byte{srp.TypeCredRsp}, make([]byte, 15)...),
			"login":                          make([]byte, 64),
		} {
			for range 10 {
				p.send(unit)
			}
			t.Log(name)
			good(t, p.do(valid()))
		}
	})
}

// TestTargetUnits: LUN forms and sense over the wire.
func TestTargetUnits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.listen(l.targetConfig())
		l.add(300, "disk300", newGated(t))
		p := l.connect(1)
		m := p.do(p.command(srp.NewCmd(p.tag(), srp.LUN{0x41, 0x2c}), must(scsi.Read10.AppendIO(nil, 0, 1, false)), srp.Buffer{}, srp.DirectBuffer(p.piece(0, 512))))
		good(t, m)
		for _, lun := range []srp.LUN{{0, 1}, {0x41, 0x2d}, {0x80}, {0, 0, 0, 1}} {
			m := p.do(p.command(srp.NewCmd(p.tag(), lun), scsi.TestUnitReady.New(), srp.Buffer{}, srp.Buffer{}))
			if s := senseOf(t, m); s != (scsi.Sense{Key: scsi.IllegalRequest, Code: scsi.LogicalUnitNotSupported}) || m.Flags != srp.SenseValid ||
				fmt.Sprintf("%x", m.Body) != "700005000000000a00000000250000000000" { // Clauses SRP-CMD-020, SRP-RSP-002
				t.Errorf("LUN %s: %v, %x", lun, s, m.Body)
			}
		}
	})
}

// TestTargetMemory: commands that find no memory wait, in order, and all are executed.
func TestTargetMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.disk.hold = make(chan struct{})
		gate := l.disk
		luns := scsi.NewLUNs()
		l.luns = luns
		l.add(0, "held", gate)
		cfg := l.targetConfig()
		cfg.ChannelMemory = scsi.DefaultMaxTransfer + 1<<16
		l.listen(cfg)
		p := l.connect(1)
		const n = 512 << 10
		for range 5 {
			p.send(p.command(srp.NewCmd(p.tag(), srp.LUN{}), must(scsi.Read10.AppendIO(nil, 0, n/512, false)), srp.Buffer{}, srp.DirectBuffer(p.piece(0, n))))
		}
		<-gate.busy
		<-gate.busy
		synctest.Wait()
		if len(gate.busy) != 0 {
			t.Error("more commands are executed than there is memory for")
		}
		for i := range 5 {
			gate.hold <- struct{}{}
			good(t, p.rsp())
			if i < 3 {
				<-gate.busy
			}
		}
	})
}
