// SPDX-License-Identifier: Apache-2.0

package attacks

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

func messages() []Attack {
	all := []Attack{
		{Name: "SESS_INFO of all versions", Clauses: []string{"IBNBD-MSG-003", "IBNBD-MSG-017"}, Run: versions},
		{Name: "SESS_INFO of version 0", Clauses: []string{"IBNBD-MSG-016"}, Run: versionZero},
		{Name: "block message of an unknown type", Clauses: []string{"IBNBD-MSG-011"}, Run: unknownTypes},
		{Name: "IO message in its short form", Does: Writes, Clauses: []string{"IBNBD-MSG-005"}, Run: shortForm},
		{Name: "block messages that are longer than they need be", Clauses: []string{"IBNBD-MSG-006"}, Run: longMessages},
		{Name: "block messages with reserved bytes and bits set", Does: Writes, Clauses: []string{"IBNBD-MSG-010", "IBNBD-IO-012", "IBNBD-IO-018"}, Run: reserved},
		{Name: "OPEN with little room for its reply", Clauses: []string{"IBNBD-MSG-013"}, Run: littleRoom},
		{Name: "replies in memory that held other data", Does: Writes, Clauses: []string{"IBNBD-MSG-014"}, Run: staleBytes},
		{Name: "OPEN without SESS_INFO", Does: Writes, Clauses: []string{"IBNBD-MSG-015"}, Run: openFirst},
	}
	for _, m := range []struct {
		name string
		size int
		of   func(t *tester.Tester) []byte
	}{
		{"SESS_INFO", ibnbd.SessInfoSize, func(*tester.Tester) []byte {
			return tester.Marshal(ibnbd.SessInfo{Type: ibnbd.TypeSessInfo, Version: ibnbd.Version})
		}},
		{"OPEN", ibnbd.OpenResponseSize, func(t *tester.Tester) []byte { return tester.OpenMessage(t.Target().Exports[0], ibnbd.ReadOnly) }},
		{"IO", readSize, func(*tester.Tester) []byte {
			return tester.Marshal(ibnbd.NewIORequest(ibnbd.OpRead, 0, 0, 0, readSize))[:ibnbd.ShortIORequestSize]
		}},
	} {
		all = append(all, Attack{
			Name: m.name + " that is too short", Clauses: []string{"IBNBD-MSG-012"},
			Run: func(ctx context.Context, t *tester.Tester) error { return tooShort(ctx, t, m.of(t), m.size) },
		})
	}
	return all
}

func versions(ctx context.Context, t *tester.Tester) error {
	p := t.NewSession().NewPath(0)
	if err := p.Connect(ctx); err != nil {
		return err
	}
	first, err := p.SessInfo(ctx, 0xFF) // it answers the highest that it has
	if err != nil {
		return tester.Broken("IBNBD-MSG-003", "version 255: %s", tester.Outcome(err))
	}
	for _, version := range []uint8{1, 2, 3, 0x7F} {
		answer, err := p.SessInfo(ctx, version)
		if err != nil {
			return tester.Broken("IBNBD-MSG-017", "SESS_INFO once more, with version %d: %s", version, tester.Outcome(err))
		}
		if want := min(version, first.Version); answer.Version != want {
			return tester.Broken("IBNBD-MSG-003", "version %d is answered with %d, it must be %d", version, answer.Version, want)
		}
	}
	return nil
}

func versionZero(ctx context.Context, t *tester.Tester) error {
	p := t.NewSession().NewPath(0)
	if err := p.Connect(ctx); err != nil {
		return err
	}
	_, err := p.SessInfo(ctx, 0)
	return answered("IBNBD-MSG-016", err, ibtrs.EINVAL)
}

func unknownTypes(ctx context.Context, t *tester.Tester) error {
	p, opened, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	for _, kind := range []uint16{ibnbd.TypeSessInfoResponse, ibnbd.TypeOpenResponse, 6, 0xFFFF} {
		message := make([]byte, ibnbd.OpenRequestSize)
		binary.LittleEndian.PutUint16(message, kind)
		for _, r := range []tester.Request{p.Read(message, readSize), p.Write(message, nil)} {
			_, err := p.Call(ctx, r, 0)
			if err := answered("IBNBD-MSG-011", err, ibtrs.EINVAL); err != nil {
				return fmt.Errorf("type %d: %w", kind, err)
			}
		}
	}
	_, err = p.ReadAt(ctx, opened.DeviceID, 0, readSize)
	return succeeded("IBNBD-MSG-011", err)
}

