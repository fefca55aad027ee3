// SPDX-License-Identifier: Apache-2.0

package subject

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sync"

	"github.com/ibnbd/ibnbd/conformance/kit/machine"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/vm/agent"
)

// clientStatus is what is read of what a client tells of itself.
type clientStatus struct {
	Change  uint64 // grows with every change of what is not a counter
	Session string
	Policy  string
	NBD     string `json:"nbd_socket"`
	Devices []clientDevice
	Paths   []struct {
		Name, State string
		Stats       *struct{ Reads, Writes uint64 }
	}
	Bounds *ibtrs.Bounds
}

// clientDevice is a device that a client has mapped.
type clientDevice struct {
	Path, State, Node string
}

// referenceSession is a client that runs, as it tells of itself: it writes a line whenever its state has changed, so nobody
// has to ask.
type referenceSession struct {
	name    string
	process *agent.Process
	devices []Device // that have a disk

	mu   sync.Mutex
	last clientStatus
	news chan struct{} // closed and replaced with each line
}

// startClient starts the client of a new session and returns when it has mapped its first device.
func (i *ReferenceInitiator) startClient(ctx context.Context, r MapRequest) (*referenceSession, error) {
	s := &referenceSession{name: r.Session, news: make(chan struct{})}
	var early bytes.Buffer
	serving := false // read and written where the output is, one piece after the other
	c := machine.Command(clientProgram, append(i.mapArgs(r), "--json", "--session", r.Session)...)
	c.Stdout = &machine.Lines{Do: func(line []byte) { serving = true; s.take(line) }}
	c.Stderr = io.MultiWriter(&i.said, &machine.Lines{Do: func(line []byte) {
		if !serving {
			early.Write(append(line, '\n'))
		}
	}})
	var err error
	if s.process, err = i.host.Agent().Start(context.WithoutCancel(ctx), c); err != nil { // it lives until Unmap
		return nil, err
	}
	const firstLine = 1
	if err := s.await(ctx, firstLine); err != nil {
		select {
		case <-s.process.Done():
			return nil, machine.StartFailure(s.process, early.String())
		default:
			_ = s.process.Kill() // it is given up either way
			return nil, err
		}
	}
	return s, nil
}

// take reads a line of the client.
func (s *referenceSession) take(line []byte) {
	var st clientStatus
	if err := json.Unmarshal(line, &st); err != nil {
		return // a change that is then missed is waited for in vain, and that is told
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = st
	close(s.news)
	s.news = make(chan struct{})
}

// now is what the client told last.
func (s *referenceSession) now() clientStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

// node is the path of the disk of a device that it has mapped, "" if there is none.
func (s *referenceSession) node(export string) string {
	for _, d := range s.now().Devices {
		if d.Path == export {
			return d.Node
		}
	}
	return ""
}

// await waits until the client has told of a change.
func (s *referenceSession) await(ctx context.Context, change uint64) error {
	for {
		s.mu.Lock()
		seen, news := s.last.Change >= change, s.news
		s.mu.Unlock()
		if seen {
			return nil
		}
		select {
		case <-news:
		case <-s.process.Done():
			return s.awaitEnd(ctx)
		case <-ctx.Done():
			return fmt.Errorf("the client does not tell of change %d: %w", change, context.Cause(ctx))
		}
	}
}

// ended says whether the client has ended.
func (s *referenceSession) ended() bool {
	select {
	case <-s.process.Done():
		return true
	default:
		return false
	}
}

// awaitEnd waits until the client has ended, which must be in good order.
func (s *referenceSession) awaitEnd(ctx context.Context) error {
	select {
	case <-s.process.Done():
	case <-ctx.Done():
		return fmt.Errorf("the client does not end: %w", context.Cause(ctx))
	}
	result, err := s.process.Wait()
	if err != nil {
		return err
	}
	if err := result.Err(); err != nil {
		return fmt.Errorf("the client ended badly: %w", err)
	}
	return nil
}
