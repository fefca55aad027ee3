// SPDX-License-Identifier: Apache-2.0

package foreign

import (
	"context"
	"fmt"
)

// SectorSize is the unit of a [Range], in bytes.
const SectorSize = 512

// Export is a block device of a target, as the first contact sees it.
type Export struct {
	Name    string
	Sectors uint64 // of SectorSize bytes
	// ReadStart reads so many bytes from the begin of the device.
	ReadStart func(ctx context.Context, size int) ([]byte, error)
}

// CheckExport refuses an export that is too small, or that must not be written to: it holds somebody's data, and the owner did not
// say that these may be lost.
func (r *TargetRun) CheckExport(ctx context.Context, e Export) error {
	if least := r.target.protocol.Targets.LeastExport / SectorSize; e.Sectors < least {
		return refuse("export %s has %d sectors, and must have at least %d", e.Name, e.Sectors, least)
	}
	consent := r.target.Consent
	if last := consent.Scratch.First + consent.Scratch.Count; consent.Writes && last > e.Sectors {
		return refuse("export %s ends with sector %d, and the scratch range with sector %d", e.Name, e.Sectors-1, last-1)
	}
	if !consent.Writes || consent.Everything([]string{e.Name}) {
		return nil
	}
	begin, err := e.ReadStart(ctx, signatureArea)
	if err != nil {
		return fmt.Errorf("export %s: read its first MiB: %w", e.Name, err)
	}
	if found := findSignature(begin); found != "" {
		return refuse("export %s holds %s, and will not be written to unless --allow-data-loss %s says that its data may be lost", e.Name, found, e.Name)
	}
	return nil
}
