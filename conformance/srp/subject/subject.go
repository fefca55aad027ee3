// SPDX-License-Identifier: Apache-2.0

package subject

import (
	"context"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/foreign"
	"github.com/ibnbd/ibnbd/conformance/implementation"
	"github.com/ibnbd/ibnbd/conformance/kit/machine"
	"github.com/ibnbd/ibnbd/reference/srp"
)

// Every target under test has the same port, and the same logical units, numbered from 0.
const (
	Units    = 2
	UnitSize = 8 << 20 // bytes

	idExt   = 0x3132333435363738
	iocGUID = 0x3132333435363738 // LIO has one number for both
)

// TargetPort is the identifier of the port of every target under test.
var TargetPort = srp.NewPortID(idExt, iocGUID, srp.IOClassRev16a)

// Host is the computer that a subject lives on.
type Host = machine.Host

// Info describes a subject.
type Info struct {
	Name    string
	Role    clauses.Role
	Version string // as the machine or the program has it, such as a kernel release
	Sysfs   bool   // whether it is administered through sysfs
	Own     bool   // whether it is this project's own
}

// Target is an implementation in the target's role.
type Target interface {
	Info() Info
	// Start makes the target serve its units on all addresses of its machine, at the usual port.
	Start(ctx context.Context) error
	// Stop takes the target down. Stopping one that does not serve is no error.
	Stop(ctx context.Context) error
	// Control does what the target's owner does for an attack; an error wraps foreign.ErrNotSupported where nobody can.
	Control(ctx context.Context, action foreign.Action, arguments ...string) error
}

// UnitChanger is a target that can have units added and removed while it serves.
type UnitChanger interface {
	// AddUnit adds a unit of a size in bytes.
	AddUnit(ctx context.Context, unit int, size int64) error
	// RemoveUnit takes a unit away.
	RemoveUnit(ctx context.Context, unit int) error
}

// info describes an implementation in a role.
func info(f implementation.Facts, role clauses.Role, version string) Info {
	return Info{Name: f.Name, Role: role, Version: version, Sysfs: f.Has(clauses.Sysfs, role), Own: f.Own}
}
