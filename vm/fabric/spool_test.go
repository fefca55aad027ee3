// SPDX-License-Identifier: Apache-2.0

package fabric

import (
	"bytes"
	"errors"
	"testing"
)

// slowDisk takes nothing until it is released.
type slowDisk struct {
	released chan struct{}
	data     bytes.Buffer
	err      error
}

func (d *slowDisk) Write(p []byte) (int, error) {
	<-d.released
	if d.err != nil {
		return 0, d.err
	}
	return d.data.Write(p)
}

func TestSpoolDoesNotWaitForTheDisk(t *testing.T) {
	disk := &slowDisk{released: make(chan struct{})}
	s := newSpool(disk)
	var want []byte
	for n := 0; s.room(); n++ { // returns, though the disk does not
		if n > spoolChunks+1 {
			t.Fatalf("%d chunks are in a spool of %d", n, spoolChunks)
		}
		chunk := bytes.Repeat([]byte{byte(n)}, 100)
		want = append(want, chunk...)
		_, _ = s.Write(chunk)
		clear(chunk)
	}
	close(disk.released)
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(disk.data.Bytes(), want) {
		t.Errorf("%d bytes came to the disk, and %d were written, or they differ", disk.data.Len(), len(want))
	}
}

func TestSpoolTellsOfTheDisk(t *testing.T) {
	full := errors.New("no space left")
	disk := &slowDisk{released: make(chan struct{}), err: full}
	close(disk.released)
	s := newSpool(disk)
	_, _ = s.Write([]byte("x"))
	if err := s.stop(); !errors.Is(err, full) {
		t.Errorf("the error is %v", err)
	}
}
