// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"fmt"
	"strings"
	"time"

	"github.com/ibnbd/ibnbd/reference/layout"
)

// Storage reports whether the event belongs into a timeline of what happened to sessions, devices and I/O. The others
// are about packets, or come again in the answer.
func (e *Event) Storage() bool {
	switch e.Kind {
	case ConnectionRequestAgain, Retransmission, CaptureEnd:
		return false
	}
	return e.Detail == nil || e.Detail.InTimeline()
}

// String gives the event as one line without its time: who, where, what, and how it ended.
func (e *Event) String() string {
	place, what := "", ""
	if e.Detail != nil {
		place, what = e.Detail.Place(), e.Detail.Text()
	}
	if place == "" && e.Connection != nil {
		place = fmt.Sprintf("%s to %s, connection %d", e.Connection.Initiator, e.Connection.Target, e.Connection.ID)
	}
	if what == "" {
		what = e.Plain()
	}
	if place == "" {
		return what
	}
	return place + ": " + what
}

// Plain says what happened as far as it is the same for all protocols.
func (e *Event) Plain() string {
	switch e.Kind {
	case ConnectionRequest:
		return fmt.Sprintf("connection request, service %v", e.Connection.Request.ServiceID)
	case ConnectionReply:
		return "accepted"
	case ConnectionReject:
		return fmt.Sprintf("rejected by the %s: %v", e.From, e.RejectReason)
	case ConnectionEstablished:
		return "established"
	case DisconnectRequest:
		if e.Again {
			return fmt.Sprintf("%s asks for disconnection again", e.From)
		}
		return fmt.Sprintf("%s asks for disconnection", e.From)
	case DisconnectReply:
		return "disconnected"
	case Gap:
		return fmt.Sprintf("%d packets of the %s from PSN %d on are missing in the capture", e.Packets, e.From, e.PSN)
	case ReceiverNotReady:
		return fmt.Sprintf("%s is not ready to receive, PSN %d: %v", e.From, e.PSN, e.Syndrome)
	case SequenceNAK, FatalNAK:
		return fmt.Sprintf("%s refuses PSN %d: %v", e.From, e.PSN, e.Syndrome)
	}
	return string(e.Kind)
}

// ShortTime gives a time with about three digits.
func ShortTime(d time.Duration) string {
	switch {
	case d >= 100*time.Second:
		return d.Round(time.Second).String()
	case d >= time.Second:
		return fmt.Sprintf("%.2f s", d.Seconds())
	case d >= time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
	}
	return fmt.Sprintf("%d us", d.Microseconds())
}

// ReservedText lists reserved bytes that are set.
func ReservedText(found []layout.NonZero) string {
	names := make([]string, len(found))
	for i, n := range found {
		names[i] = n.Message + " " + n.Field
	}
	return strings.Join(names, ", ")
}
