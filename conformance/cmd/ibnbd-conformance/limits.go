// SPDX-License-Identifier: Apache-2.0

package main

import "cmp"

// within refuses the value of a flag that is outside its limits.
func within[T cmp.Ordered](flag string, value, least, most T) error {
	if value < least || value > most {
		return usagef("--%s %v is outside %v to %v", flag, value, least, most)
	}
	return nil
}
