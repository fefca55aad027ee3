// SPDX-License-Identifier: Apache-2.0

//go:build lab

package soft_test

import (
	"context"
	"fmt"
	"runtime"

	"github.com/ibnbd/ibnbd/reference/rdma"
)

// perftestWork does the measured work of a client.
func perftestWork(ctx context.Context, k *talk, mem rdma.Region, program perftestProgram, peer peerMemory) error {
	wr := rdma.SendWR{
		Op: program.op, Local: perftestRecv(mem).Local, RemoteAddr: peer.addr, RemoteKey: peer.key, Signaled: true,
	}
	switch {
	case !program.latency:
		return inFlight(ctx, k, wr, 8)
	case program.op == rdma.OpRead:
		return inFlight(ctx, k, wr, 1)
	case program.op == rdma.OpWrite:
		return writeInTurns(ctx, k, mem, peer, false)
	}
	return sendInTurns(ctx, k, wr, perftestRecv(mem))
}

// inFlight does work, a number at a time.
func inFlight(ctx context.Context, k *talk, wr rdma.SendWR, depth int) error {
	for i := range perftestRounds {
		if i >= depth {
			if err := k.await(ctx, false); err != nil {
				return fmt.Errorf("%s %d: %w", wr.Op, i, err)
			}
		}
		if err := k.PostSend(wr); err != nil {
			return err
		}
	}
	for range depth {
		if err := k.await(ctx, false); err != nil {
			return err
		}
	}
	return nil
}

// sendInTurns SENDs, and waits for the answer to each.
func sendInTurns(ctx context.Context, k *talk, wr rdma.SendWR, recv rdma.RecvWR) error {
	for i := range perftestRounds {
		err := k.do(ctx, wr)
		if err == nil {
			err = k.await(ctx, true)
		}
		if err == nil && i < perftestRounds-1 {
			err = k.PostRecv(recv)
		}
		if err != nil {
			return fmt.Errorf("%s %d: %w", wr.Op, i, err)
		}
	}
	return nil
}

// writeInTurns WRITEs to the memory of the peer after the peer has WRITTEN to ours; the server begins. The last byte of what
// is written counts. Nothing else tells that a WRITE has come: the programs look at their memory all the time.
func writeInTurns(ctx context.Context, k *talk, mem rdma.Region, peer peerMemory, first bool) error {
	const from, to = testMemory / 4, testMemory / 2 // what is written, and where the peer writes to
	counter := &mem.Bytes()[to+perftestSize-1]
	wr := rdma.SendWR{
		Op: rdma.OpWrite, Local: part(mem, from, perftestSize), RemoteAddr: peer.addr, RemoteKey: peer.key, Signaled: true,
	}
	for i := 1; i <= perftestRounds; i++ {
		expected := i
		if first {
			expected-- // 0 is there from the start
		}
		for *counter != byte(expected) {
			if err := ctx.Err(); err != nil {
				return fmt.Errorf("WRITE %d of the peer has not come: %w", expected, err)
			}
			runtime.Gosched()
		}
		mem.Bytes()[from+perftestSize-1] = byte(i)
		if err := k.do(ctx, wr); err != nil {
			return fmt.Errorf("WRITE %d: %w", i, err)
		}
	}
	return nil
}
