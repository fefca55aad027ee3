// SPDX-License-Identifier: Apache-2.0

package attacks

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// neighbours are names that are almost a device path, as far as they are another.
func neighbours(path string) []string {
	all := []string{strings.ToUpper(path), strings.ToLower(path), path + "0", path + "x", path[:len(path)-1], path + " ", " " + path, "x" + path}
	if at := strings.LastIndex(path, "/") + 1; at > 0 {
		all = append(all, path[at:], path[:at]+"x"+path[at:])
	}
	return slices.DeleteFunc(all, func(name string) bool { return name == path || name == "" || strings.HasSuffix(name, "/") })
}

// otherSpellings are those of a device path in which runs of slashes stand for one.
func otherSpellings(path string) []string {
	all := []string{"/" + path, "//" + path} // behind the search path and a slash
	for _, slashes := range []string{"//", "///"} {
		if inner := strings.ReplaceAll(path, "/", slashes); inner != path {
			all = append(all, inner)
		}
	}
	if at := strings.LastIndex(path, "/"); at > 0 {
		all = append(all, path[:at]+"/"+path[at:])
	}
	return all
}

// namesBeside opens devices by names that are almost theirs, and by other spellings. A name may be that of another device that the
// target has; it is blamed only where it leads to the one whose name was altered.
func namesBeside(ctx context.Context, t *tester.Tester) error {
	both := t.Target().Exports
	exports := slices.Compact(both[:])
	for i, export := range exports {
		mode := []ibnbd.AccessMode{ibnbd.ReadWrite, ibnbd.Migration}[i] // the bystander writes to the second
		p, opened, err := t.NewSession().Ready(ctx, export, mode)
		if err != nil {
			return err
		}
		owner := namedDevice{t, p, opened.DeviceID}
		for _, name := range neighbours(export) {
			if same, err := owner.isAt(ctx, name); err != nil {
				return fmt.Errorf("device path %q: %w", name, err)
			} else if same {
				return tester.Broken("IBNBD-OPEN-003", "an OPEN of %q leads to %q", name, export)
			}
		}
		for _, name := range otherSpellings(export) {
			if same, err := owner.isAt(ctx, name); err != nil {
				return fmt.Errorf("device path %q: %w", name, err)
			} else if !same {
				return tester.Broken("IBNBD-OPEN-016", "an OPEN of %q does not lead to %q", name, export)
			}
		}
	}
	return nil
}

// namedDevice is a device that a client has open under its own name.
type namedDevice struct {
	t     *tester.Tester
	owner *tester.Path
	id    uint32
}

// isAt says whether another client finds the device under a name: what is written to it is read there. A name that is refused leads
// nowhere.
func (n namedDevice) isAt(ctx context.Context, name string) (same bool, err error) {
	p := n.t.NewSession().NewPath(0)
	if err := p.Connect(ctx); err != nil {
		return false, err
	}
	opened, err := p.Open(ctx, name, ibnbd.ReadOnly)
	var errno ibtrs.Errno
	if errors.As(err, &errno) {
		return false, p.Disconnect(ctx)
	}
	if err != nil {
		return false, err
	}
	const sector, size, first, second = 24, 4096, 40, 41
	for _, sequence := range []uint64{first, second} {
		if err := n.owner.WriteAt(ctx, n.id, sector, tester.Stamped(sector, size, sequence)); err != nil {
			return false, err
		}
		if p.CheckStamped(ctx, opened.DeviceID, sector, size, sequence) != nil {
			return false, p.Disconnect(ctx)
		}
	}
	return true, p.Disconnect(ctx)
}
