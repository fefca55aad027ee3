// SPDX-License-Identifier: Apache-2.0

package qemu

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"
)

// Machine is one running QEMU. Its methods may be called from any goroutine.
type Machine struct {
	config  Config
	process *process
	monitor *monitor
	done    chan struct{} // closed when QEMU is gone and err is set

	mu       sync.Mutex // guards the fields below
	watchers []chan Event
	shutdown string // the reason in the SHUTDOWN event, if one came
	wanted   bool   // the end was asked for
	err      error
}

// ErrNotInstalled says that there is no QEMU program to run.
var ErrNotInstalled = errors.New("QEMU is not installed")

// startTimeout bounds the time from fork to a working QMP connection, on top of the caller's context.
const startTimeout = 30 * time.Second

// Start starts a machine and returns once QEMU answers; the guest is just beginning to boot then. The context bounds the
// start alone. Where QEMU is missing, the error is [ErrNotInstalled]; where it does not come up, an [ExitError] says why.
func Start(ctx context.Context, config Config) (*Machine, error) {
	config = config.withDefaults()
	if err := config.check(); err != nil {
		return nil, err
	}
	binary, err := exec.LookPath(config.Binary)
	if err != nil {
		return nil, fmt.Errorf("qemu: start machine %s: %w: install the package qemu-system-x86 (%w)", config.Name, ErrNotInstalled, err)
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	m := &Machine{config: config, done: make(chan struct{})}
	if err := m.launch(ctx, binary); err != nil {
		return nil, fmt.Errorf("qemu: start machine %s: %w", config.Name, err)
	}
	return m, nil
}

// launch forks QEMU and connects to it.
func (m *Machine) launch(ctx context.Context, binary string) error {
	ours, theirs, err := socketPair()
	if err != nil {
		return err
	}
	defer theirs.Close()
	conn, err := net.FileConn(ours)
	if err := errors.Join(err, ours.Close()); err != nil {
		return err
	}
	complaints, err := os.Create(m.stderrPath())
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	defer complaints.Close()
	cmd := exec.Command(binary, m.config.args()...)
	cmd.Stdout, cmd.Stderr = complaints, complaints
	cmd.ExtraFiles = []*os.File{theirs}
	if m.config.From != "" {
		state, err := os.Open(m.config.From)
		if err != nil {
			return errors.Join(err, conn.Close())
		}
		defer state.Close()
		cmd.ExtraFiles = append(cmd.ExtraFiles, state)
	}
	if m.process, err = spawn(cmd); err != nil {
		return errors.Join(err, conn.Close())
	}
	// The child has its own copy; without ours, its end shows here.
	_ = theirs.Close()
	if m.monitor, err = openMonitor(ctx, conn, m.event); err != nil {
		return m.failedStart(ctx, err)
	}
	// Stopped until now (-S), so that no event of the guest comes before there is somebody to hear it.
	if err := m.monitor.execute(ctx, "cont", nil); err != nil {
		err = m.failedStart(ctx, err)
		m.monitor.finish()
		return err
	}
	go m.watch()
	return nil
}

// failedStart ends what did not come up and says why.
func (m *Machine) failedStart(ctx context.Context, err error) error {
	if !errors.Is(err, errMonitorClosed) {
		m.process.kill()
		return err
	}
	select { // QEMU closed the connection, so it is about to end
	case <-m.process.done:
	case <-ctx.Done():
		m.process.kill()
	}
	return m.exitError()
}

// watch waits for QEMU's end and says what it was.
func (m *Machine) watch() {
	<-m.process.done
	m.monitor.finish()
	m.mu.Lock()
	if !m.wanted {
		m.err = m.exitError()
	}
	watchers := m.watchers
	m.watchers = nil
	m.mu.Unlock()
	close(m.done)
	for _, w := range watchers {
		close(w)
	}
}

// Config returns what the machine was started with, defaults filled in.
func (m *Machine) Config() Config { return m.config }

// PID is the process id of QEMU.
func (m *Machine) PID() int { return m.process.cmd.Process.Pid }

// Done is closed when QEMU is gone.
func (m *Machine) Done() <-chan struct{} { return m.done }

// Err says why the machine ended, as an [ExitError]. It is nil while the machine runs, and where [Machine.Stop] or
// [Machine.Kill] ended it.
func (m *Machine) Err() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}

func (m *Machine) stderrPath() string { return filepath.Join(m.config.Dir, m.config.Name+".qemu") }
