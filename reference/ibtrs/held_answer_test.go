// SPDX-License-Identifier: Apache-2.0

package ibtrs_test

import (
	"testing"
	"testing/synctest"

	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// TestAnswerHeldUntilItsPathHasGone: an answer that a test holds back, and gives when the path has gone with its memory, is not sent.
func TestAnswerHeldUntilItsPathHasGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		held, gone := make(chan func(), 1), make(chan struct{})
		cfg := l.serverConfig()
		cfg.KeyRefresh = true
		cfg.Rules.Intercept = func(_ *ibtrs.ServerPath, _ uint32, _ ibtrs.Errno, answer func()) { held <- answer }
		cfg.Transition = func(_ *ibtrs.ServerPath, _, to ibtrs.PathState) {
			if to == ibtrs.StateClosed {
				close(gone)
			}
		}
		l.listen(cfg)
		s := l.connect(l.clientConfig(1))
		ended := make(chan error, 1)
		go func() { ended <- put(s, 1, pattern(1, 512)) }()
		answer := <-held
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		<-gone
		answer()
		if <-ended == nil {
			t.Error("a write that was not answered has succeeded")
		}
	})
}
