// SPDX-License-Identifier: Apache-2.0

package srp

import (
	"github.com/ibnbd/ibnbd/reference/layout"
)

// TskMgmtSize is the size of a TskMgmt in bytes.
const TskMgmtSize = 48

// TaskFunction is what a task management request wants done.
type TaskFunction uint8

// The task management functions.
const (
	AbortTask        TaskFunction = 0x01
	AbortTaskSet     TaskFunction = 0x02
	ClearTaskSet     TaskFunction = 0x04
	LogicalUnitReset TaskFunction = 0x08
	ClearACA         TaskFunction = 0x40
)

var taskFunctions = []layout.Value{
	{Number: uint64(AbortTask), Name: "abort task"},
	{Number: uint64(AbortTaskSet), Name: "abort task set"},
	{Number: uint64(ClearTaskSet), Name: "clear task set"},
	{Number: uint64(LogicalUnitReset), Name: "logical unit reset"},
	{Number: uint64(ClearACA), Name: "clear ACA"},
}

// String returns the function in words.
func (f TaskFunction) String() string { return nameOf(taskFunctions, uint64(f), "function") }

// TskMgmt asks for a task management function; a Rsp with a response code answers it.
type TskMgmt struct {
	Type       uint8 // TypeTskMgmt
	Notify     uint8
	Reserved2  [6]byte
	Tag        Tag // of this request
	Reserved16 [4]byte
	LUN        LUN
	Reserved28 [2]byte
	Function   TaskFunction
	Reserved31 [1]byte
	ManagedTag Tag // of the task to abort
	Reserved40 [8]byte
}

// AppendBinary appends the 48 bytes of the unit. It never fails.
func (m TskMgmt) AppendBinary(b []byte) ([]byte, error) {
	b, p := layout.Extend(b, TskMgmtSize)
	p[0] = m.Type
	p[1] = m.Notify
	copy(p[2:], m.Reserved2[:])
	copy(p[8:], m.Tag[:])
	copy(p[16:], m.Reserved16[:])
	copy(p[20:], m.LUN[:])
	copy(p[28:], m.Reserved28[:])
	p[30] = uint8(m.Function)
	copy(p[31:], m.Reserved31[:])
	copy(p[32:], m.ManagedTag[:])
	copy(p[40:], m.Reserved40[:])
	return b, nil
}

// ParseTskMgmt reads a task management request and checks its type. Unknown functions are for the target to answer
// (Clause SRP-TM-005).
func ParseTskMgmt(b []byte) (m TskMgmt, err error) {
	if len(b) < TskMgmtSize {
		return m, layout.Short(tskMgmtLayout.Title, len(b), TskMgmtSize)
	}
	m.Type = b[0]
	m.Notify = b[1]
	copy(m.Reserved2[:], b[2:])
	copy(m.Tag[:], b[8:])
	copy(m.Reserved16[:], b[16:])
	copy(m.LUN[:], b[20:])
	copy(m.Reserved28[:], b[28:])
	m.Function = TaskFunction(b[30])
	copy(m.Reserved31[:], b[31:])
	copy(m.ManagedTag[:], b[32:])
	copy(m.Reserved40[:], b[40:])
	return m, checkType(&tskMgmtLayout, m.Type, TypeTskMgmt)
}
