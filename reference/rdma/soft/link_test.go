// SPDX-License-Identifier: Apache-2.0

package soft_test

import (
	"slices"
	"testing"

	"github.com/ibnbd/ibnbd/reference/rdma/soft"
)

// loggingLink notes when it is used.
type loggingLink struct {
	soft.Link
	log *[]string
}

func (l loggingLink) Send([]*soft.Packet) error {
	*l.log = append(*l.log, "sent")
	return nil
}

func (l loggingLink) Receive() ([]*soft.Packet, error) {
	*l.log = append(*l.log, "came")
	return nil, nil
}

// TestObservedLink: nothing is seen before its cause, so what goes out is seen before it is sent, and what comes in before the device
// has it.
func TestObservedLink(t *testing.T) {
	var log []string
	link := soft.ObservedLink{Link: loggingLink{log: &log}, Observe: func([]*soft.Packet) { log = append(log, "seen") }}
	if err := link.Send(nil); err != nil {
		t.Fatal(err)
	}
	if _, err := link.Receive(); err != nil {
		t.Fatal(err)
	}
	log = append(log, "taken")
	if want := []string{"seen", "sent", "came", "seen", "taken"}; !slices.Equal(log, want) {
		t.Errorf("%v, want %v", log, want)
	}
}
