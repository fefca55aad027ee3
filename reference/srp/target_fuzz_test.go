// SPDX-License-Identifier: Apache-2.0

package srp_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ibnbd/ibnbd/reference/scsi"
	"github.com/ibnbd/ibnbd/reference/srp"
)

func containsText(err error, text string) bool { return strings.Contains(err.Error(), text) }

// FuzzTarget: whatever an initiator logs in with and sends, the target goes on serving another one, touches nothing of its memory,
// and leaves nothing behind (Clauses SRP-ROB-001, SRP-TGT-002).
func FuzzTarget(f *testing.F) {
	login, _ := loginReq(1).AppendBinary(nil)
	cmd := srp.NewCmd(srp.TagOf(5), srp.LUN{})
	for _, b := range []srp.Buffer{{}, srp.DirectBuffer(srp.MemoryDescriptor{Length: 512}), srp.ImmediateBuffer(make([]byte, 512))} {
		unit, err := cmd.AppendWith(nil, must(scsi.Write10.AppendIO(nil, 0, 1, false)), b, srp.Buffer{}, 68)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(login, unit, unit)
	}
	abort, _ := srp.TskMgmt{Type: srp.TypeTskMgmt, Function: srp.AbortTask, ManagedTag: srp.TagOf(5)}.AppendBinary(nil)
	logout, _ := srp.ILogout{Type: srp.TypeILogout}.AppendBinary(nil)
	reset, _ := srp.TskMgmt{Type: srp.TypeTskMgmt, Function: srp.LogicalUnitReset}.AppendBinary(nil)
	f.Add(login, abort, logout)
	f.Add(login, reset, logout)
	f.Fuzz(func(t *testing.T, login, first, second []byte) {
		synctest.Test(t, func(t *testing.T) {
			l := newLab(t)
			l.listen(l.targetConfig())
			other := l.connect(2)
			request, _ := srp.ParseLoginReqCM(append(login, make([]byte, srp.LoginReqCMSize)...)[:srp.LoginReqCMSize])
			request.InitiatorPort = initiatorPort(1)
			if p, err := l.dial(request); err == nil {
				for _, unit := range [][]byte{first, second} {
					unit = unit[:min(len(unit), peerSend, srp.DefaultMaxIULength)]
					if len(unit) > 0 {
						p.sendAnyhow(unit)
					}
				}
				synctest.Wait()
			}
			good(t, other.readDespiteAttentions(2))
		})
	})
}

// readDespiteAttentions reads a block. What another initiator did with so many units may be told first, each by a unit attention: a reset
// of the logical unit concerns all its initiators.
func (p *peer) readDespiteAttentions(units int) srp.Rsp {
	for {
		rsp := p.read(0, 1, srp.DirectBuffer(p.piece(0, 512)))
		sense, told := scsi.ParseSense(rsp.Sense())
		if !told || sense.Key != scsi.UnitAttention || units == 0 {
			return rsp
		}
		units--
	}
}

// sendAnyhow sends a unit, if the connection still takes one, and waits for what becomes of it.
func (p *peer) sendAnyhow(unit []byte) {
	copy(p.units.Bytes(), unit)
	if err := p.conn.PostSend(p.sending(len(unit))); err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	p.drain(ctx)
}
