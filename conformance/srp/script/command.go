// SPDX-License-Identifier: Apache-2.0

package script

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/scsi"
	"github.com/ibnbd/ibnbd/reference/srp"
)

// Command is a command of an initiator.
type Command struct {
	srp.Cmd
	Channel *Channel
	At      time.Time
	Data    []byte // data-out
	In      srp.Buffer
	Out     srp.Buffer

	Answered bool // a response was sent

	left   int // READs of its data that have not ended
	memory int // where its data is
}

// Management is a task management request of an initiator.
type Management struct {
	srp.TskMgmt
	Channel *Channel
	At      time.Time
}

// immediateOffset is where the initiator says that immediate data begins.
func (c *Channel) immediateOffset() uint16 {
	return max(c.Login.Request.ImmediateOffset, srp.MinImmediateOffset)
}

// command takes a command, and fetches its data.
func (c *Channel) command(unit []byte) {
	m, err := srp.ParseCmd(unit)
	r := &Command{Cmd: m, Channel: c, At: time.Now()}
	if err == nil {
		r.Out, err = m.DataOut(c.immediateOffset())
	}
	if err == nil {
		r.In, err = m.DataIn()
	}
	if err == nil && (r.Out.Partial() || r.In.Partial()) {
		err = fmt.Errorf("a partial list, which was not allowed")
	}
	if err != nil {
		c.target.fail(fmt.Errorf("the initiator's command: %w", err))
		c.Hangup()
		return
	}
	c.target.Seen = append(c.target.Seen, r)
	r.fetch()
}

// room takes memory for data of the command.
func (r *Command) room(n int) {
	c := r.Channel
	if c.memory+n > dataMemory {
		c.memory = 0
	}
	r.memory = c.memory
	c.memory += n
}

// Pieces are the parts of the initiator's memory that a buffer has.
func Pieces(b srp.Buffer) (all []srp.MemoryDescriptor) {
	switch b.Format {
	case srp.Direct:
		return []srp.MemoryDescriptor{b.Memory}
	case srp.Indirect:
		for _, d := range b.List.All() {
			all = append(all, d)
		}
	}
	return all
}

// fetch reads data-out, and has the command served.
func (r *Command) fetch() {
	c := r.Channel
	if r.Out.Format == srp.Immediate {
		r.Data = r.Out.Data
	}
	all := Pieces(r.Out)
	n := 0
	for _, d := range all {
		n += int(d.Length)
	}
	if n > dataMemory {
		c.target.fail(fmt.Errorf("the initiator's command has %d bytes of data, more than %d", n, dataMemory))
		c.Hangup()
		return
	}
	if n == 0 {
		r.serve()
		return
	}
	r.room(n)
	r.left = len(all)
	at := r.memory
	for _, d := range all {
		local := []rdma.SGE{{Region: c.data, Offset: at, Length: int(d.Length)}}
		at += int(d.Length)
		c.post(rdma.SendWR{Op: rdma.OpRead, RemoteAddr: d.Address, RemoteKey: d.RKey, Local: local}, func(done rdma.Completion) {
			if r.left--; r.left == 0 && done.Status == rdma.StatusSuccess {
				r.Data = append([]byte(nil), c.data.Bytes()[r.memory:r.memory+n]...)
				r.serve()
			}
		})
	}
}

func (r *Command) serve() {
	if f := r.Channel.target.Script.Serve; f != nil {
		f(r)
		return
	}
	r.Answer()
}

// Is says whether the command has one of some operation codes.
func (r *Command) Is(codes ...byte) bool {
	for _, code := range codes {
		if r.CDB[0] == code {
			return true
		}
	}
	return false
}

// Reads and Writes say whether the command moves blocks that begin at an offset, in bytes.
func (r *Command) Reads(offset int64) bool {
	return r.Is(scsi.OpRead6, scsi.OpRead10, scsi.OpRead12, scsi.OpRead16) && r.offset() == offset
}

