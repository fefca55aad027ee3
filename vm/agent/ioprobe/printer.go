// SPDX-License-Identifier: Apache-2.0

package ioprobe

import (
	"encoding/json"
	"io"
	"sync"
)

// A printer writes records in the background, so that a reader who is slow does not hold up the prober.
type printer struct {
	mu     sync.Mutex
	filled *sync.Cond
	queue  []Record
	closed bool
	done   chan error
}

func newPrinter(out io.Writer) *printer {
	p := &printer{done: make(chan error, 1)}
	p.filled = sync.NewCond(&p.mu)
	go func() { p.done <- p.write(json.NewEncoder(out)) }()
	return p
}

func (p *printer) print(r Record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queue = append(p.queue, r)
	p.filled.Signal()
}

// close returns when everything is written.
func (p *printer) close() error {
	p.mu.Lock()
	p.closed = true
	p.filled.Signal()
	p.mu.Unlock()
	return <-p.done
}

func (p *printer) write(out *json.Encoder) error {
	for {
		records := p.take()
		if records == nil {
			return nil
		}
		for _, r := range records {
			if err := out.Encode(r); err != nil {
				return err
			}
		}
	}
}

// take waits for records; nil is the end.
func (p *printer) take() []Record {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.queue) == 0 && !p.closed {
		p.filled.Wait()
	}
	records := p.queue
	p.queue = nil
	return records
}
