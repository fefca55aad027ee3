// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/onsi/ginkgo/v2"
)

// SmokeLabel marks the specs of a smoke run: a few of each kind, in under a minute.
const SmokeLabel = "smoke"

// Smoke is the decorator for such a spec.
var Smoke = ginkgo.Label(SmokeLabel)

// ExtendedLabel marks specs that take minutes. A run leaves them out unless it is asked for them.
const ExtendedLabel = "extended"

// Extended is the decorator for such a spec.
var Extended = ginkgo.Label(ExtendedLabel)

const (
	takesPrefix = "takes:"
	railsPrefix = "rails:"
)

// usualTime is what a spec takes that does not say otherwise.
const usualTime = 3 * time.Second

// LongFirst is the environment variable that has a process begin with the specs that take longest, by any value but none. It
// counts when the process starts, since that is when the tree of specs is made.
const LongFirst = "IBNBD_CONFORMANCE_LONG_FIRST"

// Takes is the decorator by which a spec, or a container for each of its specs, says how many seconds it takes. It is used to
// divide work and to tell the user; nothing is judged by it.
func Takes(seconds int) []any {
	decorators := []any{ginkgo.Label(fmt.Sprintf("%s%ds", takesPrefix, seconds))}
	if os.Getenv(LongFirst) != "" {
		decorators = append(decorators, ginkgo.SpecPriority(seconds))
	}
	return decorators
}

// TakesOf reads the time out of a spec's labels. The last one, the innermost, counts.
func TakesOf(labels []string) time.Duration {
	takes := usualTime
	for _, label := range labels {
		if text, ok := strings.CutPrefix(label, takesPrefix); ok {
			if d, err := time.ParseDuration(text); err == nil {
				takes = d
			}
		}
	}
	return takes
}

// Rails is the decorator by which a spec says how many rails its lab must have, where that is more than the usual two. The runner
// gives each lab as many as the most demanding of its specs needs.
func Rails(count int) ginkgo.Labels { return ginkgo.Label(fmt.Sprintf("%s%d", railsPrefix, count)) }

// RailsOf reads the number of rails out of a spec's labels; 0 if it does not say.
func RailsOf(labels []string) int {
	rails := 0
	for _, label := range labels {
		if text, ok := strings.CutPrefix(label, railsPrefix); ok {
			if n, err := strconv.Atoi(text); err == nil {
				rails = max(rails, n)
			}
		}
	}
	return rails
}
