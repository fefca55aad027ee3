// SPDX-License-Identifier: Apache-2.0

package ibtrs_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// TestLegacyClients connects a client that leaves garbage where the first-connection flag is now, and never sets it
// (Clause IBTRS-CONN-052).
func TestLegacyClients(t *testing.T) {
	for _, legacy := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			l := newLab(t)
			scfg := l.serverConfig()
			scfg.LegacyClients = legacy
			l.listen(scfg)
			cfg := l.clientConfig(1)
			cfg.Rules.EditConnRequest = func(_ *ibtrs.Path, _ int, r *ibtrs.ConnRequest) {
				r.FirstConnection = 0xEE
				copy(r.Reserved[:], "left on the stack")
			}
			s, err := ibtrs.Open(context.Background(), cfg)
			if !legacy {
				if !errors.Is(err, ibtrs.ENXIO) {
					t.Errorf("open without the switch: %v, want ENXIO", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			l.putGet(s, 1, 4096)
			if l.server.Config().KeyRefresh {
				t.Error("key refresh is on for original clients, who do not know it")
			}
		})
	}
}

// TestOpeningFailsAsAWhole lets the second path of a session fail (Clause IBTRS-CONN-049).
func TestOpeningFailsAsAWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		scfg := l.serverConfig()
		scfg.Devices = scfg.Devices[:1]
		s := l.listen(scfg)
		if _, err := ibtrs.Open(context.Background(), l.clientConfig(2)); !errors.Is(err, ibtrs.ECONNRESET) {
			t.Errorf("open: %v, want ECONNRESET", err)
		}
		synctest.Wait()
		if n := len(s.Sessions()); n != 0 {
			t.Errorf("%d sessions are left on the server", n)
		}
	})
}
