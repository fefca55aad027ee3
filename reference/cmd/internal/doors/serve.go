// SPDX-License-Identifier: Apache-2.0

package doors

import (
	"context"
	"errors"
	"net"
	"net/http"
	"path/filepath"
	"sync"

	"github.com/ibnbd/ibnbd/reference/cmd/internal/control"
	"github.com/ibnbd/ibnbd/reference/nbd"
)

// Sockets are where a program listens.
type Sockets struct {
	Commands string // what it is told
	NBD      string // absolute, so that URIs hold in every directory
}

// Check makes the path for NBD absolute, and refuses paths that cannot be, before anything is done.
func (s *Sockets) Check() (err error) {
	if s.NBD, err = filepath.Abs(s.NBD); err != nil {
		return err
	}
	if err := control.CheckSocketPath(s.NBD); err != nil {
		return err
	}
	return control.CheckSocketPath(s.Commands)
}

// Open is a program whose sockets are open.
type Open struct{ commands, disks net.Listener }

// Listen opens both sockets.
func (s *Sockets) Listen() (*Open, error) {
	commands, err := control.Listen(s.Commands)
	if err != nil {
		return nil, err
	}
	disks, err := control.Listen(s.NBD)
	if err != nil {
		return nil, errors.Join(err, commands.Close())
	}
	return &Open{commands, disks}, nil
}

// Serve serves commands and disks, and follows news, until ctx ends. A socket that fails ends it too, by end.
func (o *Open) Serve(ctx context.Context, end context.CancelFunc, h http.Handler, s *nbd.Server, follow func(context.Context)) error {
	var all sync.WaitGroup
	errs := make([]error, 2)
	all.Go(func() {
		defer end()
		errs[0] = control.Serve(ctx, o.commands, h)
	})
	all.Go(func() {
		defer end()
		errs[1] = s.Serve(ctx, o.disks)
	})
	all.Go(func() { follow(ctx) })
	all.Wait()
	return errors.Join(errs...)
}
