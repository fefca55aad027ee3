// SPDX-License-Identifier: Apache-2.0

package srp

import (
	"bytes"
	"errors"
	"math"
	"testing"

	"github.com/ibnbd/ibnbd/reference/layout"
)

// wantFault fails unless err is a layout.Error about field that wraps ErrValue.
func wantFault(t *testing.T, what string, err error, field string) {
	t.Helper()
	var fault *layout.Error
	if !errors.As(err, &fault) || fault.Field != field || !errors.Is(err, layout.ErrValue) {
		t.Errorf("%s: error %v, want one about %s", what, err, field)
	}
}

func TestTooShortUnits(t *testing.T) {
	for _, c := range []struct {
		name  string
		need  int
		parse func([]byte) error
	}{
		{"type", 16, func(b []byte) error { _, err := IUType(b); return err }},
		{"login_req", 64, func(b []byte) error { _, err := ParseLoginReq(b); return err }},
		{"login_req_cm", 56, func(b []byte) error { _, err := ParseLoginReqCM(b); return err }},
		{"login_rsp", 52, func(b []byte) error { _, err := ParseLoginRsp(b); return err }},
		{"login_rej", 32, func(b []byte) error { _, err := ParseLoginRej(b); return err }},
		{"cmd", 48, func(b []byte) error { _, err := ParseCmd(b); return err }},
		{"memory_descriptor", 16, func(b []byte) error { _, err := ParseMemoryDescriptor(b); return err }},
		{"rsp", 36, func(b []byte) error { _, err := ParseRsp(b); return err }},
		{"cred_req", 16, func(b []byte) error { _, err := ParseCredReq(b); return err }},
		{"cred_rsp", 16, func(b []byte) error { _, err := ParseCredRsp(b); return err }},
		{"aer_req", 36, func(b []byte) error { _, err := ParseAERReq(b); return err }},
		{"aer_rsp", 16, func(b []byte) error { _, err := ParseAERRsp(b); return err }},
		{"tsk_mgmt", 48, func(b []byte) error { _, err := ParseTskMgmt(b); return err }},
		{"i_logout", 16, func(b []byte) error { _, err := ParseILogout(b); return err }},
		{"t_logout", 16, func(b []byte) error { _, err := ParseTLogout(b); return err }},
	} {
		t.Run(c.name, func(t *testing.T) {
			for n := range c.need {
				if err := c.parse(make([]byte, n)); !errors.Is(err, layout.ErrShort) {
					t.Errorf("%d of %d bytes: %v, want ErrShort", n, c.need, err)
				}
			}
			if err := c.parse(make([]byte, c.need)); errors.Is(err, layout.ErrShort) {
				t.Errorf("%d bytes: %v", c.need, err)
			}
		})
	}
}

func TestWrongTypes(t *testing.T) {
	b := bytes.Repeat([]byte{0x7f}, 64)
	for name, parse := range map[string]func([]byte) error{
		"login_req":    func(b []byte) error { _, err := ParseLoginReq(b); return err },
		"login_req_cm": func(b []byte) error { _, err := ParseLoginReqCM(b); return err },
		"login_rsp":    func(b []byte) error { _, err := ParseLoginRsp(b); return err },
		"login_rej":    func(b []byte) error { _, err := ParseLoginRej(b); return err },
		"cmd":          func(b []byte) error { _, err := ParseCmd(b); return err },
		"rsp":          func(b []byte) error { _, err := ParseRsp(b); return err },
		"cred_req":     func(b []byte) error { _, err := ParseCredReq(b); return err },
		"cred_rsp":     func(b []byte) error { _, err := ParseCredRsp(b); return err },
		"aer_req":      func(b []byte) error { _, err := ParseAERReq(b); return err },
		"aer_rsp":      func(b []byte) error { _, err := ParseAERRsp(b); return err },
		"tsk_mgmt":     func(b []byte) error { _, err := ParseTskMgmt(b); return err },
		"i_logout":     func(b []byte) error { _, err := ParseILogout(b); return err },
		"t_logout":     func(b []byte) error { _, err := ParseTLogout(b); return err },
	} {
		wantFault(t, name, parse(b), "type")
	}
}

