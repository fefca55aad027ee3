// SPDX-License-Identifier: Apache-2.0

package layout

import "slices"

// Extend lengthens b by n zero bytes and returns it together with the new part. It allocates only if b lacks room.
func Extend(b []byte, n int) (whole, added []byte) {
	whole = slices.Grow(b, n)[:len(b)+n]
	added = whole[len(b):]
	clear(added)
	return whole, added
}
