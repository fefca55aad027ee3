// SPDX-License-Identifier: Apache-2.0

package scsi

// Attribute says how a task is ordered among those of its unit (SAM-5 8.6).
type Attribute uint8

// The task attributes, with the numbers that transports use.
const (
	Simple      Attribute = 0
	HeadOfQueue Attribute = 1
	Ordered     Attribute = 2
	ACA         Attribute = 4
)

// Direction is where the data of a command goes.
type Direction uint8

// The directions, as the initiator sees them.
const (
	NoData Direction = iota
	DataIn
	DataOut
)

// Result is how a command ended. N counts the bytes of data-in that it has.
type Result struct {
	Status Status
	Sense  Sense // with CheckCondition
	N      int
}

// Task is one command. It may be used again, through [Nexus.Prepare], when it has ended.
//
// A task is prepared, submitted, said to be ready, executed and ended, in this order; Run is called once for each that is ready,
// even if it was aborted meanwhile. Whoever answers the initiator asks [Task.Commit] first, so that an abort which was
// answered is never followed by a response (Clause SRP-TM-002).
type Task struct {
	// Run is called when the task may be executed: it is ready, and the order of the task set allows it. It is called with no
	// lock held, from the goroutine of Ready, or of the End or Abort of a task.
	Run func()

	// Set by Prepare:
	Direction Direction
	Length    int // bytes that the command moves; of data-in at most

	nexus   *Nexus
	unit    *Unit // nil if the number has none
	form    *Form // nil if it has no such command
	refused bool  // verdict is the answer
	verdict Sense
	lba     uint64
	blocks  uint64
	cdb     [maxForm]byte

	// Guarded by the unit's lock:
	attribute  Attribute
	next, prev *Task
	state      taskState
	ready      bool
	aborted    bool
	barriers   []*barrier
}

// maxForm is the length in bytes of the longest command block with a form.
const maxForm = 16

// refuse makes the task one that fails with sense when it is executed.
func (t *Task) refuse(s Sense) {
	t.refused, t.verdict = true, s
	t.Direction, t.Length = NoData, 0
}

// Prepare reads a command block for a logical unit. A command that cannot be carried out is a task too: it moves no data and
// reports why when it is executed.
func (n *Nexus) Prepare(t *Task, lun LUN, cdb []byte) {
	t.nexus, t.unit, t.form = n, n.luns.unit(lun), FormOf(cdb)
	t.Direction, t.Length, t.refused, t.verdict = NoData, 0, false, Sense{}
	t.lba, t.blocks = 0, 0
	clear(t.cdb[copy(t.cdb[:], cdb):])
	switch {
	case t.unit == nil && t.form != Inquiry && t.form != ReportLUNs && t.form != RequestSense:
		t.refuse(Sense{Key: IllegalRequest, Code: LogicalUnitNotSupported}) // Clause SRP-CMD-020
	case t.form == nil || t.unit != nil && !t.unit.supports(t.form):
		t.refuse(t.unknown(cdb))
	case naca.of(t.cdb[t.form.Length-1:]) != 0:
		pointer := naca
		pointer.Offset = t.form.Length - 1
		t.refuse(pointer.invalid())
	default:
		t.lba, t.blocks = t.form.LBA.of(t.cdb[:]), t.form.Count.of(t.cdb[:])
		if s := t.form.plan(t); s != nil {
			t.refuse(*s)
		}
	}
}

// unknown is the sense for a command that the unit does not have: of a service action the field is at fault, not the code.
func (t *Task) unknown(cdb []byte) Sense {
	if len(cdb) > 0 && formsByCode[cdb[0]] != nil && formsByCode[cdb[0]].Action >= 0 {
		return action.invalid()
	}
	return Sense{Key: IllegalRequest, Code: InvalidOperationCode}
}

// Execute carries the command out. data has Length bytes; of data-out it may have fewer, and the command then fails
// without effect.
func (t *Task) Execute(data []byte) Result {
	if t.Aborted() {
		return Result{Status: TaskAborted}
	}
	if t.unit != nil && t.reportsAttention() {
		if code, ok := t.nexus.attention(t.unit); ok {
			return failed(Sense{Key: UnitAttention, Code: code})
		}
	}
	if t.refused {
		return failed(t.verdict)
	}
	if t.Direction == DataOut && len(data) < t.Length {
		return failed(Sense{Key: IllegalRequest, Code: InvalidFieldInCDB})
	}
	return t.form.run(t, data[:min(len(data), t.Length)])
}

// reportsAttention tells whether the command fails if a unit attention is waiting (SPC-4 4.3.4, SAM-5 5.14).
func (t *Task) reportsAttention() bool {
	return t.form != Inquiry && t.form != ReportLUNs && t.form != RequestSense
}

func failed(s Sense) Result { return Result{Status: CheckCondition, Sense: s} }

// answer copies parameter data into the room that there is.
func answer(data, parameters []byte) Result { return Result{N: copy(data, parameters)} }

// Immediate tells whether Execute never waits.
func (t *Task) Immediate() bool {
	return t.refused || t.unit == nil || t.unit.props.Immediate
}
