// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ibnbd/ibnbd/vm/agent/internal/wire"
)

// wake makes a guest that shares its past with others one of its own.
func wake(_ context.Context, args wire.Wake) (any, error) {
	if err := reseed(args.Seed); err != nil {
		return nil, fmt.Errorf("give the kernel random numbers: %w", err)
	}
	now := unix.NsecToTimespec(args.Now)
	return nil, os.NewSyscallError("clock_settime", unix.ClockSettime(unix.CLOCK_REALTIME, &now))
}

// reseed mixes a seed into the kernel's random number generator and has it used from now on (random(4)).
func reseed(seed []byte) error {
	device, err := os.OpenFile("/dev/urandom", os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer device.Close()
	// struct rand_pool_info: how many bits may be trusted, how many bytes follow, the bytes
	pool := binary.NativeEndian.AppendUint32(nil, uint32(8*len(seed)))
	pool = binary.NativeEndian.AppendUint32(pool, uint32(len(seed)))
	pool = append(pool, seed...)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, device.Fd(), unix.RNDADDENTROPY, uintptr(unsafe.Pointer(unsafe.SliceData(pool))))
	runtime.KeepAlive(pool)
	if errno != 0 {
		return os.NewSyscallError("ioctl(RNDADDENTROPY)", errno)
	}
	return os.NewSyscallError("ioctl(RNDRESEEDCRNG)", unix.IoctlSetInt(int(device.Fd()), unix.RNDRESEEDCRNG, 0))
}
