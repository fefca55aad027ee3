// SPDX-License-Identifier: Apache-2.0

package ibtrs_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// keyModes runs a test in both modes of the server, under fake time.
func keyModes(t *testing.T, test func(t *testing.T, refresh bool)) {
	t.Helper()
	for name, refresh := range map[string]bool{"static keys": false, "key refresh": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, refresh) })
		})
	}
}

func TestReadsWhatWasWritten(t *testing.T) {
	keyModes(t, func(t *testing.T, refresh bool) {
		l := newLab(t)
		cfg := l.serverConfig()
		cfg.KeyRefresh = refresh
		l.listen(cfg)
		s := l.connect(l.clientConfig(1))
		for i, n := range []int{1, 511, 512, 4096, int(smallGeometry.MaxIOSize)} {
			l.putGet(s, uint64(i), n)
		}
		if n := s.Inflight(); n != 0 {
			t.Errorf("%d permits are in use after the last request", n)
		}
		if n := s.Strays(); n != 0 {
			t.Errorf("%d responses came for no request", n)
		}
	})
}

func TestErrorsOfTheServerArrive(t *testing.T) {
	keyModes(t, func(t *testing.T, refresh bool) {
		l := newLab(t)
		cfg := l.serverConfig()
		cfg.KeyRefresh = refresh
		l.listen(cfg)
		s := l.connect(l.clientConfig(1))
		if _, err := get(s, 7, 512); !errors.Is(err, ibtrs.ENOENT) {
			t.Errorf("read of nothing: %v, want ENOENT", err)
		}
		err := s.Do(context.Background(), &ibtrs.Request{Direction: ibtrs.Write, Header: []byte{1}})
		if !errors.Is(err, ibtrs.EINVAL) {
			t.Errorf("write with a short header: %v, want EINVAL", err)
		}
		l.putGet(s, 1, 512)
	})
}
