// SPDX-License-Identifier: Apache-2.0

package image

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// A Debian kernel unpacks itself when it starts, which takes an emulated CPU half a second of the two that booting takes.
// QEMU can start the unpacked ELF file just as well, if it has a PVH entry.

// writeKernel writes what QEMU is to boot for the bzImage vmlinuz: the ELF file inside, or else vmlinuz itself.
func writeKernel(file, vmlinuz string) error {
	kernel, err := os.ReadFile(vmlinuz)
	if err != nil {
		return err
	}
	if inner, err := unpackKernel(kernel); err == nil && hasPVHEntry(inner) {
		kernel = inner
	}
	return os.WriteFile(file, kernel, 0o644)
}

// Fields of the boot protocol's header, as offsets into a bzImage (Documentation/arch/x86/boot.rst).
const (
	setupSectorsAt  = 0x1f1 // byte
	magicAt         = 0x202 // "HdrS"
	versionAt       = 0x20e // 16 bits, from the end of the boot sector: the release and more words
	payloadOffsetAt = 0x248 // 32 bits, from the end of the setup sectors
	payloadLengthAt = 0x24c // 32 bits
	bootSector      = 512
)

// unpackKernel returns the ELF file in a bzImage.
func unpackKernel(kernel []byte) ([]byte, error) {
	if len(kernel) < payloadLengthAt+4 || string(kernel[magicAt:magicAt+4]) != "HdrS" {
		return nil, fmt.Errorf("not a bzImage")
	}
	start := uint64(kernel[setupSectorsAt])*bootSector + bootSector + uint64(binary.LittleEndian.Uint32(kernel[payloadOffsetAt:]))
	end := start + uint64(binary.LittleEndian.Uint32(kernel[payloadLengthAt:]))
	if end > uint64(len(kernel)) || end-start < 8 {
		return nil, fmt.Errorf("payload from %d to %d of a bzImage of %d bytes", start, end, len(kernel))
	}
	payload := kernel[start:end]
	plain, err := decompressor(payload)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(plain)
}

// releaseOf returns the release of the kernel in a bzImage.
func releaseOf(kernel []byte) (string, error) {
	if len(kernel) < payloadLengthAt+4 || string(kernel[magicAt:magicAt+4]) != "HdrS" {
		return "", fmt.Errorf("neither a bzImage for x86-64 nor a package")
	}
	start := bootSector + int(binary.LittleEndian.Uint16(kernel[versionAt:]))
	if start == bootSector || start >= len(kernel) {
		return "", fmt.Errorf("the bzImage does not say its release")
	}
	text, _, _ := bytes.Cut(kernel[start:min(start+256, len(kernel))], []byte{0})
	release, _, _ := strings.Cut(string(text), " ")
	return release, nil
}

// decompressor reads a kernel's payload. All formats but gzip are followed by the size of the result, in four bytes.
func decompressor(payload []byte) (io.Reader, error) {
	sized := bytes.NewReader(payload[:len(payload)-4])
	switch {
	case bytes.HasPrefix(payload, []byte("\x28\xb5\x2f\xfd")):
		return zstd.NewReader(sized)
	case bytes.HasPrefix(payload, []byte("\xfd7zXZ\x00")):
		return xz.NewReader(sized)
	case bytes.HasPrefix(payload, []byte("\x1f\x8b")):
		return gzip.NewReader(bytes.NewReader(payload))
	}
	return nil, fmt.Errorf("kernel compressed in an unknown way: % x", payload[:6])
}

// pvhEntry is the type of the note, owned by "Xen", that holds the address of the PVH entry.
const pvhEntry = 18

// hasPVHEntry tells whether QEMU can start an ELF kernel.
func hasPVHEntry(kernel []byte) bool {
	file, err := elf.NewFile(bytes.NewReader(kernel))
	if err != nil {
		return false
	}
	for _, prog := range file.Progs {
		if prog.Type != elf.PT_NOTE {
			continue
		}
		notes, err := io.ReadAll(prog.Open())
		if err == nil && hasNote(notes, file.ByteOrder, "Xen\x00", pvhEntry) {
			return true
		}
	}
	return false
}

// hasNote looks for a note in a PT_NOTE segment: sizes of name and content, type, name, content, each padded to 4 bytes.
func hasNote(notes []byte, order binary.ByteOrder, name string, kind uint32) bool {
	for len(notes) >= 12 {
		nameSize, size := uint64(order.Uint32(notes)), uint64(order.Uint32(notes[4:]))
		next := 12 + (nameSize+3)&^3 + (size+3)&^3
		if next > uint64(len(notes)) {
			return false
		}
		if order.Uint32(notes[8:]) == kind && string(notes[12:12+nameSize]) == name {
			return true
		}
		notes = notes[next:]
	}
	return false
}
