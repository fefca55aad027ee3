// SPDX-License-Identifier: Apache-2.0

package foreign

import (
	"bytes"
	"fmt"
)

// signatureArea is how much of a device is looked at, in bytes from its begin.
const signatureArea = 1 << 20

// signature is what the first MiB of a device has when it holds somebody's data, at any of some offsets in bytes.
type signature struct {
	what  string
	magic string
	at    []int
}

// signatures are, in the order in which they are told, those that blkid looks for in the first MiB, as far as they are in
// common use on Linux.
var signatures = []signature{
	{"a GPT partition table", "EFI PART", []int{512, 4096}},
	{"an MBR partition table or boot sector", "\x55\xAA", []int{510}},
	{"an ext2, ext3 or ext4 file system", "\x53\xEF", []int{1024 + 56}},
	{"an XFS file system", "XFSB", []int{0}},
	{"a Btrfs file system", "_BHRfS_M", []int{64<<10 + 64}},
	{"an F2FS file system", "\x10\x20\xF5\xF2", []int{1024}},
	{"an ISO 9660 file system", "CD001", []int{32<<10 + 1}},
	{"an LVM physical volume", "LABELONE", []int{0, 512, 1024, 1536}},
	{"a LUKS volume", "LUKS\xBA\xBE", []int{0}},
	{"a member of an MD array", "\xFC\x4E\x2B\xA9", []int{0, 4096}},
	{"a bcache device", "\xC6\x85\x73\xF6\x4E\x1A\x45\xCA\x82\x65\xF5\x7F\x48\xBA\x6D\x81", []int{4096 + 24}},
	{"swap space", "SWAPSPACE2", []int{4096 - 10, 64<<10 - 10}},
	{"swap space", "SWAP-SPACE", []int{4096 - 10, 64<<10 - 10}},
	{"a hibernated system", "S1SUSPEND", []int{4096 - 10, 64<<10 - 10}},
}

// findSignature says what the begin of a device holds, with its place, or "".
func findSignature(begin []byte) string {
	for _, s := range signatures {
		for _, at := range s.at {
			if at+len(s.magic) <= len(begin) && bytes.Equal(begin[at:at+len(s.magic)], []byte(s.magic)) {
				return fmt.Sprintf("%s (at byte %d)", s.what, at)
			}
		}
	}
	return ""
}
