// SPDX-License-Identifier: Apache-2.0

package scsi

// Operation codes, and service actions where a code has several.
const (
	OpTestUnitReady   = 0x00
	OpRequestSense    = 0x03
	OpRead6           = 0x08
	OpWrite6          = 0x0a
	OpInquiry         = 0x12
	OpModeSense6      = 0x1a
	OpReadCapacity10  = 0x25
	OpRead10          = 0x28
	OpWrite10         = 0x2a
	OpVerify10        = 0x2f
	OpSyncCache10     = 0x35
	OpWriteSame10     = 0x41
	OpUnmap           = 0x42
	OpModeSense10     = 0x5a
	OpRead16          = 0x88
	OpWrite16         = 0x8a
	OpVerify16        = 0x8f
	OpSyncCache16     = 0x91
	OpWriteSame16     = 0x93
	OpServiceActionIn = 0x9e
	OpReportLUNs      = 0xa0
	OpMaintenanceIn   = 0xa3
	OpRead12          = 0xa8
	OpWrite12         = 0xaa
	OpVerify12        = 0xaf

	ActionReadCapacity16  = 0x10
	ActionReportSupported = 0x0c

	noAction = -1
)

// Form is the layout of one command block.
type Form struct {
	Name   string
	Opcode uint8
	Action int // service action, or negative
	Length int // bytes

	// Fields that many commands have. LBA and Count are in logical blocks; Allocation is the room for data-in and List the
	// length of a parameter list, both in bytes.
	LBA, Count, Allocation, List Field
	// Protect, FUA and DPO belong to reads and writes, Check to a verification.
	Protect, FUA, DPO, Check Field
	Group                    Field
	// Unmap, Anchor and NoData belong to commands that deallocate.
	Unmap, Anchor, NoData Field
	Immediate             Field
	// Page and its companions choose what a command reports.
	Page, Subpage, Control, Vital, NoBlock, LongLBA, Descriptors Field
	Select, Options, Timeouts, WantedCode, WantedAction          Field

	run func(*Task, []byte) Result
	// plan checks fields and tells how many bytes of data move.
	plan func(*Task) *Sense
}

// Bytes and bits that return in many forms.
var (
	lba10    = Field{"logical block address", 2, 4, 0xff}
	lba16    = Field{"logical block address", 2, 8, 0xff}
	count10  = Field{"number of blocks", 7, 2, 0xff}
	count12  = Field{"number of blocks", 6, 4, 0xff}
	count16  = Field{"number of blocks", 10, 4, 0xff}
	group10  = Field{"group number", 6, 1, 0x1f}
	group12  = Field{"group number", 10, 1, 0x1f}
	group16  = Field{"group number", 14, 1, 0x1f}
	protect  = Field{"protection information", 1, 1, 0xe0}
	dpo      = Field{"disable page out", 1, 1, 0x10}
	fua      = Field{"force unit access", 1, 1, 0x08}
	check    = Field{"byte check", 1, 1, 0x06}
	unmap    = Field{"unmap", 1, 1, 0x08}
	anchor   = Field{"anchor", 1, 1, 0x10}
	action   = Field{"service action", 1, 1, 0x1f}
	naca     = Field{"normal ACA", 0, 1, 0x04} // of the control byte, wherever that is
	pageCode = Field{"page code", 2, 1, 0x3f}
	pageCtl  = Field{"page control", 2, 1, 0xc0}
	subpage  = Field{"subpage code", 3, 1, 0xff}
	noBlock  = Field{"disable block descriptors", 1, 1, 0x08}
)

