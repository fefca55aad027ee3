// SPDX-License-Identifier: Apache-2.0

package foreign

import (
	"context"
	"errors"
	"fmt"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
)

// RefusedError says that a target is not visited for what its owner did not allow, or what was asked for cannot be there.
type RefusedError struct{ Text string }

// Error is the sentence for the user.
func (e *RefusedError) Error() string { return e.Text }

func refuse(format string, args ...any) error { return &RefusedError{fmt.Sprintf(format, args...)} }

// contact visits the target politely, without writing, and learns what it is.
func (v *Visit) contact(ctx context.Context) error {
	target := v.target
	target.Limit = &tester.Limit{}
	t := tester.New(target)
	return errors.Join(v.learn(ctx, t), t.Close())
}

func (v *Visit) learn(ctx context.Context, t *tester.Tester) error {
	for rail, addr := range v.config.Targets {
		p := t.NewSession().NewPath(rail)
		if err := p.Connect(ctx); err != nil {
			return fmt.Errorf("no session with the target at %s: %w", addr, err)
		}
		v.geometry, v.keyRefresh = p.Geometry, p.KeyRefresh()
	}
	for _, export := range v.config.Exports {
		if err := v.inspect(ctx, t, export); err != nil {
			return err
		}
	}
	return nil
}

// leastSize is what the attacks need of an export, in bytes.
const leastSize = 1 << 20

// inspect looks at an export, and refuses what must not be written to.
func (v *Visit) inspect(ctx context.Context, t *tester.Tester, export string) error {
	p, opened, err := t.NewSession().Ready(ctx, export, ibnbd.ReadOnly)
	if err != nil {
		return fmt.Errorf("export %s: %w", export, err)
	}
	sectors := opened.Capacity
	if sectors < leastSize/ibnbd.SectorSize {
		return refuse("export %s has %d sectors, and must have at least %d", export, sectors, leastSize/ibnbd.SectorSize)
	}
	consent := v.config.Consent
	if consent.Writes && consent.Scratch.First+consent.Scratch.Count > sectors {
		return refuse("export %s ends with sector %d, and the scratch range with sector %d", export, sectors-1, consent.Scratch.First+consent.Scratch.Count-1)
	}
	if !consent.Writes || consent.everything([]string{export}) {
		return nil
	}
	begin, err := readBegin(ctx, p, opened.DeviceID)
	if err != nil {
		return fmt.Errorf("export %s: read its first MiB: %w", export, err)
	}
	if found := findSignature(begin); found != "" {
		return refuse("export %s holds %s, and will not be written to unless --allow-data-loss %s says that its data may be lost", export, found, export)
	}
	return nil
}

// readBegin reads what may have signatures.
func readBegin(ctx context.Context, p *tester.Path, device uint32) ([]byte, error) {
	step := min(p.Geometry.MaxIOSize&^4095, 64<<10)
	var begin []byte
	for len(begin) < signatureArea {
		size := min(step, uint32(signatureArea-len(begin)))
		b, err := p.ReadAt(ctx, device, uint64(len(begin)/ibnbd.SectorSize), size)
		if err != nil {
			return nil, err
		}
		begin = append(begin, b...)
	}
	return begin, nil
}
