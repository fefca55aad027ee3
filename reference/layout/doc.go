// SPDX-License-Identifier: Apache-2.0

// Package layout describes wire messages as data.
//
// A [Protocol] is a list of [Message] tables; a Message is a list of [Field] rows: name, offset, size, byte order,
// meaning. The protocol packages (ibtrs, ibnbd, srp) write their codecs by hand, because the I/O path wants no
// reflection and no allocation, and export one table each. Whoever needs to know where a byte lies without calling a
// codec reads the table: the generator of the Wireshark dissector, the comparison with the C headers of the kernel
// modules, and the passive judge, which looks for reserved bytes that are not zero ([Message.ReservedSet]).
//
// That table and codec say the same is proven by package layouttest: it sets each field of the Go value to a pattern,
// looks at the bytes, and refuses gaps, overlaps and fields that only one side knows.
//
// The package also holds what every codec shares: [Error], which names the field at fault; [Name], the NUL-terminated
// text of 255 bytes that IBTRS and IBNBD carry; and [Extend], which makes room for a message.
package layout
