// SPDX-License-Identifier: Apache-2.0

package recording

import (
	"strings"
	"testing"

	"github.com/ibnbd/ibnbd/reference/roce"
	"github.com/ibnbd/ibnbd/reference/roce/testdata/captures"
)

// TestEditThatDoesNotFit: what cannot be done to a capture is an error that names the capture.
func TestEditThatDoesNotFit(t *testing.T) {
	table := Table{Name: "one rail", Capture: Capture{FS: captures.Files, Files: []string{"rnbd-mainline-rail0.pcap"}}}
	for name, change := range map[string]func(*Editor){
		"a packet that is not there":  func(e *Editor) { e.Find(0, func(*roce.Packet) bool { return false }) },
		"a reply that is a request":   func(e *Editor) { e.DisconnectOf(e.FindCM(0, roce.AttrREQ)) },
		"a frame behind the last one": func(e *Editor) { e.FirstAfter(len(e.Frames), func(*roce.Packet) bool { return true }) },
	} {
		if _, err := table.Broken(t.Context(), Mutation{Edit: change}); err == nil || !strings.Contains(err.Error(), "one rail") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
