// SPDX-License-Identifier: Apache-2.0

package soft_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"testing"
	"testing/synctest"

	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/rdma/soft"
	"github.com/ibnbd/ibnbd/reference/roce"
)

// FuzzPackets throws arbitrary packets at a living endpoint. Input is a list of packets, each as a byte that says how it is
// to be dressed up, a byte with its length in units of four bytes, and its UDP payload. Nothing may panic or get stuck;
// memory outside of the connection's regions stays as it is; and a connection that has nothing to do with it goes on.
func FuzzPackets(f *testing.F) {
	seed := func(payload []byte) []byte {
		return append([]byte{dressQP | dressPSN | dressICRC, byte(len(payload) / 4)}, payload...)
	}
	for _, op := range []roce.OpCode{
		roce.RCSendOnly, roce.RCSendFirst, roce.RCWriteOnly, roce.RCReadRequest, roce.RCAcknowledge, roce.RCReadResponseOnly,
		roce.RCFetchAdd, roce.RCSendOnlyInvalidate, roce.CNP,
	} {
		b := make([]byte, op.HeaderLen()+roce.ICRCLen)
		b[0], b[2], b[3] = byte(op), 0xFF, 0xFF
		f.Add(seed(b))
	}
	for attribute := roce.AttrREQ; attribute <= roce.AttrDREP; attribute++ {
		b := make([]byte, cmPacket)
		b[0], b[2], b[3], b[7] = byte(roce.UDSendOnly), 0xFF, 0xFF, 1
		copy(b[12:], []byte{0x80, 1, 0, 0, 0, 0, 0, 1, 1, 7, 2, 3})
		binary.BigEndian.PutUint16(b[madAt+16:], uint16(attribute))
		f.Add(append([]byte{dressICRC, cmPacket / 4}, b...))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		synctest.Test(t, func(t *testing.T) { fuzzOnce(t, input) })
	})
}

// What a fuzzed packet is given, so that it gets past the first checks.
const (
	dressQP   = 1 << iota // the connection's queue pair number
	dressPSN              // the PSN that is expected, plus that in the packet modulo 8
	dressKey              // the key and an address of the memory, where a RETH has them
	dressICRC             // a good ICRC
	dressSrc              // from the peer's address
)

// fuzzPattern fills the memory that no packet has a key for. It is made once: to make it takes longer than all else of an input.
var fuzzPattern = func() []byte {
	b := make([]byte, testMemory)
	pattern(b, 1)
	return b
}()

func fuzzOnce(t *testing.T, input []byte) {
	r := newRig(t, nil)
	untouched := register(t, r.b)
	copy(untouched.Bytes(), fuzzPattern)
	must(t, r.client.PostSend(read(r, 1, 100), send(r, 2, 100)))
	for len(input) >= 2 {
		dress, size := input[0], min(int(input[1])*4, len(input)-2)
		fuzzedPacket(r, dress, input[2:2+size])
		input = input[2+size:]
	}
	synctest.Wait()
	if !bytes.Equal(untouched.Bytes(), fuzzPattern) {
		t.Error("memory was written that no key was given for")
	}
	bystander(t, r)
}

// fuzzedPacket throws one packet at the server and its like at the client.
func fuzzedPacket(r *rig, dress byte, payload []byte) {
	if len(payload) < roce.BTHLen+roce.ICRCLen {
		return
	}
	for _, to := range []struct {
		c        *soft.Conn
		mem      rdma.Region
		psn      roce.PSN
		src, dst [4]byte
	}{
		{r.server, r.memB, psnA, addrA.As4(), addrB.As4()},
		{r.client, r.memA, psnB, addrB.As4(), addrA.As4()},
	} {
		src := [4]byte{10, 0, 0, 66}
		if dress&dressSrc == 0 {
			src = to.src
		}
		b := make([]byte, 28, 28+len(payload))
		copy(b, []byte{0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 17})
		copy(b[12:], src[:])
		copy(b[16:], to.dst[:])
		b = append(b, payload...)
		binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
		binary.BigEndian.PutUint16(b[10:], ipChecksum(b[:20]))
		binary.BigEndian.PutUint16(b[20:], 50_000)
		binary.BigEndian.PutUint16(b[22:], roce.UDPPort)
		binary.BigEndian.PutUint16(b[24:], uint16(len(b)-20))
		p, err := soft.NewPacket(b)
		must(r.t, err)
		if dress&dressQP != 0 {
			p.SetDestQP(to.c.QPN())
		}
		if dress&dressPSN != 0 {
			p.SetPSN(to.psn.Add(int(p.PSN() % 8)))
		}
		if ext := p.Ext(); dress&dressKey != 0 && len(ext) >= roce.RETHLen {
			binary.BigEndian.PutUint64(ext, to.mem.Addr()+binary.BigEndian.Uint64(ext)%testMemory)
			binary.BigEndian.PutUint32(ext[8:], to.mem.Key())
		}
		if dress&dressICRC != 0 {
			must(r.t, roce.Reseal(p.IP(), p.UDP(), p.Payload()))
		}
		must(r.t, r.thrower.Send([]*soft.Packet{p}))
	}
}

func ipChecksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xFFFF {
		sum = sum>>16 + sum&0xFFFF
	}
	return ^uint16(sum)
}

// bystander makes another connection between the same devices and uses it.
func bystander(t *testing.T, r *rig) {
	t.Helper()
	r.listener.Close()
	p := &pair{hub: r.hub, a: r.a, b: r.b, memA: r.memA, memB: r.memB}
	acceptAll(t, p, 0)
	c, err := dial(t, p)
	must(t, err)
	must(t, c.PostSend(rdma.SendWR{Op: rdma.OpSend, Local: part(r.memA, 0, 10), Signaled: true}))
	var done [1]rdma.Completion
	_, err = c.Poll(context.Background(), done[:])
	must(t, err)
	must(t, done[0].Err())
}