func TestLoginLimits(t *testing.T) {
	short := goldenLogin
	short.RequestedIULength = 63
	wire, _ := short.AppendBinary(nil)
	_, err := ParseLoginReq(wire)
	wantFault(t, "IU length 63", err, "requested_iu_length")
	wire, _ = short.CM().AppendBinary(nil)
	_, err = ParseLoginReqCM(wire)
	wantFault(t, "IU length 63 in the 56-byte form", err, "requested_iu_length")
	if back := goldenLogin.CM().LoginReq(); back != goldenLogin {
		t.Errorf("64 to 56 to 64 bytes gives %+v", back)
	}
	if RejectNexus.String() != "channel cannot be associated with the nexus" || RejectReason(5).String() != "reason 0x5" {
		t.Errorf("reasons: %v, %v", RejectNexus, RejectReason(5))
	}
}

func TestPortID(t *testing.T) {
	const ext, guid = 0x0102030405060708, 0x1112131415161718
	for class, first := range map[IOClass]byte{IOClassRev16a: 0x01, IOClassRev10: 0x11} {
		id := NewPortID(ext, guid, class)
		if e, g := id.Split(class); id[0] != first || e != ext || g != guid {
			t.Errorf("class %#x: %v is %#x and %#x", class, id, e, g)
		}
	}
}

func TestCommandWithAdditionalCDB(t *testing.T) {
	cdb := make([]byte, 30)
	for i := range cdb {
		cdb[i] = byte(i + 1)
	}
	out, in := MemoryDescriptor{1, 2, 512}, MemoryDescriptor{3, 4, 1024}
	wire, err := NewCmd(TagOf(1), LUN{}).AppendWith(nil, cdb, DirectBuffer(out), DirectBuffer(in), 0)
	if err != nil {
		t.Fatal(err)
	}
	if len(wire) != 48+16+32 || wire[31] != 16 || wire[5] != 0x11 {
		t.Fatalf("%d bytes, additional length %d, formats %#x", len(wire), wire[31], wire[5])
	}
	wire[31] |= 3 // reserved bits, not part of the length
	m, err := ParseCmd(wire)
	if err != nil {
		t.Fatal(err)
	}
	if whole := append(m.CDB[:], m.AdditionalCDB()...); !bytes.Equal(whole, append(cdb, 0, 0)) {
		t.Errorf("command block % x", whole)
	}
	if b, err := m.DataOut(0); err != nil || b.Memory != out {
		t.Errorf("data-out %+v (%v), want it in front", b, err)
	}
	if b, err := m.DataIn(); err != nil || b.Memory != in {
		t.Errorf("data-in %+v (%v)", b, err)
	}
}

func TestCommandFaults(t *testing.T) {
	blank := func(change func(*Cmd)) []byte {
		m := Cmd{Type: TypeCmd}
		change(&m)
		wire, _ := m.AppendBinary(nil)
		return wire
	}
	for _, c := range []struct {
		name  string
		wire  []byte
		field string
	}{
		{"data-out format 4", blank(func(m *Cmd) { m.Formats = 0x40 }), "formats"},
		{"data-in format 15", blank(func(m *Cmd) { m.Formats = 0x0f }), "formats"},
		{"immediate data-in", blank(func(m *Cmd) { m.Formats, m.Body = 0x03, make([]byte, 64) }), "formats"},
		{"additional CDB cut", blank(func(m *Cmd) { m.AddCDBLength, m.Body = 16, make([]byte, 15) }), "add_cdb_length"},
		{"direct descriptor cut", blank(func(m *Cmd) { m.Formats, m.Body = 0x01, make([]byte, 15) }), "formats"},
		{"list cut", blank(func(m *Cmd) { m.Formats, m.DataInCount, m.Body = 0x02, 255, make([]byte, 20+254*16) }), "formats"},
		{"second descriptor cut", blank(func(m *Cmd) { m.Formats, m.Body = 0x11, make([]byte, 31) }), "formats"},
	} {
		m, err := ParseCmd(c.wire)
		wantFault(t, c.name, err, c.field)
		if _, err := m.DataOut(68); err == nil {
			t.Errorf("%s: data-out passed", c.name)
		}
		if _, err := m.DataIn(); err == nil {
			t.Errorf("%s: data-in passed", c.name)
		}
		if again, _ := m.AppendBinary(nil); !bytes.Equal(again, c.wire) {
			t.Errorf("%s: the illegal command appends to other bytes", c.name)
		}
	}
}

func TestImmediateDataFaults(t *testing.T) {
	wire, err := NewCmd(TagOf(1), LUN{}).AppendWith(nil, make([]byte, 10), ImmediateBuffer(make([]byte, 512)), Buffer{}, 68)
	if err != nil {
		t.Fatal(err)
	}
	m, _ := ParseCmd(wire)
	_, err = m.DataOut(0)
	wantFault(t, "not granted", err, "formats")
	_, err = m.DataOut(51)
	wantFault(t, "offset inside the descriptor", err, "formats")
	if b, err := m.DataOut(52); err != nil || len(b.Padding) != 0 {
		t.Errorf("offset right behind the descriptor: %v", err)
	}
	m, _ = ParseCmd(wire[:len(wire)-1])
	_, err = m.DataOut(68)
	wantFault(t, "cut data", err, "length")
	m, _ = ParseCmd(wire[:60])
	_, err = m.DataOut(65535)
	wantFault(t, "offset behind the unit", err, "length")
}

