// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ibnbd/ibnbd/reference/roce"
	"github.com/ibnbd/ibnbd/vm/fabric"
)

// ConnectRequest is a connection request (CM REQ) as it was seen on the wire. A retransmission is one, too.
type ConnectRequest struct {
	At      time.Time // when the rail got it
	Service roce.ServiceID
	ID      uint32 // of the connection, which its sender has chosen; all retransmissions have it
}

// WatchConnectRequests notes the connection requests on all rails from now on, until the spec ends, and gives those seen so far,
// in order.
func (t *Testbed) WatchConnectRequests() (seen func() []ConnectRequest) {
	rails := make([]int, len(t.Lab.Rails()))
	for rail := range rails {
		rails[rail] = rail
	}
	return t.watchConnectRequests(rails...)
}

// CountConnectRequests counts what WatchConnectRequests notes.
func (t *Testbed) CountConnectRequests() (count func() int64) {
	return counted(t.WatchConnectRequests())
}

// CountConnectRequestsOn does so on one rail.
func (t *Testbed) CountConnectRequestsOn(rail int) (count func() int64) {
	return counted(t.watchConnectRequests(rail))
}

func counted(seen func() []ConnectRequest) func() int64 {
	return func() int64 { return int64(len(seen())) }
}

// CountStaleConnections counts the rejects (CM REJ) on all rails, from now on, that say that the connection manager itself takes the
// queue pair of a request for one of an old connection.
func (t *Testbed) CountStaleConnections() (count func() int64) {
	var stale atomic.Int64
	for _, rail := range t.Lab.Rails() {
		t.AtEnd(rail.Hook(func(f *fabric.Frame) {
			if reject, ok := connectMessage(f.Data).(*roce.CMRej); ok && reject.Reason == roce.RejStaleConnection {
				stale.Add(1)
			}
		}))
	}
	return stale.Load
}

// CountConnectReplies counts the replies (CM REP) on all rails from now on, by which connections are accepted.
func (t *Testbed) CountConnectReplies() (count func() int64) {
	var replies atomic.Int64
	for _, rail := range t.Lab.Rails() {
		t.AtEnd(rail.Hook(func(f *fabric.Frame) {
			if _, ok := connectMessage(f.Data).(*roce.CMRep); ok {
				replies.Add(1)
			}
		}))
	}
	return replies.Load
}

func (t *Testbed) watchConnectRequests(rails ...int) func() []ConnectRequest {
	var mu sync.Mutex
	var seen []ConnectRequest
	for _, rail := range rails {
		t.AtEnd(t.Lab.Rails()[rail].Hook(func(f *fabric.Frame) {
			if request, ok := connectMessage(f.Data).(*roce.CMReq); ok {
				mu.Lock()
				defer mu.Unlock()
				seen = append(seen, ConnectRequest{f.At, request.ServiceID, request.LocalCommID})
			}
		}))
	}
	return func() []ConnectRequest {
		mu.Lock()
		defer mu.Unlock()
		return slices.SortedFunc(slices.Values(seen), func(a, b ConnectRequest) int { return a.At.Compare(b.At) })
	}
}

// connectMessage is the message of connection management in a frame; nil if it has none.
func connectMessage(frame []byte) any {
	var packet roce.Packet
	if packet.Decode(frame) != nil || !packet.IsMAD() {
		return nil
	}
	_, message, err := roce.DecodeCM(packet.Payload)
	if err != nil {
		return nil
	}
	return message
}
