// SPDX-License-Identifier: Apache-2.0

package qemu

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// Bounds of single steps, on top of the caller's context.
const (
	commandTimeout  = 10 * time.Second // one QMP command
	poweroffTimeout = 5 * time.Second  // the guest's own way down
	quitTimeout     = 3 * time.Second  // QEMU's end after "quit"
)

// Stop ends the machine in order: it calls poweroff, which asks the guest to power off (nil presses the power button, which
// a guest without ACPI does not feel), gives it some seconds, then tells QEMU to quit, and at last kills it. When Stop
// returns, QEMU is gone.
func (m *Machine) Stop(ctx context.Context, poweroff func(context.Context) error) {
	m.want()
	if poweroff == nil {
		poweroff = m.powerButton
	}
	if m.step(ctx, poweroffTimeout, poweroff) {
		return
	}
	quit := func(ctx context.Context) error { return m.monitor.execute(ctx, "quit", nil) }
	if m.step(ctx, quitTimeout, quit) {
		return
	}
	m.Kill()
}

// step does something that should end QEMU, and says whether it did within the time.
func (m *Machine) step(ctx context.Context, timeout time.Duration, do func(context.Context) error) bool {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if do(ctx) != nil {
		// The other side may well be gone before it has answered.
		select {
		case <-m.done:
			return true
		default:
			return false
		}
	}
	select {
	case <-m.done:
		return true
	case <-ctx.Done():
		return false
	}
}

func (m *Machine) powerButton(ctx context.Context) error {
	return m.monitor.execute(ctx, "system_powerdown", nil)
}

// Kill ends the machine at once, as a loss of power does. When it returns, QEMU is gone.
func (m *Machine) Kill() {
	m.want()
	m.process.kill()
	<-m.done
}

// want notes that the end is asked for. An end that came before keeps its error.
func (m *Machine) want() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.wanted = true
}

// Pause stops the machine's CPUs, so that it is a hung host: its links stay up, and it does nothing.
func (m *Machine) Pause(ctx context.Context) error { return m.command(ctx, "stop", nil) }

// Resume lets a paused machine go on.
func (m *Machine) Resume(ctx context.Context) error { return m.command(ctx, "cont", nil) }

// Reset restarts the machine as its reset button does: the guest boots anew, without having been asked. It returns when
// QEMU has reset it.
func (m *Machine) Reset(ctx context.Context) error {
	events, cancel := m.Watch()
	defer cancel()
	// A panic has to end QEMU, so a reboot does; only this one may go through.
	if err := m.command(ctx, "set-action", map[string]string{"reboot": "reset"}); err != nil {
		return err
	}
	if err := m.command(ctx, "system_reset", nil); err != nil {
		return err
	}
	if err := m.await(ctx, events, "RESET"); err != nil {
		return err
	}
	return m.command(ctx, "set-action", map[string]string{"reboot": "shutdown"})
}

// await reads events until one of that name comes.
func (m *Machine) await(ctx context.Context, events <-chan Event, name string) error {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	for {
		select {
		case e, ok := <-events:
			if !ok {
				return fmt.Errorf("qemu: machine %s: wait for the event %s: %w", m.config.Name, name, errMonitorClosed)
			}
			if e.Name == name {
				return nil
			}
		case <-ctx.Done():
			return fmt.Errorf("qemu: machine %s: wait for the event %s: %w", m.config.Name, name, ctx.Err())
		}
	}
}

// SetLink takes the carrier of the NIC of that index (from 0) up or down; the guest sees it.
func (m *Machine) SetLink(ctx context.Context, nic int, up bool) error {
	if nic < 0 || nic >= len(m.config.NICs) {
		return fmt.Errorf("qemu: machine %s: there is no NIC %d; it has %d", m.config.Name, nic, len(m.config.NICs))
	}
	return m.command(ctx, "set_link", map[string]any{"name": device(nic), "up": up})
}

// command runs a QMP command within its bound.
func (m *Machine) command(ctx context.Context, name string, arguments any) error {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	if err := m.monitor.execute(ctx, name, arguments); err != nil {
		return fmt.Errorf("qemu: machine %s: %w", m.config.Name, err)
	}
	return nil
}

// eventBuffer is how many events may wait for one watcher.
const eventBuffer = 64

// Watch delivers QEMU's events from now on, until cancel is called or the machine ends, which closes the channel. A watcher
// that leaves 64 events unread misses the next.
func (m *Machine) Watch() (events <-chan Event, cancel func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	w := make(chan Event, eventBuffer)
	select {
	case <-m.done:
		close(w)
	default:
		m.watchers = append(m.watchers, w)
	}
	return w, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.watchers = slices.DeleteFunc(m.watchers, func(other chan Event) bool { return other == w })
	}
}

// event is called with each event of QEMU's, in order.
func (m *Machine) event(e Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e.Name == "SHUTDOWN" {
		var data struct {
			Reason string `json:"reason"`
		}
		if json.Unmarshal(e.Data, &data) == nil {
			m.shutdown = data.Reason
		}
		// With -no-shutdown QEMU waits for somebody to read why the guest has ended; by itself it would exit, and now and
		// then not say it.
		go m.process.kill()
	}
	for _, w := range m.watchers {
		select {
		case w <- e:
		default:
		}
	}
}
