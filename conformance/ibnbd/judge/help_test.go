// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"slices"
	"testing"

	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/conformance/audit/audittest"
)

// tests has the judge of this package tested.
var tests = audittest.Judge{Protocol: Protocol}

// protocols are what a tracker follows in tests.
var protocols = []*audit.Protocol{Protocol}

// rnbdCapture is a capture of mainline Linux, a file a rail.
var rnbdCapture = []string{"rnbd-mainline-rail0.pcap", "rnbd-mainline-rail1.pcap"}

type capture = audittest.Capture

// load reads captures of mainline Linux.
func load(tb testing.TB, names ...string) capture {
	tb.Helper()
	return tests.Load(tb, audittest.Mainline(names...)...)
}

// loadRecording reads a recording from the lab.
func loadRecording(tb testing.TB, name string) capture {
	tb.Helper()
	i := slices.IndexFunc(recordings, func(r recording) bool { return r.name == name })
	return tests.Load(tb, recordings[i].files("testdata", ".pcapng.gz")...)
}

func search(tb testing.TB, names ...string) *audittest.Finder {
	tb.Helper()
	return &audittest.Finder{TB: tb, Frames: load(tb, names...)}
}
