// SPDX-License-Identifier: Apache-2.0

package rdma

import (
	"context"
	"io"
	"net/netip"
)

// Device is one local RDMA address, opened through a provider.
type Device interface {
	// Name is the device's name for people: such as "rxe0", or "soft 10.0.0.1".
	Name() string
	// Addr is the local address that connections are made from and to.
	Addr() netip.Addr
	// Limits are what the device can do.
	Limits() Limits

	// Listen waits for connection requests in the TCP port space of the RDMA connection manager. Port 0 picks a free
	// one; Listener.Addr tells which.
	Listen(port uint16) (Listener, error)
	// Dial asks the peer for a connection and returns when it is established. privateData travels in the request, at
	// most MaxRequestData bytes. recvs are posted before the peer can know that it may send. A reject is a
	// *RejectError; a peer that answers nothing gives an error wrapping ErrUnreachable; the end of ctx gives ctx's.
	Dial(ctx context.Context, peer netip.AddrPort, cfg ConnConfig, privateData []byte, recvs ...RecvWR) (Conn, error)

	// Register allocates size bytes, zeroed and page-aligned, and registers them with the given rights. RemoteWrite and
	// RemoteAtomic need LocalWrite.
	Register(size int, access Access) (Region, error)
	// NewWindow makes a window that holds no key yet.
	NewWindow() (Window, error)
	// NewSharedWindow makes a window whose key works on every connection of the device, outlives them, and can be taken
	// back by this side alone (a memory window of type 1). OpBind and OpInvalidate may be posted to any of them.
	NewSharedWindow() (Window, error)

	// Close fails with ErrBusy while a listener, connection, region or window is open.
	io.Closer
}

// Limits of a device. Zero means that the device states no limit.
type Limits struct {
	MaxSendWR, MaxRecvWR int // work requests per queue
	MaxSGE               int // buffers per work request
	MaxRegion            int // bytes in one region
}

// Private data sizes of connection management over IP, in bytes (InfiniBand annex A11; the request's 92 bytes minus the
// 36 of the IP header).
const (
	MaxRequestData = 56
	MaxReplyData   = 196
	MaxRejectData  = 148
)

// Listener yields connection requests.
type Listener interface {
	// Addr is the address and port that is listened on.
	Addr() netip.AddrPort
	// Next waits for a request. It returns an error wrapping ErrClosed after Close.
	Next(ctx context.Context) (Request, error)
	// Close stops listening; requests not yet returned by Next are rejected.
	io.Closer
}

// Request is a peer's wish for a connection. Exactly one of Accept and Reject must be called. A peer that has given up in
// the meantime makes either return an error wrapping ErrDisconnected.
type Request interface {
	LocalAddr() netip.AddrPort
	RemoteAddr() netip.AddrPort
	// PrivateData is what the peer sent, zero-padded to MaxRequestData.
	PrivateData() []byte
	// Accept makes the connection. It returns when the reply is sent and the queue pair may receive; Conn.Established
	// tells when the peer has confirmed. recvs are posted before the reply leaves. When Accept fails, the request has
	// been rejected.
	Accept(ctx context.Context, cfg ConnConfig, privateData []byte, recvs ...RecvWR) (Conn, error)
	// Reject refuses with reason "consumer defined" and the given data.
	Reject(privateData []byte) error
}

// ConnConfig sizes a queue pair and sets its retry rules.
type ConnConfig struct {
	SendQueue, RecvQueue int // work requests
	SendSGE, RecvSGE     int // buffers per work request; 0 means 1
	InitiatorDepth       int // READs that may be outstanding; 0 forbids READ
	ResponderResources   int // READs that are served at once; 0 refuses READ
	RetryCount           int // 0 to 7; a listener takes the request's
	RNRRetryCount        int // 0 to 7; 7 is forever. The peer's, towards us; ours is what the peer asks for

	// AckTimeout is the local ACK timeout code t, 1 to 31: work is repeated when 4.096 us * 2^t have passed without an
	// answer. 0 leaves it to the provider. A listener takes the request's.
	AckTimeout int
	// MinRNRTimer is the code, 1 to 31, of the time that the peer has to wait when a receive is missing (1 is 0.01 ms, 12
	// is 0.64 ms, 31 is 491.52 ms). 0 leaves it to the provider.
	MinRNRTimer int
}

// Conn is a reliable connection with its queue pair and completion queue.
type Conn interface {
	LocalAddr() netip.AddrPort
	RemoteAddr() netip.AddrPort
	// PeerData is the private data of the peer's reply (dialled) or request (accepted), zero-padded.
	PeerData() []byte
	// Established is closed when both sides have agreed. A connection that is lost before that never closes it.
	Established() <-chan struct{}
	// Lost is closed when the connection can carry no more work, and before Poll says so; Err then tells why.
	Lost() <-chan struct{}
	// Err is nil while the connection lives. Afterwards it wraps ErrDisconnected, ErrAddrChange, ErrDeviceRemoved or
	// the status of the work that failed.
	Err() error

	// PostSend posts work as one chain, in order. Either all of it is posted or, with an error, none. ErrQueueFull
	// means that completions must be polled first: a place in the queue is free again when the completion of its
	// request, or of a later one, has been polled. What the slices hold is copied; the regions stay in use.
	PostSend(work ...SendWR) error
	// PostRecv posts receives as one chain, under the same rule.
	PostRecv(work ...RecvWR) error
	// Poll waits for completions and writes them to done, as many as are there and fit. After Lost it still returns
	// what was flushed, then the error of Err. After Close it returns an error wrapping ErrClosed.
	Poll(ctx context.Context, done []Completion) (int, error)

	// Disconnect tells the peer and flushes all work. It returns when the peer has answered or ctx ends.
	Disconnect(ctx context.Context) error
	// Close releases the connection, disconnecting first without waiting for the peer. When it has returned, no buffer
	// of posted work is touched any more.
	io.Closer
}

// Region is registered memory. Its buffer must not be used after Close.
type Region interface {
	Bytes() []byte
	// Addr is the virtual address by which work requests and peers name the first byte.
	Addr() uint64
	// Key is the remote key of the whole region; it opens nothing that the access rights do not grant. It lives as long
	// as the region: a peer that tries to take it back breaks its connection. For keys that may be taken back there
	// are windows.
	Key() uint32
	// Close fails with ErrBusy while a window is bound to the region.
	io.Closer
}

// Window is a key to a part of a region, made and taken back by work requests (a memory window of type 2). A window that
// is bound must be invalidated, by either side, before it can be bound again; otherwise the work fails with
// StatusBindError. Its key works only on the connection that it was bound on, and dies with that connection. None of this
// holds for a shared window: when that is bound again, its former key dies, and what it opened is closed.
type Window interface {
	// Key is the key that the last posted OpBind gives; 0 before the first. OpInvalidate takes it back.
	Key() uint32
	// NextKey is the key that the next OpBind will give, so that one chain of work can bind a window and send its key to
	// the peer.
	NextKey() uint32
	// Close takes the key back and releases the window. The region may then be closed.
	io.Closer
}

// Access is a set of rights.
type Access uint8

// The rights that a region, or a window on it, can grant. Local reading is always granted.
const (
	LocalWrite Access = 1 << iota
	RemoteWrite
	RemoteRead
	RemoteAtomic
	WindowBind
)
