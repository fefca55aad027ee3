// SPDX-License-Identifier: Apache-2.0

//go:build lab

package soft_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/rdma/soft"
)

// The programs of the guest that these specs talk to are rping and cmatose of rdma-core. Their conversation, as seen on
// the wire:
//
// rping: the client SENDs address, key and size of a buffer (8, 4 and 4 bytes, most significant first); the server READs
// it and SENDs 16 bytes; the client SENDs another buffer in the same way; the server WRITEs what it has read to it, up to
// the first zero, and SENDs 16 bytes. Then the client begins again, with other data.
//
// cmatose: the server SENDs all its messages, then the client SENDs as many.

const (
	rpingPort    = 7174
	rpingRounds  = 40
	rpingSize    = 9000
	rpingMessage = 16
)

var _ = Describe("rping", func() {
	for name, action := range conditions {
		for version, at := range families() {
			It(fmt.Sprintf("of Linux dials by %s %s", version, name), func(ctx context.Context) {
				d := onRail(at.own)
				breakWire(action)
				served := make(chan error, 1)
				l, err := d.Listen(rpingPort)
				Expect(err).NotTo(HaveOccurred())
				go func() { served <- rpingServe(ctx, d, l) }()
				args := []string{"-c", "-a", at.own.Addr().String(), "-C", strconv.Itoa(rpingRounds), "-S", strconv.Itoa(rpingSize), "-V"}
				succeed(start(ctx, "rping", args...))
				Expect(<-served).To(Succeed())
				Expect(l.Close()).To(Succeed())
			}, specTime)

			It(fmt.Sprintf("of Linux is dialled by %s %s", version, name), func(ctx context.Context) {
				d := onRail(at.own)
				breakWire(action)
				server := start(ctx, "rping", "-s", "-a", at.guest.Addr().String(), "-C", strconv.Itoa(rpingRounds), "-S", strconv.Itoa(rpingSize))
				Expect(rpingDial(ctx, d, netip.AddrPortFrom(at.guest.Addr(), rpingPort))).To(Succeed())
				succeed(server)
			}, specTime)
		}
	}
})

// labConn is what connections to the guest are made with.
var labConn = rdma.ConnConfig{SendQueue: 64, RecvQueue: 64, InitiatorDepth: 4, ResponderResources: 4, RetryCount: 7, RNRRetryCount: 7}

// rpingServe is the server of rping.
func rpingServe(ctx context.Context, d *soft.Device, l rdma.Listener) (err error) {
	mem, err := d.Register(testMemory, allRights)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, mem.Close()) }()
	r, err := l.Next(ctx)
	if err != nil {
		return err
	}
	recv := rdma.RecvWR{Local: part(mem, 0, rpingMessage)}
	c, err := r.Accept(ctx, labConn, nil, recv)
	if err != nil {
		return err
	}
	k := &talk{Conn: c}
	defer func() { err = errors.Join(err, c.Close()) }()
	for round := 0; ; round++ {
		for _, op := range []rdma.Op{rdma.OpRead, rdma.OpWrite} {
			err := rpingMove(ctx, k, mem, op)
			if errors.Is(err, rdma.ErrDisconnected) && round == rpingRounds {
				return nil
			}
			if err != nil {
				return fmt.Errorf("round %d: %w", round, err)
			}
		}
	}
}

// rpingMove waits for the client's buffer, reads or writes it, and says so.
func rpingMove(ctx context.Context, k *talk, mem rdma.Region, op rdma.Op) error {
	if err := k.await(ctx, true); err != nil {
		return err
	}
	b := mem.Bytes()
	addr, key, size := binary.BigEndian.Uint64(b), binary.BigEndian.Uint32(b[8:]), binary.BigEndian.Uint32(b[12:])
	if size != rpingSize {
		return fmt.Errorf("the client's buffer has %d bytes", size)
	}
	if err := k.PostRecv(rdma.RecvWR{Local: part(mem, 0, rpingMessage)}); err != nil {
		return err
	}
	return errors.Join(
		k.do(ctx, rdma.SendWR{Op: op, Local: part(mem, 4096, rpingSize), RemoteAddr: addr, RemoteKey: key, Signaled: true}),
		k.do(ctx, rdma.SendWR{Op: rdma.OpSend, Local: part(mem, 100, rpingMessage), Signaled: true}),
	)
}

