// SPDX-License-Identifier: Apache-2.0

package live

import (
	"slices"

	"github.com/ibnbd/ibnbd/conformance/audit"
)

// Filter chooses events.
type Filter func(e *audit.Event) bool

// All chooses what every filter chooses.
func All(filters ...Filter) Filter {
	return func(e *audit.Event) bool {
		return !slices.ContainsFunc(filters, func(f Filter) bool { return !f(e) })
	}
}

// OfKind chooses events of any of these kinds.
func OfKind(kinds ...audit.Kind) Filter {
	return func(e *audit.Event) bool { return slices.Contains(kinds, e.Kind) }
}

// From chooses what one side does.
func From(side audit.Side) Filter {
	return func(e *audit.Event) bool { return e.From == side }
}
