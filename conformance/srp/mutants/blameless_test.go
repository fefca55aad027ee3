// SPDX-License-Identifier: Apache-2.0

package mutants

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"github.com/ibnbd/ibnbd/conformance/mutant/recording"
	"github.com/ibnbd/ibnbd/conformance/srp/judge"
	"github.com/ibnbd/ibnbd/reference/roce"
	"github.com/ibnbd/ibnbd/reference/srp"
)

// TestBlameless alters captures in ways that break nothing, and that excuse what mainline's initiator breaks in them as they are:
// it closes its channels without SRP_I_LOGOUT.
func TestBlameless(t *testing.T) {
	const requests = 100
	for _, tt := range []struct {
		name    string
		capture recording.Capture
		edit    func(*editor)
		clause  string
		control bool // it is broken in the capture as it is
	}{
		{"closes after SRP_T_LOGOUT", login, func(e *editor) {
			e.Insert(e.Find(-1, isUnit(srp.TypeRsp)), false, time.Microsecond, func(p *roce.Packet) {
				p.Payload = append([]byte{srp.TypeTLogout, 0, 0, 0, 0, 0, 0, 0}, 1, 2, 3, 4, 5, 6, 7, 8)
			})
		}, "SRP-LOGOUT-001", true},
		{"closes a channel after the target has closed another", twoChannels, func(e *editor) {
			reply := e.FindCM(0, roce.AttrREP)
			at := e.Frames[e.FindCM(0, roce.AttrDREQ)].At.Add(-time.Millisecond).Sub(e.Frames[reply].At)
			e.SendCM(reply, at, e.DisconnectOf(reply), nil)
		}, "SRP-LOGOUT-001", true},
		{"answers many requests at once", login, func(e *editor) {
			command := e.Find(2, isUnit(srp.TypeCmd))
			answers := slices.DeleteFunc(e.FindAll(isUnit(srp.TypeRsp)), func(i int) bool { return i > command })
			answer := answers[len(answers)-1]
			for n := range uint64(requests) {
				e.Insert(command, false, time.Microsecond, func(p *roce.Packet) { p.Payload = tagged(srp.TypeCredRsp, n) })
			}
			for n := range uint64(requests) {
				e.Insert(answer, false, time.Microsecond, func(p *roce.Packet) { p.Payload = tagged(srp.TypeCredReq, n) })
			}
		}, "SRP-CRED-006", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			table := table("blameless", tt.capture, judge.Protocol, nil)
			control, err := table.Control(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, broken := control[tt.clause]; broken != tt.control {
				t.Fatalf("%s is broken in the capture as it is: %v, must be %v", tt.clause, broken, tt.control)
			}
			found, err := table.Broken(t.Context(), recording.Mutation{Name: tt.name, Edit: tt.edit})
			if err != nil {
				t.Fatal(err)
			}
			if message, broken := found[tt.clause]; broken {
				t.Errorf("%s is broken: %s", tt.clause, message)
			}
		})
	}
}

// tagged makes a unit of a request of the target, or of its response, with a number as its tag.
func tagged(kind uint8, n uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{kind, 0, 0, 0, 0, 0, 0, 0}, n)
}