// tooShort sends a message cut at several places, the last one a byte before its end.
func tooShort(ctx context.Context, t *tester.Tester, message []byte, reply int) error {
	p, opened, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	for _, n := range []int{1, 3, 4, len(message) - 1} {
		_, err := p.Call(ctx, p.Read(message[:n], uint32(reply)), 0)
		if err := answered("IBNBD-MSG-012", err, ibtrs.EINVAL); err != nil {
			return fmt.Errorf("%d of %d bytes: %w", n, len(message), err)
		}
	}
	_, err = p.ReadAt(ctx, opened.DeviceID, 0, readSize)
	return succeeded("IBNBD-MSG-012", err)
}

func shortForm(ctx context.Context, t *tester.Tester) error {
	p, opened, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	const sector = 32
	data := tester.Stamped(sector, 4096, 1)
	write := ibnbd.NewIORequest(ibnbd.OpWrite, 0, opened.DeviceID, t.Base()+sector, uint32(len(data)))
	write.Short = true
	if _, err := p.Call(ctx, p.Write(tester.Marshal(write), data), 0); err != nil {
		return tester.Broken("IBNBD-MSG-005", "write of 24 bytes: %s", tester.Outcome(err))
	}
	return succeeded("IBNBD-MSG-005", p.CheckStamped(ctx, opened.DeviceID, sector, len(data), 1))
}

// longMessages puts more behind each message than it has fields.
func longMessages(ctx context.Context, t *tester.Tester) error {
	p := t.NewSession().NewPath(0)
	if err := p.Connect(ctx); err != nil {
		return err
	}
	more := bytes.Repeat([]byte{0xFF}, 24)
	info := append(tester.Marshal(ibnbd.SessInfo{Type: ibnbd.TypeSessInfo, Version: ibnbd.Version}), more...)
	if _, err := p.Call(ctx, p.Read(info, ibnbd.SessInfoSize), ibnbd.SessInfoSize); err != nil {
		return tester.Broken("IBNBD-MSG-006", "SESS_INFO: %s", tester.Outcome(err))
	}
	opened, err := p.OpenRaw(ctx, append(tester.OpenMessage(t.Target().Exports[0], t.Access()), more...))
	if err != nil {
		return tester.Broken("IBNBD-MSG-006", "OPEN: %s", tester.Outcome(err))
	}
	read := append(tester.Marshal(ibnbd.NewIORequest(ibnbd.OpRead, 0, opened.DeviceID, 0, readSize)), more...)
	if _, err := p.Call(ctx, p.Read(read, readSize), readSize); err != nil {
		return tester.Broken("IBNBD-MSG-006", "IO: %s", tester.Outcome(err))
	}
	end := append(tester.Marshal(ibnbd.CloseRequest{Type: ibnbd.TypeClose, DeviceID: opened.DeviceID}), more...)
	_, err = p.Call(ctx, p.Write(end, nil), 0)
	return succeeded("IBNBD-MSG-006", err)
}

// knownFlags are the operation and the flags that a peer may know; the others are reserved.
const knownFlags = 0x00000FFF

