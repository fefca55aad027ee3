// SPDX-License-Identifier: Apache-2.0

package qemu

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"
)

// saveTimeout bounds the writing of a machine's state, on top of the caller's context: some hundred MiB.
const saveTimeout = time.Minute

// Save writes all that the machine is into a new file: memory, processors, devices, but not what its disks hold. The guest
// runs meanwhile, stands still for the last of it, and then goes on. Any number of machines of the same configuration can
// begin from the file, on this host and with this QEMU; see [Config].From. The file has the size of the memory that the guest
// has ever used.
//
// Machines that begin from one file have everything in common, the state of the guest's random number generator included.
func (m *Machine) Save(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeout(ctx, saveTimeout)
	defer cancel()
	err := m.emit(ctx, path)
	if err != nil {
		err = fmt.Errorf("qemu: save machine %s: %w", m.config.Name, err)
	}
	return errors.Join(err, m.Resume(ctx))
}

// emit has QEMU send the machine's state, and puts it into a file. QEMU stops the machine at the end. (Stopped before, it would
// be stopped in the state, too.)
func (m *Machine) emit(ctx context.Context, path string) error {
	listener, err := net.Listen("unix", m.stateSocket())
	if err != nil {
		return err
	}
	defer listener.Close()
	defer context.AfterFunc(ctx, func() { listener.Close() })()
	const unlimited = 1 << 40 // bytes a second
	if err := m.command(ctx, "migrate-set-parameters", map[string]uint64{"max-bandwidth": unlimited}); err != nil {
		return err
	}
	if err := m.command(ctx, "migrate", map[string]string{"uri": "unix:" + m.stateSocket()}); err != nil {
		return err
	}
	if err := receive(ctx, listener, path); err != nil {
		return err
	}
	return m.sent(ctx)
}

// receive puts what comes over the next connection into a new file.
func receive(ctx context.Context, listener net.Listener, path string) error {
	conn, err := listener.Accept()
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, conn)
	return errors.Join(err, file.Close())
}

// sent says whether QEMU has sent its state whole. It closes the connection in either case, and knows by then.
func (m *Machine) sent(ctx context.Context) error {
	const whole = "completed"
	var migration struct {
		Status string `json:"status"`
		Desc   string `json:"error-desc"`
	}
	if err := m.monitor.ask(ctx, "query-migrate", nil, &migration); err != nil {
		return err
	}
	if migration.Status != whole {
		return fmt.Errorf("QEMU says: %s: %s", migration.Status, migration.Desc)
	}
	return nil
}

func (m *Machine) stateSocket() string {
	return filepath.Join(m.config.Sockets, m.config.Name+".state")
}
