// SPDX-License-Identifier: Apache-2.0

package scsi

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"sync"
	"syscall"

	"github.com/ibnbd/ibnbd/reference/backend"
)

// UnitConfig says who a unit is. Start from [DefaultUnitConfig] and set Serial.
type UnitConfig struct {
	Serial      string // unique: the identifier of the unit is made of it
	Vendor      string // at most 8 printable characters
	Product     string // at most 16
	Revision    string // at most 4
	MaxTransfer int    // bytes that one command moves
}

// Limits of a unit.
const (
	DefaultMaxTransfer = 1 << 20
	leastMaxTransfer   = 64 << 10
	mostMaxTransfer    = 64 << 20

	maxSerial  = 64
	maxVendor  = 8
	maxProduct = 16
	maxRelease = 4
)

// DefaultUnitConfig lacks only a serial number.
func DefaultUnitConfig() UnitConfig {
	return UnitConfig{Vendor: "IBNBD", Product: "REFERENCE", Revision: "1", MaxTransfer: DefaultMaxTransfer}
}

func (c *UnitConfig) validate() error {
	for _, f := range []struct {
		name, value string
		least, most int
	}{
		{"serial number", c.Serial, 1, maxSerial}, {"vendor", c.Vendor, 0, maxVendor},
		{"product", c.Product, 0, maxProduct}, {"revision", c.Revision, 0, maxRelease},
	} {
		if n := len(f.value); n < f.least || n > f.most {
			return fmt.Errorf("%s %.80q has %d characters, must be %d to %d: %w", f.name, f.value, n, f.least, f.most, syscall.EINVAL)
		}
		for _, c := range []byte(f.value) {
			if c < ' ' || c > '~' {
				return fmt.Errorf("%s %q has the byte %#02x, must be printable ASCII: %w", f.name, f.value, c, syscall.EINVAL)
			}
		}
	}
	if c.MaxTransfer < leastMaxTransfer || c.MaxTransfer > mostMaxTransfer || c.MaxTransfer%leastMaxTransfer != 0 {
		return fmt.Errorf("max transfer is %d bytes, must be a multiple of %d up to %d: %w", c.MaxTransfer, leastMaxTransfer, mostMaxTransfer, syscall.EINVAL)
	}
	return nil
}

// Unit is a logical unit: a disk on a backend.
type Unit struct {
	cfg     UnitConfig
	backend backend.Backend
	props   backend.Properties
	block   int64
	last    uint64 // address of the last block
	naa     uint64 // locally assigned identifier

	mu      sync.Mutex // guards the rest, and what tasks say it guards
	tasks   taskSet
	nexuses map[*Nexus]int // the number of the unit there
}

// NewUnit makes a unit. The backend stays the caller's, and must outlive all tasks.
func NewUnit(b backend.Backend, cfg UnitConfig) (*Unit, error) {
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("logical unit: %w", err)
	}
	props := b.Properties()
	if err := props.Validate(); err != nil {
		return nil, fmt.Errorf("logical unit: %w", err)
	}
	u := &Unit{cfg: cfg, backend: b, props: props, block: int64(props.LogicalBlock), nexuses: map[*Nexus]int{}}
	u.last = uint64(props.Size/u.block) - 1
	sum := sha256.Sum256([]byte(cfg.Vendor + "\x00" + cfg.Product + "\x00" + cfg.Serial))
	u.naa = binary.BigEndian.Uint64(sum[:])&(math.MaxUint64>>4) | naaLocal<<60
	return u, nil
}

// Config is what the unit was made of.
func (u *Unit) Config() UnitConfig { return u.cfg }

// Properties are those of the backend.
func (u *Unit) Properties() backend.Properties { return u.props }

// maxTransfer is in blocks.
func (u *Unit) maxTransfer() uint64 { return uint64(int64(u.cfg.MaxTransfer) / u.block) }

// maxUnmap bounds the blocks of one UNMAP, 0 if there is none.
func (u *Unit) maxUnmap() uint64 { return uint64(min(u.props.MaxDiscard/u.block, math.MaxUint32)) }

// maxWriteSame bounds the blocks of one WRITE SAME. Without a fast way to zero, it writes as much as a WRITE may.
func (u *Unit) maxWriteSame() uint64 {
	if u.props.MaxWriteZeroes == 0 {
		return u.maxTransfer()
	}
	return uint64(u.props.MaxWriteZeroes / u.block)
}

// thin tells whether blocks can be deallocated.
func (u *Unit) thin() bool { return u.props.MaxDiscard >= u.block }

// supports tells whether the unit has a command.
func (u *Unit) supports(f *Form) bool { return f != Unmap || u.thin() }

// inside checks that blocks lie on the unit.
func (u *Unit) inside(lba, blocks uint64) bool {
	return lba <= u.last+1 && blocks <= u.last+1-lba
}
