// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"

	"github.com/ibnbd/ibnbd/vm/agent"
)

// Server is a program of the reference that serves at addresses until it is told to end.
type Server struct {
	Host     Host
	Programs Programs
	Program  string // its name

	said    Transcript
	client  *agent.Client // of the machine that it was started on
	process *agent.Process
}

// TakeLog gives what the server has said since it was last asked.
func (s *Server) TakeLog() []byte { return s.said.Take() }

// LogLines is how many lines the server has ever said.
func (s *Server) LogLines() int { return s.said.Lines() }

// Serve starts the server and reads its log until that has said so often that the server listens.
func (s *Server) Serve(ctx context.Context, addresses int, args ...string) error {
	if err := s.Programs.Install(ctx, s.Host, s.Program); err != nil {
		return err
	}
	var early bytes.Buffer // what it says before it serves
	listening := make(chan struct{})
	count := 0
	log := &Lines{Do: func(line []byte) {
		if count >= addresses {
			return
		}
		early.Write(append(line, '\n'))
		if bytes.Contains(line, []byte("msg=listening ")) {
			if count++; count == addresses {
				close(listening)
			}
		}
	}}
	c := Command(s.Program, args...)
	c.Stderr = io.MultiWriter(&s.said, log)
	client := s.Host.Agent()
	process, err := client.Start(context.WithoutCancel(ctx), c) // it lives until End
	if err != nil {
		return err
	}
	select {
	case <-listening:
		s.client, s.process = client, process
		return nil
	case <-process.Done():
		return StartFailure(process, early.String())
	case <-ctx.Done():
		_ = process.Kill() // it is given up either way
		return fmt.Errorf("it does not listen: %w", context.Cause(ctx))
	}
}

// End ends the server in good order. One that does not end in time is killed. Ending one that does not serve is no error.
func (s *Server) End(ctx context.Context) error {
	process := s.Serving()
	s.process = nil
	if process == nil {
		return nil
	}
	if err := process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-process.Done():
	case <-ctx.Done():
		_ = process.Kill() // that it did not end is the error
		return fmt.Errorf("it does not end: %w", context.Cause(ctx))
	}
	result, err := process.Wait()
	if err != nil {
		return err
	}
	return result.Err()
}

// Serving is the server's process; nil if there is none on the machine that the host has now.
func (s *Server) Serving() *agent.Process {
	if s.client != s.Host.Agent() {
		return nil
	}
	return s.process
}

// Died says how the server ended that should be serving; nil if it serves, or was told to end.
func (s *Server) Died() error {
	process := s.Serving()
	if process == nil {
		return nil
	}
	select {
	case <-process.Done():
	default:
		return nil
	}
	result, err := process.Wait()
	if err == nil {
		err = result.Err()
	}
	if err == nil {
		err = errors.New("it was told to end")
	}
	return fmt.Errorf("the server ended by itself: %w", err)
}
