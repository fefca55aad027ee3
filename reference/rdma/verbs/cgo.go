// SPDX-License-Identifier: Apache-2.0

//go:build verbs && cgo && linux

package verbs

// #cgo CFLAGS: -O2 -Wall
// #cgo !verbs_static LDFLAGS: -lrdmacm -libverbs
// #include "shim.h"
//
// // These pass pointers to Go memory, or run for every work request.
// #cgo noescape shim_next_event
// #cgo nocallback shim_next_event
// #cgo noescape shim_post_send
// #cgo nocallback shim_post_send
// #cgo noescape shim_post_recv
// #cgo nocallback shim_post_recv
// #cgo noescape shim_poll
// #cgo nocallback shim_poll
// #cgo noescape shim_take_notice
// #cgo nocallback shim_take_notice
import "C"

import (
	"syscall"

	"github.com/ibnbd/ibnbd/reference/rdma"
)

// errno makes an error of what a shim function returned.
func errno(ret C.int) error {
	if ret == 0 {
		return nil
	}
	return syscall.Errno(ret)
}

// opcodes are the work request opcodes, by rdma.Op.
var opcodes = [...]C.uint32_t{
	rdma.OpSend:       C.IBV_WR_SEND,
	rdma.OpSendImm:    C.IBV_WR_SEND_WITH_IMM,
	rdma.OpSendInv:    C.IBV_WR_SEND_WITH_INV,
	rdma.OpWrite:      C.IBV_WR_RDMA_WRITE,
	rdma.OpWriteImm:   C.IBV_WR_RDMA_WRITE_WITH_IMM,
	rdma.OpRead:       C.IBV_WR_RDMA_READ,
	rdma.OpBind:       C.IBV_WR_BIND_MW,
	rdma.OpInvalidate: C.IBV_WR_LOCAL_INV,
}

// rights pairs the interface's rights with those of verbs.
var rights = [...]struct {
	access rdma.Access
	flag   C.int
}{
	{rdma.LocalWrite, C.IBV_ACCESS_LOCAL_WRITE},
	{rdma.RemoteWrite, C.IBV_ACCESS_REMOTE_WRITE},
	{rdma.RemoteRead, C.IBV_ACCESS_REMOTE_READ},
	{rdma.RemoteAtomic, C.IBV_ACCESS_REMOTE_ATOMIC},
	{rdma.WindowBind, C.IBV_ACCESS_MW_BIND},
}

func accessFlags(access rdma.Access) C.int {
	var flags C.int
	for _, r := range rights {
		if access&r.access != 0 {
			flags |= r.flag
		}
	}
	return flags
}

// The statuses of the interface are those of verbs: the differences below are array lengths, so one that is not 0 does
// not compile.
var _ = [...][0]struct{}{
	[rdma.StatusSuccess - C.IBV_WC_SUCCESS]struct{}{},
	[rdma.StatusLocalLength - C.IBV_WC_LOC_LEN_ERR]struct{}{},
	[rdma.StatusLocalQPOperation - C.IBV_WC_LOC_QP_OP_ERR]struct{}{},
	[rdma.StatusLocalProtection - C.IBV_WC_LOC_PROT_ERR]struct{}{},
	[rdma.StatusFlushed - C.IBV_WC_WR_FLUSH_ERR]struct{}{},
	[rdma.StatusBindError - C.IBV_WC_MW_BIND_ERR]struct{}{},
	[rdma.StatusBadResponse - C.IBV_WC_BAD_RESP_ERR]struct{}{},
	[rdma.StatusLocalAccess - C.IBV_WC_LOC_ACCESS_ERR]struct{}{},
	[rdma.StatusRemoteInvalid - C.IBV_WC_REM_INV_REQ_ERR]struct{}{},
	[rdma.StatusRemoteAccess - C.IBV_WC_REM_ACCESS_ERR]struct{}{},
	[rdma.StatusRemoteOperation - C.IBV_WC_REM_OP_ERR]struct{}{},
	[rdma.StatusRetryExceeded - C.IBV_WC_RETRY_EXC_ERR]struct{}{},
	[rdma.StatusRNRRetryExceeded - C.IBV_WC_RNR_RETRY_EXC_ERR]struct{}{},
	[rdma.StatusRemoteAborted - C.IBV_WC_REM_ABORT_ERR]struct{}{},
	[rdma.StatusFatal - C.IBV_WC_FATAL_ERR]struct{}{},
	[rdma.StatusResponseTimeout - C.IBV_WC_RESP_TIMEOUT_ERR]struct{}{},
	[rdma.StatusGeneral - C.IBV_WC_GENERAL_ERR]struct{}{},
}
