// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"context"
	"fmt"
	"math/bits"
	"sync"

	"github.com/ibnbd/ibnbd/reference/nbd"
)

// Sector is the unit in which a disk remembers and forgets, in bytes.
const Sector = 512

// Volatile is a disk in memory behind a volatile write cache as large as itself. Its methods may be called from many
// goroutines at once.
type Volatile struct {
	mu     sync.Mutex // guards the rest
	stable []byte     // what survives a loss of power
	now    []byte     // what is read
	dirty  []uint64   // one bit a sector: it is not stable
}

var _ nbd.Disk = (*Volatile)(nil)

// NewVolatile makes a disk of zeroes. The size is in bytes and a multiple of [Sector].
func NewVolatile(size int64) (*Volatile, error) {
	if size <= 0 || size%Sector != 0 {
		return nil, fmt.Errorf("disk: the size %d is not a positive multiple of %d bytes", size, Sector)
	}
	return &Volatile{stable: make([]byte, size), now: make([]byte, size), dirty: make([]uint64, (size/Sector+63)/64)}, nil
}

// Info describes the disk.
func (v *Volatile) Info() nbd.Info {
	return nbd.Info{Size: int64(len(v.now)), BlockSize: Sector, PreferredBlock: 4096, WriteCache: true}
}

// ReadAt reads what was written last, durable or not.
func (v *Volatile) ReadAt(_ context.Context, p []byte, offset int64) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	copy(p, v.now[offset:])
	return nil
}

// WriteAt writes into the cache; with fua these bytes are durable, and no others.
func (v *Volatile) WriteAt(_ context.Context, p []byte, offset int64, fua bool) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	copy(v.now[offset:], p)
	for s := offset / Sector; s < (offset+int64(len(p)))/Sector; s++ {
		v.dirty[s/64] |= 1 << (s % 64)
		if fua {
			v.settle(s)
		}
	}
	return nil
}

// Flush makes everything durable that was written.
func (v *Volatile) Flush(context.Context) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.eachDirty(v.settle)
	return nil
}

// Trim does nothing; the disk does not offer it.
func (v *Volatile) Trim(context.Context, int64, int64) error { return nil }

// WriteZeroes writes zeroes into the cache.
func (v *Volatile) WriteZeroes(ctx context.Context, offset, length int64, _ bool) error {
	return v.WriteAt(ctx, make([]byte, length), offset, false)
}

// PowerLoss forgets what is not durable, and says how many bytes that was.
func (v *Volatile) PowerLoss() int64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	var sectors int64
	v.eachDirty(func(s int64) {
		copy(v.now[s*Sector:(s+1)*Sector], v.stable[s*Sector:])
		v.dirty[s/64] &^= 1 << (s % 64)
		sectors++
	})
	return sectors * Sector
}

// settle makes a sector durable.
func (v *Volatile) settle(s int64) {
	copy(v.stable[s*Sector:(s+1)*Sector], v.now[s*Sector:])
	v.dirty[s/64] &^= 1 << (s % 64)
}

// eachDirty calls do for every sector that is not durable.
func (v *Volatile) eachDirty(do func(s int64)) {
	for i := range v.dirty {
		for v.dirty[i] != 0 {
			do(int64(i)*64 + int64(bits.TrailingZeros64(v.dirty[i])))
		}
	}
}
