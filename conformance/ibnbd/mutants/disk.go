// SPDX-License-Identifier: Apache-2.0

package mutants

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"syscall"
	"time"

	"github.com/ibnbd/ibnbd/conformance/disk"
	"github.com/ibnbd/ibnbd/reference/backend"
)

// slowDisk takes its time for writes.
type slowDisk struct {
	backend.Backend
	latency time.Duration
}

func (d slowDisk) Properties() backend.Properties {
	p := d.Backend.Properties()
	p.Immediate = false
	return p
}

func (d slowDisk) WriteAt(p []byte, offset int64, fua bool) error {
	time.Sleep(d.latency)
	return d.Backend.WriteAt(p, offset, fua)
}

// lateDisk takes its time for all that changes it.
type lateDisk struct{ slowDisk }

func (d lateDisk) Flush() error {
	time.Sleep(d.latency)
	return d.Backend.Flush()
}

func (d lateDisk) Discard(offset, length int64) error {
	time.Sleep(d.latency)
	return d.Backend.Discard(offset, length)
}

func (d lateDisk) WriteZeroes(offset, length int64, keep bool) error {
	time.Sleep(d.latency)
	return d.Backend.WriteZeroes(offset, length, keep)
}

// forgetfulDisk loses every hundredth write.
type forgetfulDisk struct {
	backend.Backend

	mu     sync.Mutex
	writes int
}

func (d *forgetfulDisk) WriteAt(p []byte, offset int64, fua bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.writes++; d.writes%100 == 0 {
		return nil
	}
	return d.Backend.WriteAt(p, offset, fua)
}

// disorderlyDisk does every tenth write behind the one that follows it.
type disorderlyDisk struct {
	backend.Backend

	mu     sync.Mutex
	writes int
	held   func() error
}

func (d *disorderlyDisk) WriteAt(p []byte, offset int64, fua bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.writes++; d.writes%10 == 0 && d.held == nil {
		late := bytes.Clone(p)
		d.held = func() error { return d.Backend.WriteAt(late, offset, fua) }
		return nil
	}
	err := d.Backend.WriteAt(p, offset, fua)
	if d.held == nil {
		return err
	}
	held := d.held
	d.held = nil
	return held()
}

// uselessDisk succeeds in zeroing without doing it.
type uselessDisk struct{ backend.Backend }

func (uselessDisk) WriteZeroes(int64, int64, bool) error { return nil }

// idleDisk keeps what is discarded, as a disk may.
type idleDisk struct{ backend.Backend }

func (idleDisk) Discard(int64, int64) error { return nil }

// unerasable is a disk that cannot erase, and says so.
type unerasable struct{ backend.Backend }

func (d unerasable) Properties() backend.Properties {
	p := d.Backend.Properties()
	p.SecureErase = false
	return p
}

func (unerasable) SecureErase(int64, int64) error { return syscall.EOPNOTSUPP }

// stickyDisk erases nothing.
type stickyDisk struct{ backend.Backend }

func (stickyDisk) SecureErase(int64, int64) error { return nil }

// volatileDisk is a backend whose cache a loss of power empties. Closing it is no loss: it outlives the server that it is
// exported by.
type volatileDisk struct {
	memory     *disk.Volatile
	properties backend.Properties
}

// newVolatileDisk takes the place of an empty backend.
func newVolatileDisk(place backend.Backend) (volatileDisk, error) {
	p := place.Properties()
	p.WriteCache, p.FUA = true, true
	p.MaxDiscard, p.MaxWriteZeroes = 0, 0
	memory, err := disk.NewVolatile(p.Size)
	return volatileDisk{memory, p}, errors.Join(err, place.Close())
}

func (d volatileDisk) Properties() backend.Properties { return d.properties }

func (d volatileDisk) ReadAt(p []byte, offset int64) error {
	return d.memory.ReadAt(context.Background(), p, offset)
}

func (d volatileDisk) WriteAt(p []byte, offset int64, fua bool) error {
	return d.memory.WriteAt(context.Background(), p, offset, fua)
}

func (d volatileDisk) Flush() error { return d.memory.Flush(context.Background()) }

func (volatileDisk) Discard(int64, int64) error           { return nil }
func (volatileDisk) WriteZeroes(int64, int64, bool) error { return nil }
func (volatileDisk) SecureErase(int64, int64) error       { return nil }
func (volatileDisk) Close() error                         { return nil }