// The command blocks of this package.
var (
	TestUnitReady = &Form{Name: "TEST UNIT READY", Opcode: OpTestUnitReady, Action: noAction, Length: 6}
	RequestSense  = &Form{
		Name: "REQUEST SENSE", Opcode: OpRequestSense, Action: noAction, Length: 6,
		Descriptors: Field{"descriptor format", 1, 1, 0x01}, Allocation: Field{"allocation length", 4, 1, 0xff},
	}
	Inquiry = &Form{
		Name: "INQUIRY", Opcode: OpInquiry, Action: noAction, Length: 6, Vital: Field{"vital product data", 1, 1, 0x01},
		Page: Field{"page code", 2, 1, 0xff}, Allocation: Field{"allocation length", 3, 2, 0xff},
	}
	ReportLUNs = &Form{
		Name: "REPORT LUNS", Opcode: OpReportLUNs, Action: noAction, Length: 12,
		Select: Field{"select report", 2, 1, 0xff}, Allocation: Field{"allocation length", 6, 4, 0xff},
	}
	ModeSense6 = &Form{
		Name: "MODE SENSE(6)", Opcode: OpModeSense6, Action: noAction, Length: 6, NoBlock: noBlock, Page: pageCode,
		Control: pageCtl, Subpage: subpage, Allocation: Field{"allocation length", 4, 1, 0xff},
	}
	ModeSense10 = &Form{
		Name: "MODE SENSE(10)", Opcode: OpModeSense10, Action: noAction, Length: 10, NoBlock: noBlock, Page: pageCode,
		Control: pageCtl, Subpage: subpage, LongLBA: Field{"long LBA accepted", 1, 1, 0x10},
		Allocation: Field{"allocation length", 7, 2, 0xff},
	}
	ReadCapacity10 = &Form{Name: "READ CAPACITY(10)", Opcode: OpReadCapacity10, Action: noAction, Length: 10}
	ReadCapacity16 = &Form{
		Name: "READ CAPACITY(16)", Opcode: OpServiceActionIn, Action: ActionReadCapacity16, Length: 16,
		Allocation: Field{"allocation length", 10, 4, 0xff},
	}
	ReportSupported = &Form{
		Name: "REPORT SUPPORTED OPERATION CODES", Opcode: OpMaintenanceIn, Action: ActionReportSupported, Length: 12,
		Timeouts: Field{"return command timeouts", 2, 1, 0x80}, Options: Field{"reporting options", 2, 1, 0x07},
		WantedCode: Field{"requested operation code", 3, 1, 0xff}, WantedAction: Field{"requested service action", 4, 2, 0xff},
		Allocation: Field{"allocation length", 6, 4, 0xff},
	}
	Read6  = shortIO("READ(6)", OpRead6)
	Read10 = &Form{Name: "READ(10)", Opcode: OpRead10, Action: noAction, Length: 10, Protect: protect, DPO: dpo, FUA: fua, LBA: lba10, Group: group10, Count: count10}
	Read12 = &Form{Name: "READ(12)", Opcode: OpRead12, Action: noAction, Length: 12, Protect: protect, DPO: dpo, FUA: fua, LBA: lba10, Group: group12, Count: count12}
	Read16 = &Form{Name: "READ(16)", Opcode: OpRead16, Action: noAction, Length: 16, Protect: protect, DPO: dpo, FUA: fua, LBA: lba16, Group: group16, Count: count16}

	Write6  = shortIO("WRITE(6)", OpWrite6)
	Write10 = &Form{Name: "WRITE(10)", Opcode: OpWrite10, Action: noAction, Length: 10, Protect: protect, DPO: dpo, FUA: fua, LBA: lba10, Group: group10, Count: count10}
	Write12 = &Form{Name: "WRITE(12)", Opcode: OpWrite12, Action: noAction, Length: 12, Protect: protect, DPO: dpo, FUA: fua, LBA: lba10, Group: group12, Count: count12}
	Write16 = &Form{Name: "WRITE(16)", Opcode: OpWrite16, Action: noAction, Length: 16, Protect: protect, DPO: dpo, FUA: fua, LBA: lba16, Group: group16, Count: count16}

	Verify10 = &Form{Name: "VERIFY(10)", Opcode: OpVerify10, Action: noAction, Length: 10, Protect: protect, DPO: dpo, Check: check, LBA: lba10, Group: group10, Count: count10}
	Verify12 = &Form{Name: "VERIFY(12)", Opcode: OpVerify12, Action: noAction, Length: 12, Protect: protect, DPO: dpo, Check: check, LBA: lba10, Group: group12, Count: count12}
	Verify16 = &Form{Name: "VERIFY(16)", Opcode: OpVerify16, Action: noAction, Length: 16, Protect: protect, DPO: dpo, Check: check, LBA: lba16, Group: group16, Count: count16}

	SyncCache10 = &Form{Name: "SYNCHRONIZE CACHE(10)", Opcode: OpSyncCache10, Action: noAction, Length: 10, Immediate: immediateBit, LBA: lba10, Group: group10, Count: count10}
	SyncCache16 = &Form{Name: "SYNCHRONIZE CACHE(16)", Opcode: OpSyncCache16, Action: noAction, Length: 16, Immediate: immediateBit, LBA: lba16, Group: group16, Count: count16}

	WriteSame10 = &Form{Name: "WRITE SAME(10)", Opcode: OpWriteSame10, Action: noAction, Length: 10, Protect: protect, Anchor: anchor, Unmap: unmap, LBA: lba10, Group: group10, Count: count10}
	WriteSame16 = &Form{
		Name: "WRITE SAME(16)", Opcode: OpWriteSame16, Action: noAction, Length: 16, Protect: protect, Anchor: anchor, Unmap: unmap,
		NoData: Field{"no data-out buffer", 1, 1, 0x01}, LBA: lba16, Group: group16, Count: count16,
	}
	Unmap = &Form{
		Name: "UNMAP", Opcode: OpUnmap, Action: noAction, Length: 10, Anchor: Field{"anchor", 1, 1, 0x01}, Group: group10,
		List: Field{"parameter list length", 7, 2, 0xff},
	}
)

