// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"context"
	"errors"

	"github.com/ibnbd/ibnbd/vm/image"
	"github.com/ibnbd/ibnbd/vm/qemu"
)

// EnvironmentError says that this machine, or what a guest found in it, is why there is no lab: no QEMU, too little memory,
// a guest that does not boot. Its text is one sentence that says what, where and what to do.
type EnvironmentError = image.EnvironmentError

// environment makes an error that was met while doing what an EnvironmentError with advice that fits it. Nil stays nil, an
// EnvironmentError and the end of the caller's context stay what they are.
func environment(ctx context.Context, err error, what, console string) error {
	var already *EnvironmentError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &already), ctx.Err() != nil:
		return err
	case errors.Is(err, qemu.ErrNotInstalled):
		return &EnvironmentError{What: what, Err: err, Do: "run ci/setup, or install qemu-system-x86"}
	}
	return &EnvironmentError{What: what, Err: err, Do: "read the guest's console in " + console}
}