// Writes is as Reads.
func (r *Command) Writes(offset int64) bool {
	return r.Is(scsi.OpWrite6, scsi.OpWrite10, scsi.OpWrite12, scsi.OpWrite16) && r.offset() == offset
}

// offset is where the command begins, in bytes; -1 of one without an address.
func (r *Command) offset() int64 {
	f := scsi.FormOf(r.CDB[:])
	if f == nil || f.LBA.Size == 0 {
		return -1
	}
	var lba [8]byte
	field := r.CDB[f.LBA.Offset : f.LBA.Offset+f.LBA.Size]
	copy(lba[8-len(field):], field)
	if f.LBA.Mask != 0 {
		lba[8-len(field)] &= f.LBA.Mask
	}
	return int64(binary.BigEndian.Uint64(lba[:])) * BlockSize
}

// Answer serves the command as the protocol says.
func (r *Command) Answer() { r.Send(r.Execute()) }

// Execute executes the command, writes data-in to the initiator, and makes the response.
func (r *Command) Execute() srp.Rsp {
	status, in := execute(r.Channel.target.nexus, r)
	m := r.Response()
	m.Status = uint8(status.Status)
	if n := r.In.Length; n > 0 {
		m.SetResidualIn(uint32(len(in)), n)
		r.Place(in[:min(len(in), int(n))])
	}
	if status.Status == scsi.CheckCondition {
		m.SetSense(m.Status, status.Sense.AppendFixed(nil))
	}
	return m
}

// Response is one that says that the command was good, and gives its credit back.
func (r *Command) Response() srp.Rsp {
	return srp.Rsp{Type: srp.TypeRsp, RequestLimitDelta: 1, Tag: r.Tag}
}

// Send sends a response to the command.
func (r *Command) Send(m srp.Rsp) {
	r.Answered = true
	r.Channel.Respond(m)
}

// Fail answers with CHECK CONDITION, without executing the command.
func (r *Command) Fail(sense scsi.Sense) {
	m := r.Response()
	m.SetSense(uint8(scsi.CheckCondition), sense.AppendFixed(nil))
	r.Send(m)
}

// Place writes data to the initiator's memory for data-in.
func (r *Command) Place(data []byte) {
	c := r.Channel
	if len(data) == 0 {
		return
	}
	r.room(len(data))
	at := r.memory
	copy(c.data.Bytes()[at:], data)
	for _, d := range Pieces(r.In) {
		n := min(int(d.Length), len(data))
		if n == 0 {
			return
		}
		local := []rdma.SGE{{Region: c.data, Offset: at, Length: n}}
		c.post(rdma.SendWR{Op: rdma.OpWrite, RemoteAddr: d.Address, RemoteKey: d.RKey, Local: local}, nil)
		at, data = at+n, data[n:]
	}
}

// execute carries a command out on the disk.
func execute(n *scsi.Nexus, r *Command) (result scsi.Result, in []byte) {
	var task scsi.Task
	n.Prepare(&task, r.LUN, r.CDB[:])
	data := make([]byte, task.Length)
	if task.Direction == scsi.DataOut {
		data = data[:copy(data, r.Data)]
	}
	task.Run = func() { result = task.Execute(data) }
	task.Submit(scsi.Simple)
	task.Ready()
	task.End()
	if task.Direction == scsi.DataIn {
		in = data[:result.N]
	}
	return result, in
}

// manage takes a task management request.
func (c *Channel) manage(unit []byte) {
	m, err := srp.ParseTskMgmt(unit)
	if err != nil {
		c.target.fail(fmt.Errorf("the initiator's task management: %w", err))
		return
	}
	t := &Management{m, c, time.Now()}
	c.target.Managed = append(c.target.Managed, t)
	if f := c.target.Script.Manage; f != nil {
		f(t)
		return
	}
	t.Answer(srp.ResponseOK)
}

// Answer answers with a response code.
func (t *Management) Answer(code srp.ResponseCode) {
	m := srp.Rsp{Type: srp.TypeRsp, RequestLimitDelta: 1, Tag: t.Tag}
	m.SetResponseCode(code)
	t.Channel.Respond(m)
}
