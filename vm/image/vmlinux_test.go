// SPDX-License-Identifier: Apache-2.0

package image

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// bzImage makes a kernel file around a compressed payload.
func bzImage(payload []byte) []byte {
	const setupSectors, offset = 2, 100
	kernel := make([]byte, (setupSectors+1)*bootSector+offset)
	kernel[setupSectorsAt] = setupSectors
	copy(kernel[magicAt:], "HdrS")
	binary.LittleEndian.PutUint32(kernel[payloadOffsetAt:], offset)
	binary.LittleEndian.PutUint32(kernel[payloadLengthAt:], uint32(len(payload)))
	return append(append(kernel, payload...), "what follows"...)
}

func TestKernelIsUnpacked(t *testing.T) {
	inner := bytes.Repeat([]byte("kernel "), 1000)
	size := binary.LittleEndian.AppendUint32(nil, uint32(len(inner)))
	encoder, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	var zipped bytes.Buffer
	zip := gzip.NewWriter(&zipped)
	if _, err := zip.Write(inner); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	for name, payload := range map[string][]byte{
		"zstd": append(encoder.EncodeAll(inner, nil), size...),
		"gzip": zipped.Bytes(),
	} {
		got, err := unpackKernel(bzImage(payload))
		if err != nil || !bytes.Equal(got, inner) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
}

func TestBadKernelsAreRefused(t *testing.T) {
	long := bzImage(make([]byte, 16))
	binary.LittleEndian.PutUint32(long[payloadLengthAt:], 1<<31)
	for says, kernel := range map[string][]byte{
		"not a bzImage":   []byte("short"),
		"payload from":    long,
		"unknown way":     bzImage([]byte("LZ4 or the like")),
		"of a bzImage of": bzImage([]byte("x")),
	} {
		if _, err := unpackKernel(kernel); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("error %v, want one that says %q", err, says)
		}
	}
}

func TestPVHEntryIsFoundAmongNotes(t *testing.T) {
	note := func(name string, kind uint32, content string) []byte {
		var n []byte
		for _, field := range []uint32{uint32(len(name)), uint32(len(content)), kind} {
			n = binary.LittleEndian.AppendUint32(n, field)
		}
		n = append(n, name+strings.Repeat("\x00", -len(name)&3)...)
		return append(n, content+strings.Repeat("\x00", -len(content)&3)...)
	}
	others := append(note("Linux\x00", 18, "func"), note("Xen\x00", 12, "odd")...)
	with := append(bytes.Clone(others), note("Xen\x00", 18, "addr")...)
	for name, test := range map[string]struct {
		notes []byte
		want  bool
	}{
		"there":      {with, true},
		"not there":  {others, false},
		"cut short":  {with[:len(with)-1], false},
		"no notes":   {nil, false},
		"huge sizes": {bytes.Repeat([]byte{0xff}, 12), false},
	} {
		if got := hasNote(test.notes, binary.LittleEndian, "Xen\x00", pvhEntry); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