func TestAppendWithRefuses(t *testing.T) {
	long := make(MemoryDescriptors, 256*16)
	immediate := ImmediateBuffer(make([]byte, 512))
	for _, c := range []struct {
		name   string
		cdb    int
		out    Buffer
		in     Buffer
		offset uint16
		field  string
	}{
		{"no command block", 0, Buffer{}, Buffer{}, 0, "cdb"},
		{"command block of 269 bytes", 269, Buffer{}, Buffer{}, 0, "cdb"},
		{"256 entries", 6, Buffer{}, IndirectBuffer(MemoryDescriptor{}, long, 0), 0, "data_out_count"},
		{"immediate data-in", 6, Buffer{}, immediate, 68, "formats"},
		{"immediate data inside the descriptor", 6, immediate, Buffer{}, 51, "formats"},
	} {
		b, err := NewCmd(Tag{}, LUN{}).AppendWith([]byte("x"), make([]byte, c.cdb), c.out, c.in, c.offset)
		wantFault(t, c.name, err, c.field)
		if string(b) != "x" {
			t.Errorf("%s: %d bytes appended", c.name, len(b)-1)
		}
	}
	if b, err := NewCmd(Tag{}, LUN{}).AppendWith(nil, make([]byte, MaxCDB), Buffer{}, Buffer{}, 0); err != nil || len(b) != 300 {
		t.Errorf("longest command block: %d bytes (%v)", len(b), err)
	}
}

func TestIndirectNumbersMustAgree(t *testing.T) {
	list := MemoryDescriptors{}.Append(MemoryDescriptor{1, 1, 4096}, MemoryDescriptor{2, 1, 512})
	for _, c := range []struct {
		name         string
		table, total uint32
		field        string
		partial      bool
	}{
		{"whole", 32, 4608, "", false},
		{"partial", 48, 9000, "", true},
		{"sum too large", 32, 4607, "total", false},
		{"half an entry", 40, 4608, "table_length", true},
		{"table shorter than the list", 16, 4608, "table_length", false},
	} {
		b := IndirectBuffer(MemoryDescriptor{Length: c.table}, list, c.total)
		if c.field == "" {
			if err := b.Check(); err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
		} else {
			wantFault(t, c.name, b.Check(), c.field)
		}
		if b.Partial() != c.partial {
			t.Errorf("%s: partial %v", c.name, b.Partial())
		}
	}
}

func TestResponseFaults(t *testing.T) {
	for _, c := range []struct {
		name  string
		rsp   Rsp
		field string
		sense int // bytes that Sense returns
	}{
		{"sense behind the end", Rsp{Flags: SenseValid, SenseLength: 5, Body: make([]byte, 4)}, "sense_length", 0},
		{"sense length of 2^32-1", Rsp{Flags: SenseValid, SenseLength: math.MaxUint32, Body: make([]byte, 4)}, "sense_length", 0},
		{"response data behind the end", Rsp{Flags: RspValid, ResponseLength: 8, Body: make([]byte, 4)}, "response_length", 0},
		{"both lengths wrap", Rsp{Flags: RspValid | SenseValid, ResponseLength: math.MaxUint32, SenseLength: 5, Body: make([]byte, 4)}, "response_length", 0},
		{"response data of 3 bytes", Rsp{Flags: RspValid, ResponseLength: 3, Body: make([]byte, 4)}, "response_length", 0},
		{"response data without flag", Rsp{ResponseLength: 4, Body: make([]byte, 4)}, "response_length", 0},
		{"flag without response data", Rsp{Flags: RspValid}, "response_length", 0},
		{"sense without flag", Rsp{SenseLength: 4, Body: make([]byte, 4)}, "sense_length", 0},
		{"over and under", Rsp{Flags: DataInOver | DataInUnder}, "flags", 0},
	} {
		c.rsp.Type = TypeRsp
		wire, _ := c.rsp.AppendBinary(nil)
		m, err := ParseRsp(wire)
		wantFault(t, c.name, err, c.field)
		if len(m.Sense()) != c.sense {
			t.Errorf("%s: %d bytes of sense", c.name, len(m.Sense()))
		}
	}
}

