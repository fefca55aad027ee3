// SPDX-License-Identifier: Apache-2.0

package rdma

import (
	"errors"
	"fmt"
)

// Status is how a work request ended, with the numbers that verbs uses.
type Status uint8

// The completion statuses that a reliable connection can give.
const (
	StatusSuccess          Status = 0
	StatusLocalLength      Status = 1
	StatusLocalQPOperation Status = 2
	StatusLocalProtection  Status = 4
	StatusFlushed          Status = 5
	StatusBindError        Status = 6
	StatusBadResponse      Status = 7
	StatusLocalAccess      Status = 8
	StatusRemoteInvalid    Status = 9
	StatusRemoteAccess     Status = 10
	StatusRemoteOperation  Status = 11
	StatusRetryExceeded    Status = 12
	StatusRNRRetryExceeded Status = 13
	StatusRemoteAborted    Status = 16
	StatusFatal            Status = 19
	StatusResponseTimeout  Status = 20
	StatusGeneral          Status = 21
)

var statusNames = map[Status]string{
	StatusSuccess:          "success",
	StatusLocalLength:      "local length error",
	StatusLocalQPOperation: "local queue pair operation error",
	StatusLocalProtection:  "local protection error",
	StatusFlushed:          "flushed",
	StatusBindError:        "window bind error",
	StatusBadResponse:      "bad response",
	StatusLocalAccess:      "local access error",
	StatusRemoteInvalid:    "remote invalid request",
	StatusRemoteAccess:     "remote access error",
	StatusRemoteOperation:  "remote operational error",
	StatusRetryExceeded:    "transport retries exceeded",
	StatusRNRRetryExceeded: "receiver-not-ready retries exceeded",
	StatusRemoteAborted:    "remote aborted",
	StatusFatal:            "fatal error",
	StatusResponseTimeout:  "response time-out",
	StatusGeneral:          "general error",
}

// String names the status.
func (s Status) String() string {
	if name, ok := statusNames[s]; ok {
		return name
	}
	return fmt.Sprintf("status %d", uint8(s))
}

// Errors that providers wrap.
var (
	ErrClosed        = errors.New("closed")
	ErrBusy          = errors.New("still in use")
	ErrQueueFull     = errors.New("queue full")
	ErrDisconnected  = errors.New("disconnected by the peer")
	ErrAddrChange    = errors.New("address changed")
	ErrDeviceRemoved = errors.New("device removed")
	ErrUnreachable   = errors.New("peer does not answer")
	ErrUnavailable   = errors.New("provider not available")
)

// LimitError is a request that asks for more, or less, than there can be.
type LimitError struct {
	Field      string // what is wrong, for example "private data"
	Value      int
	Least, Max int // the values that are possible
}

// Error names the field, the value and the limits.
func (e *LimitError) Error() string {
	return fmt.Sprintf("%s: %d, must be %d to %d", e.Field, e.Value, e.Least, e.Max)
}

// CheckLimit gives a *LimitError unless least <= value <= most.
func CheckLimit(field string, value, least, most int) error {
	if value >= least && value <= most {
		return nil
	}
	return &LimitError{Field: field, Value: value, Least: least, Max: most}
}

// WorkError is a work request that failed.
type WorkError struct {
	Op        Op
	Recv      bool
	Status    Status
	VendorErr uint32
}

// Error says which work failed and how.
func (e *WorkError) Error() string {
	side := "send"
	if e.Recv {
		side = "receive"
	}
	return fmt.Sprintf("%s of %s: %s (vendor error %d)", side, e.Op, e.Status, e.VendorErr)
}

// RejectError is a refused connection. Reason is the InfiniBand reject reason; PrivateData is what the peer attached,
// zero-padded.
type RejectError struct {
	Reason      uint16
	PrivateData []byte
}

// ReasonConsumer is the reject reason of a peer's application; only then is its private data its own.
const ReasonConsumer = 28

// Error gives the reason.
func (e *RejectError) Error() string { return fmt.Sprintf("connection rejected, reason %d", e.Reason) }