var immediateBit = Field{"immediate", 1, 1, 0x02}

func shortIO(name string, opcode uint8) *Form {
	return &Form{
		Name: name, Opcode: opcode, Action: noAction, Length: 6,
		LBA: Field{"logical block address", 1, 3, 0x1f}, Count: Field{"number of blocks", 4, 1, 0xff},
	}
}

// Forms are all commands, in order of operation code and service action.
var Forms = []*Form{
	TestUnitReady, RequestSense, Read6, Write6, Inquiry, ModeSense6, ReadCapacity10, Read10, Write10, Verify10, SyncCache10,
	WriteSame10, Unmap, ModeSense10, Read16, Write16, Verify16, SyncCache16, WriteSame16, ReadCapacity16, ReportLUNs,
	ReportSupported, Read12, Write12, Verify12,
}

// fields are those of the form, in no order.
func (f *Form) fields() []*Field {
	return []*Field{
		&f.LBA, &f.Count, &f.Allocation, &f.List, &f.Protect, &f.FUA, &f.DPO, &f.Check, &f.Group, &f.Unmap, &f.Anchor, &f.NoData,
		&f.Immediate, &f.Page, &f.Subpage, &f.Control, &f.Vital, &f.NoBlock, &f.LongLBA, &f.Descriptors, &f.Select, &f.Options,
		&f.Timeouts, &f.WantedCode, &f.WantedAction,
	}
}

// usage is the map of bits that are looked at (SPC-4 6.34.3): all fields, the service action, and NACA of the control byte.
func (f *Form) usage() []byte {
	usage := make([]byte, f.Length)
	for _, field := range f.fields() {
		field.use(usage)
	}
	usage[0] = f.Opcode
	if f.Action >= 0 {
		usage[1] |= uint8(f.Action)
	}
	usage[f.Length-1] |= naca.Mask
	return usage
}

// New returns a command block with an operation code, a service action, and otherwise zeros.
func (f *Form) New() []byte {
	cdb := make([]byte, f.Length)
	f.start(cdb)
	return cdb
}

func (f *Form) start(cdb []byte) {
	cdb[0] = f.Opcode
	if f.Action >= 0 {
		cdb[1] = uint8(f.Action)
	}
}

// Put writes a value into a field of a command block of this form. It fails if that does not fit.
func (f *Form) Put(cdb []byte, field Field, v uint64) error { return field.put(cdb, v) }

// AppendIO appends a command block of a form that has an address and a number of blocks. It fails if these, or force unit access,
// do not fit into it.
func (f *Form) AppendIO(b []byte, lba uint64, blocks uint32, forced bool) ([]byte, error) {
	var block [16]byte
	cdb := block[:f.Length]
	f.start(cdb)
	if err := f.LBA.put(cdb, lba); err != nil {
		return b, err
	}
	if err := f.Count.put(cdb, uint64(blocks)); err != nil {
		return b, err
	}
	if forced {
		if err := f.FUA.put(cdb, 1); err != nil {
			return b, err
		}
	}
	return append(b, cdb...), nil
}

// FormOf finds the form of a command block; nil if this package has none, or the block is too short for it.
func FormOf(cdb []byte) *Form {
	if len(cdb) == 0 {
		return nil
	}
	f := formsByCode[cdb[0]]
	if f != nil && f.Action >= 0 {
		f = formOfAction(cdb)
	}
	if f == nil || len(cdb) < f.Length {
		return nil
	}
	return f
}

func formOfAction(cdb []byte) *Form {
	for _, f := range Forms {
		if f.Opcode == cdb[0] && len(cdb) > 1 && f.Action == int(action.of(cdb)) {
			return f
		}
	}
	return nil
}

// formsByCode has one form for each operation code, the first of several service actions.
var formsByCode = func() (byCode [256]*Form) {
	for i := len(Forms) - 1; i >= 0; i-- {
		byCode[Forms[i].Opcode] = Forms[i]
	}
	return byCode
}()
