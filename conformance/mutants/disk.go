// SPDX-License-Identifier: Apache-2.0

package mutants

import (
	"bytes"
	"slices"
	"sync"
	"time"

	"github.com/ibnbd/ibnbd/reference/ibnbd/backend"
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

// volatileDisk has a cache that a loss of power empties. Closing it is no loss: it outlives the server that it is exported by.
type volatileDisk struct {
	durable backend.Backend

	mu    sync.Mutex
	cache []byte // what is read
}

func newVolatileDisk(durable backend.Backend) (*volatileDisk, error) {
	d := &volatileDisk{durable: durable, cache: make([]byte, durable.Properties().Size)}
	return d, d.losePower()
}

// losePower forgets what was not made durable.
func (d *volatileDisk) losePower() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.durable.ReadAt(d.cache, 0)
}

func (d *volatileDisk) Properties() backend.Properties {
	p := d.durable.Properties()
	p.WriteCache, p.FUA = true, true
	p.MaxDiscard, p.MaxWriteZeroes = 0, 0
	return p
}

func (d *volatileDisk) ReadAt(p []byte, offset int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	copy(p, d.cache[offset:])
	return nil
}

func (d *volatileDisk) WriteAt(p []byte, offset int64, fua bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	copy(d.cache[offset:], p)
	if fua {
		return d.durable.WriteAt(p, offset, true)
	}
	return nil
}

func (d *volatileDisk) Flush() error {
	d.mu.Lock()
	whole := slices.Clone(d.cache)
	d.mu.Unlock()
	return d.durable.WriteAt(whole, 0, true)
}

func (d *volatileDisk) Discard(int64, int64) error           { return nil }
func (d *volatileDisk) WriteZeroes(int64, int64, bool) error { return nil }
func (d *volatileDisk) SecureErase(int64, int64) error       { return nil }
func (d *volatileDisk) Close() error                         { return nil }