func TestResponseParts(t *testing.T) {
	m := Rsp{
		Type: TypeRsp, Flags: RspValid | SenseValid, ResponseLength: 4, SenseLength: 3,
		Body: []byte{0, 0, 0, byte(ResponseInvalidFields), 's', 'n', 's', 'x'},
	}
	wire, _ := m.AppendBinary(nil)
	back, err := ParseRsp(wire)
	if err != nil {
		t.Fatal(err)
	}
	if code, ok := back.ResponseCode(); code != ResponseInvalidFields || !ok || string(back.Sense()) != "sns" {
		t.Errorf("code %v (%v), sense %q", code, ok, back.Sense())
	}
	if code, ok := (Rsp{Flags: RspValid, ResponseLength: 4, Body: []byte{0}}).ResponseCode(); code != ResponseTMFailed || !ok {
		t.Errorf("cut response data means code %v (%v), want failure", code, ok)
	}
	if _, ok := (Rsp{}).ResponseCode(); ok {
		t.Error("a code without RSPVALID")
	}
	var answer Rsp
	answer.Type = TypeRsp
	answer.SetResponseCode(ResponseTMFailed)
	if code, _ := answer.ResponseCode(); code != ResponseTMFailed || answer.Validate() != nil {
		t.Errorf("answer %+v: %v", answer, answer.Validate())
	}
	var failed Rsp
	failed.Type = TypeRsp
	failed.SetSense(2, []byte("sense"))
	if string(failed.Sense()) != "sense" || failed.Validate() != nil {
		t.Errorf("answer %+v: %v", failed, failed.Validate())
	}
}

func TestResiduals(t *testing.T) {
	for _, c := range []struct {
		moved, size uint32
		in, out     RspFlags
		count       uint32
	}{
		{96, 255, DataInUnder, DataOutUnder, 159},
		{255, 255, 0, 0, 0},
		{300, 255, DataInOver, DataOutOver, 45},
	} {
		m := Rsp{Flags: SenseValid}
		m.SetResidualIn(c.moved, c.size)
		if m.Flags != SenseValid|c.in || m.DataInResidual != c.count {
			t.Errorf("in, %d of %d: flags %#x, residual %d", c.moved, c.size, m.Flags, m.DataInResidual)
		}
		m = Rsp{}
		m.SetResidualOut(c.moved, c.size)
		if m.Flags != c.out || m.DataOutResidual != c.count {
			t.Errorf("out, %d of %d: flags %#x, residual %d", c.moved, c.size, m.Flags, m.DataOutResidual)
		}
	}
}

func TestEventSense(t *testing.T) {
	m := AERReq{Type: TypeAERReq, SenseLength: 5, Body: []byte("sens")}
	wire, _ := m.AppendBinary(nil)
	m, err := ParseAERReq(wire)
	wantFault(t, "cut sense", err, "sense_length")
	if m.Sense() != nil {
		t.Errorf("sense %q of a cut event", m.Sense())
	}
}

func TestCredits(t *testing.T) {
	c := NewCredits(3)
	for i, want := range []bool{true, true, false} {
		if got := c.TakeCommand(); got != want {
			t.Errorf("command %d with 3 credits: %v, want %v", i+1, got, want)
		}
	}
	for i, want := range []bool{true, false} {
		if got := c.TakeTaskManagement(); got != want {
			t.Errorf("task management %d with the last credit: %v, want %v", i+1, got, want)
		}
	}
	for _, step := range []struct{ delta, want int32 }{
		{0, 0}, {3, 3}, {-1, 2}, {-5, -3}, {math.MinInt32, math.MinInt32}, {-1, math.MinInt32},
		{math.MaxInt32, -1}, {math.MaxInt32, math.MaxInt32 - 1}, {2, math.MaxInt32},
	} {
		if c.Add(step.delta); c.Limit() != step.want {
			t.Errorf("after %d the limit is %d, want %d", step.delta, c.Limit(), step.want)
		}
	}
	c = NewCredits(-3)
	if c.TakeCommand() || c.TakeTaskManagement() {
		t.Error("a negative limit gave a credit")
	}
}

func TestCDBLength(t *testing.T) {
	for opcode, want := range map[uint8]int{0x00: 6, 0x12: 6, 0x28: 10, 0x5a: 10, 0x7f: 0, 0x88: 16, 0xa0: 12, 0xc0: 0} {
		if got := CDBLength(opcode); got != want {
			t.Errorf("operation %#x has %d bytes, want %d", opcode, got, want)
		}
	}
}
