// SPDX-License-Identifier: Apache-2.0

package ibnbd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/ibnbd/ibnbd/reference/backend"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// Export is a backend with the path by which clients find it.
type Export struct {
	Path    string // full path on the server, such as "/ram0"; see [FullPath]
	Backend backend.Backend
}

// target is a real device: an export, or a block device of the host. All who open it share it, and its writers are
// counted over all sessions.
type target struct {
	name    string // for people: the last part of the path
	backend backend.Backend
	props   backend.Properties // but for the size
	size    atomic.Int64       // bytes, when it was last asked for
	order   order[*blockOp]
	host    bool // opened on demand, and closed with its last user

	// Guarded by the lock of targets.

	users   int
	writers int
	mode    IOMode // while it has users
}

func newTarget(path string, b backend.Backend) *target {
	t := &target{name: filepath.Base(path), backend: b, props: b.Properties()}
	t.size.Store(t.props.Size)
	return t
}

// measure asks a device that can be resized for its size, and reports whether that has changed.
func (t *target) measure() bool {
	r, ok := t.backend.(backend.Resizable)
	if !ok {
		return false
	}
	size, err := r.Size()
	if err != nil {
		return false // its I/O will tell
	}
	size -= size % int64(t.props.LogicalBlock)
	return t.size.Swap(size) != size
}

// check refuses a range that the device does not have. One behind its end may be there since it grew (Clause IBNBD-FAIL-033).
func (t *target) check(offset, length int64) error {
	p := t.props
	p.Size = t.size.Load()
	err := p.Check(offset, length)
	if err != nil && t.measure() {
		p.Size = t.size.Load()
		return p.Check(offset, length)
	}
	return err
}

// targets are the real devices of a server.
type targets struct {
	mu      sync.Mutex
	exports map[string]*target
	hosts   map[uint64]*target // by device number
	host    bool               // block devices of the host may be opened
}

func newTargets(exports []Export, host bool) (*targets, error) {
	t := &targets{exports: map[string]*target{}, hosts: map[uint64]*target{}, host: host}
	for _, e := range exports {
		path := collapseSlashes("/" + e.Path)
		d := newTarget(path, e.Backend)
		if err := d.props.Validate(); err != nil {
			return nil, fmt.Errorf("server cannot start: export %s: %w", path, err)
		}
		t.exports[path] = d
	}
	return t, nil
}

// open finds the device at a full path and counts a user, and a writer where the access mode says so. The checks are in
// the order of the protocol (Clauses IBNBD-OPEN-003 to IBNBD-OPEN-015, IBNBD-OPEN-024, IBNBD-OPEN-025).
func (t *targets) open(path string, access AccessMode, mode IOMode, rules *ServerRules) (*target, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	d, err := t.find(path, access, mode)
	if err != nil {
		return nil, err
	}
	if err := d.admit(access, mode, rules); err != nil {
		return nil, errors.Join(err, t.closeUnused(d))
	}
	d.users++
	d.mode = mode
	if access != ReadOnly {
		d.writers++
	}
	return d, nil
}

func (t *targets) find(path string, access AccessMode, mode IOMode) (*target, error) {
	if d := t.exports[path]; d != nil {
		if access != ReadOnly && d.props.ReadOnly {
			return nil, fmt.Errorf("%s is read-only: %w", path, ibtrs.EACCES)
		}
		return d, nil
	}
	for e := range t.exports {
		if strings.HasPrefix(e, strings.TrimSuffix(path, "/")+"/") {
			return nil, fmt.Errorf("%s is a directory of exports: %w", path, ibtrs.ENOTBLK)
		}
	}
	if !t.host {
		return nil, fmt.Errorf("no export %s: %w", path, ibtrs.ENOENT)
	}
	return t.findHost(path, access, mode)
}

// findHost opens a block device of the host, or finds it open: under whatever path, it is the same device.
func (t *targets) findHost(path string, access AccessMode, mode IOMode) (*target, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || info.Mode()&fs.ModeDevice == 0 || info.Mode()&fs.ModeCharDevice != 0 {
		return nil, fmt.Errorf("%s is no block device: %w", path, ibtrs.ENOTBLK)
	}
	d := t.hosts[st.Rdev]
	if d == nil {
		b, err := openHost(path, mode == BlockIO)
		if err != nil {
			return nil, err
		}
		d = newTarget(path, b)
		d.host = true
		t.hosts[st.Rdev] = d
	}
	if d.props.ReadOnly && access != ReadOnly {
		return nil, errors.Join(fmt.Errorf("%s is read-only: %w", path, ibtrs.EACCES), t.closeUnused(d))
	}
	return d, nil
}

// openHost opens for writing where that is possible, because a reader may come first and a writer later. What the
// mapping allows is checked for each request.
func openHost(path string, direct bool) (backend.Backend, error) {
	b, err := backend.OpenBlock(path, false, direct)
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		return backend.OpenBlock(path, true, direct)
	}
	return b, err
}

// admit decides whether one more user may come. A device has at most one writer, and a second one for a migration.
func (d *target) admit(access AccessMode, mode IOMode, rules *ServerRules) error {
	switch {
	case d.users > 0 && d.mode != mode && !rules.MixIOModes:
		return fmt.Errorf("%s is exported in mode %s: %w", d.name, d.mode, ibtrs.EPERM)
	case rules.AnyWriters && access.Valid():
		return nil
	case access == ReadWrite && d.writers > 0:
		return fmt.Errorf("%s has a writer: %w", d.name, ibtrs.EPERM)
	case access == Migration && d.writers > 1:
		return fmt.Errorf("%s has two writers: %w", d.name, ibtrs.EPERM)
	case !access.Valid():
		return fmt.Errorf("access mode %d: %w", access, ibtrs.EINVAL)
	}
	return nil
}

// close takes a user back.
func (t *targets) close(d *target, access AccessMode, rules *ServerRules) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	d.users--
	if access != ReadOnly || rules.ReaderFreesWriter && d.writers > 0 {
		d.writers--
	}
	return t.closeUnused(d)
}

func (t *targets) closeUnused(d *target) error {
	if !d.host || d.users > 0 {
		return nil
	}
	for number, other := range t.hosts {
		if other == d {
			delete(t.hosts, number)
		}
	}
	return d.backend.Close()
}

// closeAll closes the exports, once.
func (t *targets) closeAll() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	var errs []error
	for path, d := range t.exports {
		errs = append(errs, d.backend.Close())
		delete(t.exports, path)
	}
	return errors.Join(errs...)
}
