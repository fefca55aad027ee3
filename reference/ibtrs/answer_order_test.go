// SPDX-License-Identifier: Apache-2.0

package ibtrs_test

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/rdma"
)

// TestLastFirst: a server that is told so gives the last answer first, and its client does not mind (Clause IBTRS-IMM-014).
func TestLastFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const moment, writes = 5 * time.Millisecond, 3
		l := newLab(t)
		cfg := l.serverConfig()
		cfg.LastFirst = moment
		var mu sync.Mutex
		var answered []uint32
		cfg.Rules.EditResponse = func(_ *ibtrs.ServerPath, chunk uint32, _ *rdma.SendWR) {
			mu.Lock()
			defer mu.Unlock()
			answered = append(answered, chunk)
		}
		l.listen(cfg)
		s := l.connect(l.clientConfig(1))
		mu.Lock()
		answered = nil
		mu.Unlock()
		errs := make(chan error, writes)
		for i := range writes {
			go func() { errs <- put(s, uint64(i), pattern(i, 512)) }()
			synctest.Wait() // the server holds the answer
		}
		for range writes {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		mu.Lock()
		if want := []uint32{2, 1, 0}; !slices.Equal(answered, want) {
			t.Errorf("chunks are answered in the order %v, want %v", answered, want)
		}
		mu.Unlock()
		for i := range writes {
			if got, err := get(s, uint64(i), 512); err != nil || !slices.Equal(got, pattern(i, 512)) {
				t.Errorf("write %d: %v, or other data", i, err)
			}
		}
	})
}

func TestLastFirstHasALimit(t *testing.T) {
	for _, held := range []time.Duration{-1, 2 * time.Second} {
		cfg := ibtrs.DefaultServerConfig()
		cfg.LastFirst = held
		if err := cfg.Validate(); !errors.Is(err, ibtrs.EINVAL) {
			t.Errorf("answers that are held for %s: %v", held, err)
		}
	}
}
