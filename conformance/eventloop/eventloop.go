// SPDX-License-Identifier: Apache-2.0

// Package eventloop has things done one after the other in one goroutine, which so owns what they touch, and lets others wait until
// something is so. The scripted peers of all protocols run in it.
package eventloop

import (
	"context"
	"fmt"
	"sync"
)

// Loop is an event loop. It must be made with [New], and ended with Close.
type Loop struct {
	mu    sync.Mutex
	queue []event
	wake  chan struct{} // one token: the queue is not empty
	news  chan struct{} // closed, and replaced, after something has happened
	ended chan struct{}
}

// event is something to do.
type event struct {
	do     func()
	silent bool // it only looks, and is no news
}

// New starts an event loop.
func New() *Loop {
	l := &Loop{wake: make(chan struct{}, 1), news: make(chan struct{}), ended: make(chan struct{})}
	go l.run()
	return l
}

func (l *Loop) run() {
	defer close(l.ended)
	for range l.wake {
		l.mu.Lock()
		queue := l.queue
		l.queue = nil
		l.mu.Unlock()
		news := false
		for _, e := range queue {
			e.do()
			news = news || !e.silent
		}
		if news {
			l.mu.Lock()
			close(l.news)
			l.news = make(chan struct{})
			l.mu.Unlock()
		}
	}
}

// Post has something done, and does not wait. It must not be called after Close.
func (l *Loop) Post(do func()) { l.post(event{do: do}) }

func (l *Loop) post(e event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue = append(l.queue, e)
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Do has something done and returns when it has ended. It must not be called in the loop, nor after Close.
func (l *Loop) Do(do func()) { l.wait(event{do: do}) }

func (l *Loop) wait(e event) {
	done := make(chan struct{})
	do := e.do
	e.do = func() { do(); close(done) }
	l.post(e)
	<-done
}

// Await waits until something is so. It looks in the loop, whenever something has happened there.
func (l *Loop) Await(ctx context.Context, what string, so func() bool) error {
	for {
		l.mu.Lock()
		news := l.news
		l.mu.Unlock()
		is := false
		l.wait(event{do: func() { is = so() }, silent: true})
		if is {
			return nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return fmt.Errorf("wait until %s: %w", what, context.Cause(ctx))
		}
	}
}

// Close ends the loop, after what is under way.
func (l *Loop) Close() {
	close(l.wake)
	<-l.ended
}
