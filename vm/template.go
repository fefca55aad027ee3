// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"

	"github.com/ibnbd/ibnbd/vm/agent"
	"github.com/ibnbd/ibnbd/vm/qemu"
)

// A template is a host as it was when it was first ready, in a file. Hosts that begin from it are ready in a fraction of the
// time that a boot takes, and cost a fraction of the work.

// templatePoll is how often a lab looks whether another one has made the templates that it waits for.
const templatePoll = 20 * time.Millisecond

// bootFromTemplates makes all hosts ready from their templates. A lab that finds none boots its hosts and makes them, and
// others wait for it meanwhile.
func (l *Lab) bootFromTemplates(ctx context.Context) error {
	release, err := l.lockTemplates(ctx)
	if err != nil {
		return err
	}
	defer release()
	if l.templates() {
		release()
		return l.boot(ctx, fromTemplate)
	}
	if err := l.boot(ctx, fromKernel); err != nil {
		return err
	}
	return l.each(func(h *Host) error {
		err := h.saveTemplate(ctx)
		if err == nil || ctx.Err() != nil {
			return err
		}
		return &EnvironmentError{
			What: "keep host " + h.name + " as it is when ready", Err: err,
			Do: "free space in " + l.spec.Templates + ", or choose another directory",
		}
	})
}

// lockTemplates keeps other labs, of this process or another, from the templates until release is called.
func (l *Lab) lockTemplates(ctx context.Context) (release func(), err error) {
	dir := l.spec.Templates
	unusable := func(err error) error {
		return &EnvironmentError{What: "use " + dir + " for templates of hosts", Err: err, Do: "choose another directory"}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, unusable(err)
	}
	lock := flock.New(filepath.Join(dir, "lock"))
	switch _, err := lock.TryLockContext(ctx, templatePoll); {
	case ctx.Err() != nil:
		return nil, errors.Join(err, lock.Close())
	case err != nil:
		return nil, unusable(errors.Join(err, lock.Close()))
	}
	return func() { _ = lock.Close() }, nil // which does nothing the second time
}

// templates says whether all hosts have one.
func (l *Lab) templates() bool {
	for _, h := range l.hosts {
		if _, err := os.Stat(h.template()); err != nil {
			return false
		}
	}
	return true
}

// template is the file for hosts like this one, whether it is there or not.
func (h *Host) template() string {
	config := h.config("")
	config.Dir, config.Sockets = "", ""
	for i := range config.NICs {
		config.NICs[i].Socket = ""
	}
	config.Disks = make([]string, len(config.Disks)) // what they hold is no part of it
	likeness := struct {
		Config  qemu.Config
		Network agent.Network
		Modules []string
	}{config, h.network(), h.lab.spec.Modules}
	data, err := json.Marshal(likeness)
	if err != nil {
		panic("vm: JSON cannot express what a host is: " + err.Error()) // it is our own struct
	}
	sum := sha256.Sum256(data)
	return filepath.Join(h.lab.spec.Templates, h.name+"-"+hex.EncodeToString(sum[:8]))
}

// saveTemplate makes the host's template, which others see only when it is whole. The host goes on.
func (h *Host) saveTemplate(ctx context.Context) error {
	unfinished := h.template() + ".new"
	if err := os.Remove(unfinished); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := h.Machine().Save(ctx, unfinished); err != nil {
		return err
	}
	if err := os.Rename(unfinished, h.template()); err != nil {
		return err
	}
	return h.compareClocks(ctx) // the guest stood still
}

// wake makes a guest that has just begun from a template one of its own.
func (h *Host) wake(ctx context.Context, client *agent.Client) error {
	if err := client.Wake(ctx); err != nil {
		return fmt.Errorf("wake: %w", err)
	}
	return nil
}