func reserved(ctx context.Context, t *tester.Tester) error {
	p := t.NewSession().NewPath(0)
	if err := p.Connect(ctx); err != nil {
		return err
	}
	info := tester.Marshal(ibnbd.SessInfo{Type: ibnbd.TypeSessInfo, Version: ibnbd.Version})
	fill(info, 2, 4)
	fill(info, 5, len(info))
	if _, err := p.Call(ctx, p.Read(info, ibnbd.SessInfoSize), ibnbd.SessInfoSize); err != nil {
		return tester.Broken("IBNBD-MSG-010", "SESS_INFO: %s", tester.Outcome(err))
	}
	open := tester.OpenMessage(t.Target().Exports[0], ibnbd.ReadWrite)
	fill(open, 2, 4)
	fill(open, 261, len(open))
	opened, err := p.OpenRaw(ctx, open)
	if err != nil {
		return tester.Broken("IBNBD-MSG-010", "OPEN: %s", tester.Outcome(err))
	}
	const sector = 40
	data := tester.Stamped(sector, 4096, 9)
	for _, w := range []struct {
		what, clause string
		flags        uint32
		from, to     int // of the bytes that are set
	}{
		{"its padding", "IBNBD-MSG-010", 0, 2, 4},
		{"all unknown flags", "IBNBD-IO-012", ^uint32(knownFlags), 0, 0},
		{"its tail", "IBNBD-IO-018", 0, 26, ibnbd.IORequestSize},
	} {
		write := tester.Marshal(ibnbd.NewIORequest(ibnbd.OpWrite, w.flags, opened.DeviceID, t.Base()+sector, uint32(len(data))))
		fill(write, w.from, w.to)
		if _, err := p.Call(ctx, p.Write(write, data), 0); err != nil {
			return tester.Broken(w.clause, "write with %s set: %s", w.what, tester.Outcome(err))
		}
		if err := succeeded(w.clause, p.CheckStamped(ctx, opened.DeviceID, sector, len(data), 9)); err != nil {
			return err
		}
	}
	return nil
}

func fill(b []byte, from, to int) {
	for i := from; i < to; i++ {
		b[i] = 0xFF
	}
}

func littleRoom(ctx context.Context, t *tester.Tester) error {
	p := t.NewSession().NewPath(0)
	if err := p.Connect(ctx); err != nil {
		return err
	}
	for _, room := range []uint32{0, 1, ibnbd.OpenResponseSize - 1} {
		a, err := p.Do(ctx, p.Read(tester.OpenMessage(t.Target().Exports[0], ibnbd.ReadOnly), room))
		if err != nil || a.Errno != ibtrs.EINVAL || !a.Untouched(0) {
			return tester.Broken("IBNBD-MSG-013", "room for %d bytes: %s, errno %s, data came: %t; it must be EINVAL", room, tester.Outcome(err), a.Errno, !a.Untouched(0))
		}
	}
	return nil
}

// staleBytes fills a chunk by a write and then has replies made in it.
func staleBytes(ctx context.Context, t *tester.Tester) error {
	p, opened, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	const secret = 0xC3
	write := func() error { return p.WriteAt(ctx, opened.DeviceID, 48, bytes.Repeat([]byte{secret}, 4096)) }
	replies := []struct {
		name    string
		message []byte
		size    int
		from    int // the first reserved byte
	}{
		{"SESS_INFO", tester.Marshal(ibnbd.SessInfo{Type: ibnbd.TypeSessInfo, Version: ibnbd.Version}), ibnbd.SessInfoSize, 5},
		{"OPEN", tester.OpenMessage(t.Target().Exports[0], ibnbd.ReadOnly), ibnbd.OpenResponseSize, 46},
	}
	for _, reply := range replies {
		if err := write(); err != nil {
			return err
		}
		b, err := p.Call(ctx, p.Read(reply.message, uint32(reply.size)), reply.size)
		if err != nil {
			return fmt.Errorf("%s: %w", reply.name, err)
		}
		if n := bytes.Count(b[reply.from:], []byte{secret}); n > 0 {
			return tester.Broken("IBNBD-MSG-014", "%d bytes of an earlier request are in the reply to %s: % x", n, reply.name, b)
		}
	}
	return nil
}

func openFirst(ctx context.Context, t *tester.Tester) error {
	p := t.NewSession().NewPath(0)
	if err := p.Connect(ctx); err != nil {
		return err
	}
	opened, err := p.Open(ctx, t.Target().Exports[0], ibnbd.ReadWrite)
	if err != nil {
		return tester.Broken("IBNBD-MSG-015", "OPEN: %s", tester.Outcome(err))
	}
	write := ibnbd.NewIORequest(ibnbd.OpWrite, 0, opened.DeviceID, t.Base(), 4096)
	write.Priority = 0xFFFF // not used in such a session
	_, err = p.Call(ctx, p.Write(tester.Marshal(write), tester.Stamped(0, 4096, 1)), 0)
	return succeeded("IBNBD-MSG-015", err)
}
