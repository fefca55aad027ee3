// SPDX-License-Identifier: Apache-2.0

package fabric

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// Fabric is a set of rails that share one directory for sockets and one list of events. All its methods, and those of what
// hangs on it, may be called from any goroutine.
type Fabric struct {
	dir    string
	events eventLog

	mu    sync.Mutex // guards the fields below
	rails []*Rail
	done  bool
}

// ErrClosed is what an operation on a closed fabric, rail, port or station returns.
var ErrClosed = errors.New("fabric: closed")

// New returns a fabric without rails, which makes its sockets in dir (created if missing). Keep dir short: a Unix socket's
// path has at most 107 bytes.
func New(dir string) (*Fabric, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("fabric: make the directory for sockets: %w", err)
	}
	return &Fabric{dir: dir}, nil
}

// AddRail adds a broadcast domain. The name is unique in the fabric and appears in file names and evidence.
func (f *Fabric) AddRail(name string) (*Rail, error) {
	if err := checkName("rail", name); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.done {
		return nil, ErrClosed
	}
	for _, r := range f.rails {
		if r.name == name {
			return nil, fmt.Errorf("fabric: add rail %q: there is one of that name", name)
		}
	}
	r := newRail(f, name)
	f.rails = append(f.rails, r)
	return r, nil
}

// Rails returns the rails in the order in which they were added.
func (f *Fabric) Rails() []*Rail {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]*Rail(nil), f.rails...)
}

// Events returns what happened on all rails from event number since on (0 is the first), in order, and the number to ask
// from next time. The fabric keeps the last 65,536; a first event whose Number is above since says that older ones are gone.
func (f *Fabric) Events(since uint64) (events []Event, next uint64) {
	return f.events.from(since)
}

// Mark writes a line of the caller's into the events, such as the begin and the end of a spec.
func (f *Fabric) Mark(what string) {
	f.events.add(Event{Kind: Marked, At: time.Now(), Detail: what})
}

// Reset removes every fault from every rail; frames that faults held go out, carriers come back.
func (f *Fabric) Reset() error {
	var errs []error
	for _, r := range f.Rails() {
		errs = append(errs, r.ClearFaults())
	}
	return errors.Join(errs...)
}

// Close takes down all rails with their ports, stations and recordings. Frames that faults hold are thrown away.
func (f *Fabric) Close() error {
	f.mu.Lock()
	rails := f.rails
	f.rails, f.done = nil, true
	f.mu.Unlock()
	var errs []error
	for _, r := range rails {
		errs = append(errs, r.close())
	}
	return errors.Join(errs...)
}

// checkName refuses a name that would not do in a file name.
func checkName(what, name string) error {
	if name == "" {
		return fmt.Errorf("fabric: the name of a %s is empty", what)
	}
	for _, c := range name {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		digit := c >= '0' && c <= '9'
		if !letter && !digit && c != '-' && c != '_' {
			return fmt.Errorf("fabric: the name %q of a %s has a %q; letters, digits, '-' and '_' may be used", name, what, c)
		}
	}
	return nil
}
