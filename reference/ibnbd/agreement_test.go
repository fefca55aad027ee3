// SPDX-License-Identifier: Apache-2.0

package ibnbd

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAnswer(t *testing.T) {
	almost := NewSessInfo(AllFeatures)
	almost.Marker[7] = '2'
	oldWithMarker := NewSessInfo(AllFeatures)
	oldWithMarker.Version = 1
	newer := NewSessInfo(FeatureIOMode | 1<<30)
	newer.Version = 9
	for _, c := range []struct {
		name    string
		request SessInfo
		offer   Features
		want    Agreement
	}{
		{"original", SessInfo{Version: 1}, AllFeatures, Agreement{ProfileL, 1, 0}},
		{"original with stack garbage", oldWithMarker, AllFeatures, Agreement{ProfileL, 1, 0}},
		{"mainline", SessInfo{Version: 2}, AllFeatures, Agreement{ProfileM, 2, 0}},
		{"wrong marker", almost, AllFeatures, Agreement{ProfileM, 2, 0}},
		{"this project", NewSessInfo(AllFeatures), AllFeatures, Agreement{ProfileX, 2, AllFeatures}},
		{"fewer features", NewSessInfo(AllFeatures), FeatureFlags, Agreement{ProfileX, 2, FeatureFlags}},
		{"a later version", newer, AllFeatures, Agreement{ProfileX, 2, FeatureIOMode}},
		{"version 0", SessInfo{}, AllFeatures, Agreement{}},
	} {
		response, got := Answer(c.request, c.offer)
		if got != c.want {
			t.Errorf("%s: server agrees on %+v, want %+v", c.name, got, c.want)
		}
		if hasMarker := response.Marker == Marker; hasMarker != (c.want.Profile == ProfileX) {
			t.Errorf("%s: marker in the response: %v", c.name, hasMarker)
		}
		if response.Version != c.want.Version || response.Features != c.want.Features || response.Type != TypeSessInfoResponse {
			t.Errorf("%s: response %+v", c.name, response)
		}
		if c.request.Version >= 2 {
			if client := Agreed(response, AllFeatures); client != got {
				t.Errorf("%s: client agrees on %+v, server on %+v", c.name, client, got)
			}
		}
	}
}

var (
	agreedL     = Agreement{ProfileL, 1, 0}
	agreedM     = Agreement{ProfileM, 2, 0}
	agreedX     = Agreement{ProfileX, 2, AllFeatures}
	agreedXOnly = Agreement{ProfileX, 2, 0}
)

func TestIOModeOfOpen(t *testing.T) {
	for _, c := range []struct {
		a    Agreement
		mode IOMode
		want IOMode
	}{
		{agreedL, FileIO, FileIO}, {agreedL, BlockIO, BlockIO}, {agreedL, AutoIOMode, BlockIO}, {agreedL, 0xff, BlockIO},
		{agreedX, FileIO, FileIO}, {agreedX, AutoIOMode, BlockIO}, {agreedXOnly, FileIO, BlockIO}, {Agreement{}, FileIO, BlockIO},
	} {
		if got := c.a.IOMode(OpenRequest{IOMode: c.mode}, BlockIO); got != c.want {
			t.Errorf("%+v, byte %d: %v, want %v", c.a, c.mode, got, c.want)
		}
	}
	for b := range 256 {
		if got := agreedM.IOMode(OpenRequest{IOMode: IOMode(b)}, FileIO); got != FileIO {
			t.Errorf("mainline byte %d: %v, want the server's default", b, got)
		}
	}
}

func TestDescribe(t *testing.T) {
	traits := Traits{Cache: CacheWriteBack, IOMode: FileIO, Rotational: true, WriteZeroesSectors: 100, WriteSameSectors: 200}
	for _, c := range []struct {
		name    string
		a       Agreement
		bytes   [3]byte // 44, 45, 46
		limit   uint32
		traitsC Traits // as the client understands them
	}{
		{"L", agreedL, [3]byte{1, 0, 0}, 200, Traits{CacheFUA | CacheWriteBack, FileIO, true, 0, 200}},
		{"M", agreedM, [3]byte{0, 2, 0}, 100, Traits{CacheWriteBack, BlockIO, false, 100, 0}},
		{"X", agreedX, [3]byte{1, 2, 0}, 100, Traits{CacheWriteBack, FileIO, true, 100, 0}},
		{"X without features", agreedXOnly, [3]byte{0, 2, 0}, 100, Traits{CacheWriteBack, BlockIO, false, 100, 0}},
	} {
		r := OpenResponse{Rotational: 9, CachePolicy: 9, IOMode: 9}
		c.a.Describe(&r, traits)
		if got := [3]byte{r.Rotational, byte(r.CachePolicy), byte(r.IOMode)}; got != c.bytes || r.MaxWriteZeroesSectors != c.limit {
			t.Errorf("%s: bytes 44 to 46 are %v, limit %d; want %v, %d", c.name, got, r.MaxWriteZeroesSectors, c.bytes, c.limit)
		}
		if diff := cmp.Diff(c.traitsC, c.a.Traits(r)); diff != "" {
			t.Errorf("%s: the client understands (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestTraitsOfAnUnclearedReply(t *testing.T) {
	r := OpenResponse{CachePolicy: CacheFUA, MaxWriteZeroesSectors: 100}
	r.Reserved[8] = 1
	if got := agreedM.Traits(r); got.Cache != CacheWriteBack || got.WriteZeroesSectors != 0 {
		t.Errorf("byte 55 set: %+v, want a volatile cache and no operation 5", got)
	}
	r.Reserved[8], r.IOMode = 0, 1
	if got := agreedM.Traits(r); got.Cache != CacheWriteBack {
		t.Errorf("byte 46 set: %+v, want a volatile cache", got)
	}
	if got := agreedX.Traits(r); got.Cache != CacheFUA || got.IOMode != BlockIO {
		t.Errorf("byte 46 of profile X: %+v", got)
	}
}

func TestWriteSameIsAgreedOn(t *testing.T) {
	for a, want := range map[Agreement]bool{agreedL: true, agreedM: false, agreedX: true, agreedXOnly: false} {
		if a.WriteSame() != want {
			t.Errorf("%+v: write-same %v, want %v", a, a.WriteSame(), want)
		}
	}
}
