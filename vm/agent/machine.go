// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"

	"github.com/ibnbd/ibnbd/vm/agent/internal/wire"
)

// Alive asks the agent for a sign of life. A guest that hangs or is paused gives none until ctx ends, while its session
// lives on.
func (c *Client) Alive(ctx context.Context) error { return c.call(ctx, wire.OpAlive, nil, nil, nil) }

// Configure makes the guest's network what network says and returns when traffic can flow: carriers are there, and RDMA
// devices are active with a GID for every address. It can be called again at any time.
func (c *Client) Configure(ctx context.Context, network Network) error {
	return c.call(ctx, wire.OpConfigure, network, nil, nil)
}

// RDMAResources counts the objects that the guest's RDMA devices hold. It costs a tenth of what a program costs that does so.
func (c *Client) RDMAResources(ctx context.Context) (RDMAResources, error) {
	var held RDMAResources
	err := c.call(ctx, wire.OpResources, nil, nil, &held)
	return held, err
}

// LoadModule loads a kernel module of the image by name, or any by the path of its file in the guest, after the modules
// that it depends on. Parameters are "name=value". The errors are the kernel's; syscall.EEXIST: it was loaded already.
func (c *Client) LoadModule(ctx context.Context, name string, params ...string) error {
	_, err := c.files(ctx, FileCall{Op: LoadModule, Path: name, Params: params})
	return err
}

// UnloadModule removes a kernel module. The errors are the kernel's: syscall.EWOULDBLOCK while it is in use,
// syscall.ENOENT if it is not there.
func (c *Client) UnloadModule(ctx context.Context, name string) error {
	return c.call(ctx, wire.OpUnloadModule, wire.Module{Name: name}, nil, nil)
}
