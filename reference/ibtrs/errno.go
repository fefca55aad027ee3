// SPDX-License-Identifier: Apache-2.0

package ibtrs

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/ibnbd/ibnbd/reference/layout"
)

// Errno is an error number as Linux counts them, on whatever system this runs; 0 is success. Rejects carry it negated,
// responses carry its low 9 bits.
type Errno uint16

// Error numbers that the protocols use.
const (
	EPERM           Errno = 1
	ENOENT          Errno = 2
	EIO             Errno = 5
	ENXIO           Errno = 6
	EAGAIN          Errno = 11
	ENOMEM          Errno = 12
	EACCES          Errno = 13
	ENOTBLK         Errno = 15
	EBUSY           Errno = 16
	EEXIST          Errno = 17
	ENODEV          Errno = 19
	EINVAL          Errno = 22
	ENOSPC          Errno = 28
	EROFS           Errno = 30
	ERANGE          Errno = 34
	ENAMETOOLONG    Errno = 36
	EBADE           Errno = 52
	ENODATA         Errno = 61
	ENOLINK         Errno = 67
	ECOMM           Errno = 70
	EOVERFLOW       Errno = 75
	EILSEQ          Errno = 84
	EMSGSIZE        Errno = 90
	EPROTONOSUPPORT Errno = 93
	EOPNOTSUPP      Errno = 95
	ECONNABORTED    Errno = 103
	ECONNRESET      Errno = 104
	ENOTCONN        Errno = 107
	ETIMEDOUT       Errno = 110
	EHOSTUNREACH    Errno = 113
	EALREADY        Errno = 114
	EREMOTEIO       Errno = 121
	ENOTSUPP        Errno = 524 // of the kernel's inside; has no place on the wire
)

// MaxWireErrno is the largest error number that the immediate of a response can carry.
const MaxWireErrno Errno = 1<<errnoBits - 1

// name is a switch, not a table: errors that are made while the package is initialised have their texts already.
func (e Errno) name() string {
	switch e {
	case EPERM:
		return "EPERM"
	case ENOENT:
		return "ENOENT"
	case EIO:
		return "EIO"
	case ENXIO:
		return "ENXIO"
	case EAGAIN:
		return "EAGAIN"
	case ENOMEM:
		return "ENOMEM"
	case EACCES:
		return "EACCES"
	case ENOTBLK:
		return "ENOTBLK"
	case EBUSY:
		return "EBUSY"
	case EEXIST:
		return "EEXIST"
	case ENODEV:
		return "ENODEV"
	case EINVAL:
		return "EINVAL"
	case ENOSPC:
		return "ENOSPC"
	case EROFS:
		return "EROFS"
	case ERANGE:
		return "ERANGE"
	case ENAMETOOLONG:
		return "ENAMETOOLONG"
	case EBADE:
		return "EBADE"
	case ENODATA:
		return "ENODATA"
	case ENOLINK:
		return "ENOLINK"
	case ECOMM:
		return "ECOMM"
	case EOVERFLOW:
		return "EOVERFLOW"
	case EILSEQ:
		return "EILSEQ"
	case EMSGSIZE:
		return "EMSGSIZE"
	case EPROTONOSUPPORT:
		return "EPROTONOSUPPORT"
	case EOPNOTSUPP:
		return "EOPNOTSUPP"
	case ECONNABORTED:
		return "ECONNABORTED"
	case ECONNRESET:
		return "ECONNRESET"
	case ENOTCONN:
		return "ENOTCONN"
	case ETIMEDOUT:
		return "ETIMEDOUT"
	case EHOSTUNREACH:
		return "EHOSTUNREACH"
	case EALREADY:
		return "EALREADY"
	case EREMOTEIO:
		return "EREMOTEIO"
	case ENOTSUPP:
		return "ENOTSUPP"
	}
	return ""
}

// String returns the name of the number, such as "EINVAL".
func (e Errno) String() string {
	if e == 0 {
		return "success"
	}
	if name := e.name(); name != "" {
		return name
	}
	return fmt.Sprintf("errno %d", uint16(e))
}

// Error returns the name of the number.
func (e Errno) Error() string { return e.String() }

// OnWire returns the number a response can carry in its 9 bits (Clause IBTRS-IMM-005): numbers above 511 would arrive
// as others, so ENOTSUPP becomes EOPNOTSUPP and all others become EIO.
func (e Errno) OnWire() Errno {
	switch {
	case e <= MaxWireErrno:
		return e
	case e == ENOTSUPP:
		return EOPNOTSUPP
	}
	return EIO
}

// ErrnoOf returns the number that stands for err on the wire: 0 for nil, the first Errno or syscall.Errno in its
// chain, EINVAL for a message that a parser refused (Clause IBNBD-MSG-012), else EIO. It assumes that the system's own
// numbers are those of Linux.
func ErrnoOf(err error) Errno {
	if err == nil {
		return 0 // before anything that allocates
	}
	var own Errno
	var system syscall.Errno
	switch {
	case errors.As(err, &own):
		return own.OnWire()
	case errors.As(err, &system) && system <= 1<<16-1:
		return Errno(system).OnWire()
	case errors.Is(err, layout.ErrShort), errors.Is(err, layout.ErrValue):
		return EINVAL
	}
	return EIO
}