// rpingDial is the client of rping.
func rpingDial(ctx context.Context, d *soft.Device, peer netip.AddrPort) (err error) {
	mem, err := d.Register(testMemory, allRights)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, mem.Close()) }()
	recv := rdma.RecvWR{Local: part(mem, 0, rpingMessage)}
	c, err := dialUntilListening(ctx, d, peer, labConn, recv)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	k := &talk{Conn: c}
	const source, target = 100_000, 200_000
	for round := range rpingRounds {
		text(mem.Bytes()[source:source+rpingSize], round)
		for _, at := range []int{source, target} {
			b := mem.Bytes()[64:]
			binary.BigEndian.PutUint64(b, mem.Addr()+uint64(at))
			binary.BigEndian.PutUint32(b[8:], mem.Key())
			binary.BigEndian.PutUint32(b[12:], rpingSize)
			err := errors.Join(
				k.do(ctx, rdma.SendWR{Op: rdma.OpSend, Local: part(mem, 64, rpingMessage), Signaled: true}),
				k.await(ctx, true),
				k.PostRecv(recv),
			)
			if err != nil {
				return fmt.Errorf("round %d: %w", round, err)
			}
		}
		if string(mem.Bytes()[source:source+rpingSize]) != string(mem.Bytes()[target:target+rpingSize]) {
			return fmt.Errorf("round %d brought other data back", round)
		}
	}
	return c.Disconnect(ctx)
}

// text fills memory with a string that ends with it: the server of rping writes back no more than a string.
func text(b []byte, round int) {
	for i := range b {
		b[i] = byte('A' + (i+round)%50)
	}
	b[len(b)-1] = 0
}

// dialUntilListening dials again as long as the guest's program is not there yet.
func dialUntilListening(ctx context.Context, d *soft.Device, peer netip.AddrPort, cfg rdma.ConnConfig, recvs ...rdma.RecvWR) (rdma.Conn, error) {
	for {
		c, err := d.Dial(ctx, peer, cfg, nil, recvs...)
		var reject *rdma.RejectError
		if !errors.As(err, &reject) {
			return c, err
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return nil, errors.Join(err, ctx.Err())
		}
	}
}

// talk is a connection whose completions of receives and of sends are awaited apart, because the answer of a peer may be
// polled before the completion of what it answers.
type talk struct {
	rdma.Conn
	recvs, sends int // completed and not yet awaited
	length       int // of the last message received
}

// await waits for the completion of a receive or of a send.
func (k *talk) await(ctx context.Context, recv bool) error {
	for recv && k.recvs == 0 || !recv && k.sends == 0 {
		var done [1]rdma.Completion
		if _, err := k.Poll(ctx, done[:]); err != nil {
			return err
		}
		if done[0].Status == rdma.StatusFlushed {
			return k.Err()
		}
		if err := done[0].Err(); err != nil {
			return err
		}
		if done[0].Recv {
			k.recvs++
			k.length = done[0].Length
		} else {
			k.sends++
		}
	}
	if recv {
		k.recvs--
	} else {
		k.sends--
	}
	return nil
}

// do posts one request and waits for its completion.
func (k *talk) do(ctx context.Context, wr rdma.SendWR) error {
	if err := k.PostSend(wr); err != nil {
		return err
	}
	return k.await(ctx, false)
}

const (
	cmatosePort  = 7471
	cmatoseCount = 50
)

var _ = Describe("cmatose", func() {
	for name, action := range conditions {
		for version, at := range families() {
			for _, size := range []int{100, 4096, 100_000} {
				It(fmt.Sprintf("of Linux exchanges messages of %d bytes by %s %s", size, version, name), func(ctx context.Context) {
					d := onRail(at.own)
					breakWire(action)
					l, err := d.Listen(cmatosePort)
					Expect(err).NotTo(HaveOccurred())
					served := make(chan error, 1)
					go func() { served <- cmatoseServe(ctx, d, l, size) }()
					succeed(start(ctx, "ucmatose", "-s", at.own.Addr().String(), "-C", strconv.Itoa(cmatoseCount), "-S", strconv.Itoa(size)))
					Expect(<-served).To(Succeed())
					Expect(l.Close()).To(Succeed())
				}, specTime)
			}
		}
	}
})

// cmatoseServe is the server of cmatose.
func cmatoseServe(ctx context.Context, d *soft.Device, l rdma.Listener, size int) (err error) {
	mem, err := d.Register(testMemory, allRights)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, mem.Close()) }()
	r, err := l.Next(ctx)
	if err != nil {
		return err
	}
	var recvs []rdma.RecvWR
	var sends []rdma.SendWR
	for range cmatoseCount {
		recvs = append(recvs, rdma.RecvWR{Local: part(mem, 0, size)})
		sends = append(sends, rdma.SendWR{Op: rdma.OpSend, Local: part(mem, size, size), Signaled: true})
	}
	c, err := r.Accept(ctx, labConn, nil, recvs...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	select {
	case <-c.Established():
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := c.PostSend(sends...); err != nil {
		return err
	}
	k := &talk{Conn: c}
	for range cmatoseCount {
		if err := errors.Join(k.await(ctx, false), k.await(ctx, true)); err != nil {
			return err
		}
	}
	return nil
}

// testMemory is the size of a region in bytes.
const testMemory = 1 << 20

const allRights = rdma.LocalWrite | rdma.RemoteRead | rdma.RemoteWrite | rdma.RemoteAtomic | rdma.WindowBind

// part names a part of a region.
func part(r rdma.Region, offset, length int) []rdma.SGE {
	return []rdma.SGE{{Region: r, Offset: offset, Length: length}}
}
