// SPDX-License-Identifier: Apache-2.0

package ibtrs

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

func TestPermitsLowestFirst(t *testing.T) {
	p := newPermits(70)
	for want := range 70 {
		if k, ok := p.try(); !ok || k != want {
			t.Fatalf("permit %d, %t; want %d", k, ok, want)
		}
	}
	if _, ok := p.try(); ok {
		t.Fatal("there are more permits than chunks")
	}
	for _, k := range []int{68, 3, 65} {
		p.release(k)
	}
	for _, want := range []int{3, 65, 68} {
		if k, _ := p.try(); k != want {
			t.Errorf("permit %d, want %d", k, want)
		}
	}
}

func TestPermitsServeTheLineInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPermits(1)
		p.try()
		order := make(chan int, 3)
		ctx, cancel := context.WithCancel(context.Background())
		for i := range 3 {
			go func() {
				wait := context.Background()
				if i == 1 {
					wait = ctx
				}
				_, err := p.take(wait, &permitWaiter{given: make(chan int, 1)})
				if (err != nil) != (i == 1) {
					t.Errorf("waiter %d: %v", i, err)
				}
				order <- i
			}()
			synctest.Wait() // so that they stand in line in this order
		}
		cancel()
		synctest.Wait()
		p.release(0)
		synctest.Wait()
		if _, ok := p.try(); ok {
			t.Error("somebody overtook the line")
		}
		p.release(0)
		synctest.Wait()
		for _, want := range []int{1, 0, 2} {
			if got := <-order; got != want {
				t.Errorf("waiter %d, want %d", got, want)
			}
		}
	})
}

func TestPermitsStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPermits(1)
		p.try()
		ended := make(chan error, 1)
		go func() {
			_, err := p.take(context.Background(), &permitWaiter{given: make(chan int, 1)})
			ended <- err
		}()
		synctest.Wait()
		p.stop(errSessionClosed)
		if err := <-ended; !errors.Is(err, ECONNABORTED) {
			t.Errorf("waiter: %v", err)
		}
		p.release(0)
		if _, err := p.take(context.Background(), &permitWaiter{}); !errors.Is(err, ECONNABORTED) {
			t.Errorf("take after stop: %v", err)
		}
	})
}
