// SPDX-License-Identifier: Apache-2.0

package rdma

import "fmt"

// Op is the kind of a send work request.
type Op uint8

// The operations of a send queue.
const (
	OpSend       Op = iota // SEND
	OpSendImm              // SEND with immediate data
	OpSendInv              // SEND that invalidates a key of the peer
	OpWrite                // RDMA WRITE
	OpWriteImm             // RDMA WRITE with immediate data
	OpRead                 // RDMA READ
	OpBind                 // give a window a new key to part of a region
	OpInvalidate           // take a window's key back
)

var opNames = [...]string{"SEND", "SEND with immediate", "SEND with invalidate", "RDMA WRITE", "RDMA WRITE with immediate",
	"RDMA READ", "bind window", "invalidate"}

// String names the operation as the InfiniBand specification does.
func (o Op) String() string {
	if int(o) < len(opNames) {
		return opNames[o]
	}
	return fmt.Sprintf("operation %d", uint8(o))
}

// SGE is one local buffer: length bytes of a region from an offset. No element may have length zero.
type SGE struct {
	Region         Region
	Offset, Length int
}

// SendWR is one request for a send queue. Which fields matter follows from Op.
type SendWR struct {
	ID         uint64 // handed back in the completion
	Op         Op
	Local      []SGE  // data to send, or where READ data goes
	RemoteAddr uint64 // OpWrite, OpWriteImm, OpRead
	RemoteKey  uint32 // the same, and OpSendInv: the peer's key to take back
	Imm        uint32 // OpSendImm, OpWriteImm; a host integer, sent most significant byte first
	Bind       Bind   // OpBind
	Window     Window // OpBind, OpInvalidate
	Signaled   bool   // ask for a completion also on success
	Fence      bool   // wait for outstanding READs first
}

// Bind says which part of a region a window opens.
type Bind struct {
	Region         Region
	Offset, Length int
	Access         Access
}

// RecvWR is one receive. Local may be empty: it then receives messages without payload, and immediate data.
type RecvWR struct {
	ID    uint64
	Local []SGE
}

// Completion is the end of one work request.
type Completion struct {
	ID        uint64
	Status    Status
	Recv      bool   // a receive has completed; otherwise a send request
	Op        Op     // of a send request; of a receive: OpSend, OpSendImm, OpSendInv or OpWriteImm as the peer did
	Length    int    // bytes received, or read
	Imm       uint32 // valid when the peer sent it (Op is OpSendImm or OpWriteImm)
	InvKey    uint32 // the key that the peer took back (Op is OpSendInv)
	VendorErr uint32 // the provider's own detail of a failure
}

// Err is nil for a success, otherwise a *WorkError.
func (c Completion) Err() error {
	if c.Status == StatusSuccess {
		return nil
	}
	return &WorkError{Op: c.Op, Recv: c.Recv, Status: c.Status, VendorErr: c.VendorErr}
}
