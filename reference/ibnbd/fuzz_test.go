// SPDX-License-Identifier: Apache-2.0

package ibnbd

import (
	"errors"
	"strings"
	"testing"

	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/layout"
	"github.com/ibnbd/ibnbd/reference/layout/layouttest"
)

func FuzzParseSessInfo(f *testing.F) {
	for _, m := range []SessInfo{NewSessInfo(AllFeatures), {Version: 1}, {Type: TypeSessInfoResponse, Version: 2}} {
		seed, _ := m.AppendBinary(nil)
		f.Add(seed, uint32(AllFeatures))
	}
	f.Fuzz(func(t *testing.T, b []byte, offer uint32) {
		size := func(SessInfo) int { return SessInfoSize }
		layouttest.RoundTrip(t, b, ParseSessInfo, size)
		layouttest.RoundTrip(t, b, ParseSessInfoResponse, size)
		if m, err := ParseSessInfo(b); err == nil {
			response, a := Answer(m, Features(offer))
			if a.Version > Version || a.Features&^(m.Features&Features(offer)) != 0 || response.Version != a.Version {
				t.Errorf("agreed on %+v with %+v offering %#x", a, m, offer)
			}
		}
	})
}

func FuzzParseOpenRequest(f *testing.F) {
	seed, _ := goldenOpen(f).AppendBinary(nil)
	f.Add(seed)
	f.Fuzz(func(t *testing.T, b []byte) {
		layouttest.RoundTrip(t, b, ParseOpenRequest, func(OpenRequest) int { return OpenRequestSize })
	})
}

func FuzzParseOpenResponse(f *testing.F) {
	seed, _ := goldenOpenResponse.AppendBinary(nil)
	f.Add(seed)
	f.Fuzz(func(t *testing.T, b []byte) {
		layouttest.RoundTrip(t, b, ParseOpenResponse, func(OpenResponse) int { return OpenResponseSize })
	})
}

func FuzzParseIORequest(f *testing.F) {
	flush, _ := NewIORequest(OpFlush, FlagSync|FlagFUA, 0, FlushSector, 0).AppendBinary(nil)
	f.Add(flush, uint32(0), true)
	f.Add(flush[:24], uint32(512), false)
	f.Fuzz(func(t *testing.T, b []byte, dataLength uint32, read bool) {
		layouttest.RoundTrip(t, b, ParseIORequest, IORequest.Length)
		m, err := ParseIORequest(b)
		if errors.Is(err, layout.ErrShort) {
			return
		}
		direction := ibtrs.Write
		if read {
			direction = ibtrs.Read
		}
		err = m.Check(direction, dataLength, false)
		if err == nil && dataLength > 0 && dataLength != m.Size {
			t.Errorf("%+v passed with %d bytes of data", m, dataLength)
		}
		if err != nil && !errors.Is(err, ibtrs.EINVAL) && !errors.Is(err, ibtrs.EOPNOTSUPP) {
			t.Errorf("%v is no answer", err)
		}
	})
}

func FuzzParseCloseRequest(f *testing.F) {
	f.Add([]byte{5, 0, 0, 0, 7, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		layouttest.RoundTrip(t, b, ParseCloseRequest, func(CloseRequest) int { return CloseRequestSize })
	})
}

func FuzzFullPath(f *testing.F) {
	f.Add("/exports/%SESSNAME%/x", "blya", "dev//ram0")
	f.Fuzz(func(t *testing.T, search, session, device string) {
		full, err := FullPath(search, session, device)
		if err != nil {
			return
		}
		if len(full) > MaxFullPath || strings.Contains(full, "//") {
			t.Errorf("%q", full)
		}
	})
}
