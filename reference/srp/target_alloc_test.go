// SPDX-License-Identifier: Apache-2.0

package srp_test

import (
	"context"
	"testing"

	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/scsi"
	"github.com/ibnbd/ibnbd/reference/srp"
)

// again sends the unit that lies ready and waits for a response, without looking at it.
type again struct {
	p    *peer
	send []rdma.SendWR
	recv []rdma.RecvWR
	done [8]rdma.Completion
}

func newAgain(p *peer, unit []byte) *again {
	copy(p.units.Bytes(), unit)
	a := &again{p: p, send: []rdma.SendWR{p.sending(len(unit))}}
	for i := range peerReceives {
		a.recv = append(a.recv, p.receive(i))
	}
	return a
}

func (a *again) once() error {
	if err := a.p.conn.PostSend(a.send...); err != nil {
		return err
	}
	for sent, received := false, false; !sent || !received; {
		n, err := a.p.conn.Poll(context.Background(), a.done[:])
		if err != nil {
			return err
		}
		for _, d := range a.done[:n] {
			if err := d.Err(); err != nil {
				return err
			}
			if !d.Recv {
				sent = true
				continue
			}
			received = true
			if err := a.p.conn.PostRecv(a.recv[d.ID : d.ID+1]...); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *peer) ioUnit(form *scsi.Form, out, in srp.Buffer) []byte {
	return p.command(srp.NewCmd(p.tag(), srp.LUN{}), must(form.AppendIO(nil, 0, 8, false)), out, in)
}

// TestTargetDoesNotAllocate counts what 100 commands of 4 KiB allocate, on both sides and in the provider: a pool that was emptied by
// the garbage collector may be filled again.
func TestTargetDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes sync.Pool forget")
	}
	l := newLab(t)
	l.listen(l.targetConfig())
	p := l.connect(1)
	memory := srp.DirectBuffer(p.piece(0, 4096))
	for name, unit := range map[string][]byte{
		"read": p.ioUnit(scsi.Read10, srp.Buffer{}, memory), "write": p.ioUnit(scsi.Write10, memory, srp.Buffer{}),
		"immediate write": p.ioUnit(scsi.Write10, srp.ImmediateBuffer(make([]byte, 4096)), srp.Buffer{}),
	} {
		t.Run(name, func(t *testing.T) {
			a := newAgain(p, unit)
			n := testing.AllocsPerRun(20, func() {
				for range 100 {
					if err := a.once(); err != nil {
						t.Fatal(err)
					}
				}
			})
			if n >= 10 {
				t.Errorf("100 commands allocate %v times", n)
			}
		})
	}
}

// BenchmarkTarget4K is one command after the other, over soft in one process.
func BenchmarkTarget4K(b *testing.B) {
	l := newLab(b)
	l.listen(l.targetConfig())
	p := l.connect(1)
	a := newAgain(p, p.ioUnit(scsi.Read10, srp.Buffer{}, srp.DirectBuffer(p.piece(0, 4096))))
	b.SetBytes(4096)
	b.ReportAllocs()
	for b.Loop() {
		if err := a.once(); err != nil {
			b.Fatal(err)
		}
	}
}
