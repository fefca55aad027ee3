// SPDX-License-Identifier: Apache-2.0

package eventloop_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ibnbd/ibnbd/conformance/eventloop"
)

func TestEverythingIsDoneInOrder(t *testing.T) {
	l := eventloop.New()
	defer l.Close()
	var got, want []int
	for i := range 100 {
		want = append(want, i)
		l.Post(func() { got = append(got, i) })
	}
	l.Do(func() {
		if !slices.Equal(got, want) {
			t.Errorf("done: %v", got)
		}
	})
}

// TestOneAtATime counts from many goroutines without a lock: the race detector sees whoever is not in the loop.
func TestOneAtATime(t *testing.T) {
	l := eventloop.New()
	defer l.Close()
	count := 0
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for range 100 {
				l.Do(func() { count++ })
			}
		})
	}
	all.Wait()
	if count != 1600 {
		t.Errorf("%d things were done, must be 1600", count)
	}
}

func TestAwait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := eventloop.New()
		defer l.Close()
		ready, looks := false, 0
		so := func() bool { looks++; return ready }
		found := make(chan error)
		go func() { found <- l.Await(context.Background(), "it is ready", so) }()
		synctest.Wait()
		if looks != 1 {
			t.Errorf("it looked %d times, must be once: nothing has happened, and its own look is no news", looks)
		}
		l.Post(func() {})
		synctest.Wait()
		l.Post(func() { ready = true })
		if err := <-found; err != nil || looks != 3 {
			t.Errorf("%v after %d looks, must be found at the third", err, looks)
		}

		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		err := l.Await(ctx, "the disk is there", func() bool { return false })
		if !errors.Is(err, context.DeadlineExceeded) || err.Error() != "wait until the disk is there: context deadline exceeded" {
			t.Errorf("nothing came: %v", err)
		}
	})
}
