// SPDX-License-Identifier: Apache-2.0

// Package direct has memory for I/O that bypasses the page cache.
package direct

import "unsafe"

// Alignment in bytes of memory, offset and length that fits every device for O_DIRECT.
const Alignment = 4096

// Buffer returns n bytes of zeros at an address that O_DIRECT takes.
func Buffer(n int) []byte {
	buf := make([]byte, n+Alignment)
	skip := (Alignment - int(uintptr(unsafe.Pointer(&buf[0]))%Alignment)) % Alignment
	return buf[skip : skip+n : skip+n]
}
