// SPDX-License-Identifier: Apache-2.0

package srp

import (
	"encoding"
	"errors"
	"syscall"
	"testing"

	"github.com/ibnbd/ibnbd/reference/layout"
	"github.com/ibnbd/ibnbd/reference/layout/layouttest"
)

// seed adds the bytes of a unit to the corpus.
func seed(f *testing.F, unit encoding.BinaryAppender) {
	b, err := unit.AppendBinary(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
}

func fixed[M any](n int) func(M) int { return func(M) int { return n } }

func FuzzParseLogin(f *testing.F) {
	seed(f, goldenLogin)
	seed(f, goldenLogin.CM())
	seed(f, LoginRsp{Type: TypeLoginRsp, RequestLimitDelta: 128, MaxInitiatorIULength: 8276})
	seed(f, LoginRej{Type: TypeLoginRej, Reason: RejectNoResources})
	f.Fuzz(func(t *testing.T, b []byte) {
		layouttest.RoundTrip(t, b, ParseLoginReq, fixed[LoginReq](LoginReqSize))
		layouttest.RoundTrip(t, b, ParseLoginReqCM, fixed[LoginReqCM](LoginReqCMSize))
		layouttest.RoundTrip(t, b, ParseLoginRsp, fixed[LoginRsp](LoginRspSize))
		layouttest.RoundTrip(t, b, ParseLoginRej, fixed[LoginRej](LoginRejSize))
	})
}

func FuzzParseCmd(f *testing.F) {
	direct := DirectBuffer(MemoryDescriptor{0xff139a8c65ddbf00, 0x231c, 36})
	list := MemoryDescriptors{}.Append(MemoryDescriptor{1, 2, 512}, MemoryDescriptor{3, 4, 512})
	indirect := IndirectBuffer(MemoryDescriptor{5, 6, 32}, list, 1024)
	for _, c := range []struct {
		cdb     int
		out, in Buffer
	}{{6, Buffer{}, Buffer{}}, {6, Buffer{}, direct}, {32, indirect, direct}, {10, ImmediateBuffer(make([]byte, 32)), indirect}} {
		b, err := NewCmd(TagOf(4), LUN{}).AppendWith(nil, make([]byte, c.cdb), c.out, c.in, 200)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, uint16(200))
	}
	f.Fuzz(func(t *testing.T, b []byte, immediateOffset uint16) {
		layouttest.RoundTrip(t, b, ParseCmd, Cmd.Size)
		m, err := ParseCmd(b)
		if errors.Is(err, layout.ErrShort) {
			return
		}
		_ = m.AdditionalCDB()
		if _, inErr := m.DataIn(); err != nil && inErr == nil {
			t.Error("data-in of an invalid command")
		}
		out, err := m.DataOut(immediateOffset)
		if err == nil && out.Format == Immediate && len(out.Data) != int(out.Length) {
			t.Errorf("%d bytes of immediate data, %d announced", len(out.Data), out.Length)
		}
	})
}

func FuzzParseRsp(f *testing.F) {
	seed(f, Rsp{Type: TypeRsp, Tag: TagOf(4)})
	seed(f, Rsp{Type: TypeRsp, Flags: SenseValid, Status: 2, SenseLength: 18, Body: make([]byte, 18)})
	seed(f, Rsp{Type: TypeRsp, Flags: RspValid, ResponseLength: 4, Body: make([]byte, 4)})
	f.Fuzz(func(t *testing.T, b []byte) {
		layouttest.RoundTrip(t, b, ParseRsp, Rsp.Size)
		m, err := ParseRsp(b)
		if errors.Is(err, layout.ErrShort) {
			return
		}
		m.ResponseCode()
		if n := len(m.Sense()); n != 0 && n != int(m.SenseLength) {
			t.Errorf("%d bytes of sense, %d announced", n, m.SenseLength)
		}
	})
}

func FuzzParseSmallUnits(f *testing.F) {
	seed(f, CredReq{Type: TypeCredReq, RequestLimitDelta: -1})
	seed(f, CredRsp{Type: TypeCredRsp})
	seed(f, AERReq{Type: TypeAERReq, SenseLength: 4, Body: make([]byte, 4)})
	seed(f, AERRsp{Type: TypeAERRsp})
	seed(f, TskMgmt{Type: TypeTskMgmt, Function: AbortTask})
	seed(f, ILogout{Type: TypeILogout})
	seed(f, TLogout{Type: TypeTLogout, Reason: LogoutInactive})
	seed(f, MemoryDescriptor{1, 2, 3})
	f.Fuzz(func(t *testing.T, b []byte) {
		layouttest.RoundTrip(t, b, ParseCredReq, fixed[CredReq](CredReqSize))
		layouttest.RoundTrip(t, b, ParseCredRsp, fixed[CredRsp](CredRspSize))
		layouttest.RoundTrip(t, b, ParseAERReq, AERReq.Size)
		layouttest.RoundTrip(t, b, ParseAERRsp, fixed[AERRsp](AERRspSize))
		layouttest.RoundTrip(t, b, ParseTskMgmt, fixed[TskMgmt](TskMgmtSize))
		layouttest.RoundTrip(t, b, ParseILogout, fixed[ILogout](ILogoutSize))
		layouttest.RoundTrip(t, b, ParseTLogout, fixed[TLogout](TLogoutSize))
		layouttest.RoundTrip(t, b, ParseMemoryDescriptor, fixed[MemoryDescriptor](MemoryDescriptorSize))
	})
}

func FuzzParseLoginString(f *testing.F) {
	f.Add(required + ",src=10.0.0.2,tl_retry_count=5")
	f.Add("id_ext=1,ioc_guid=2,dgid=fe80000000000000505400fffe000001,pkey=ffff,service_id=1")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseLoginString(text)
		if err != nil && !errors.Is(err, syscall.EINVAL) {
			t.Errorf("%v is not EINVAL", err)
		}
		if err == nil && (s.Dest.IsValid() == s.DGID.IsValid() && !s.Dest.IsValid() || s.TLRetryCount < 2 || s.TLRetryCount > 7) {
			t.Errorf("%q passed as %+v", text, s)
		}
	})
}
