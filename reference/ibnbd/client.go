// SPDX-License-Identifier: Apache-2.0

package ibnbd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// ClientConfig is what a client is made of. Start from [DefaultClientConfig], and set name and paths of the transport.
type ClientConfig struct {
	Transport ibtrs.ClientConfig // all but its events
	Features  Features           // offered to servers of profile X
	Log       *slog.Logger
	Rules     ClientRules

	// Changed, unless nil, is called when the state of a device may have changed. It must not wait, and not call the
	// client.
	Changed func()
}

// DefaultClientConfig lacks only name and paths of the transport.
func DefaultClientConfig() ClientConfig {
	return ClientConfig{Transport: ibtrs.DefaultClientConfig(), Features: AllFeatures, Log: slog.New(slog.DiscardHandler)}
}

// Client maps devices of one server over one session.
type Client struct {
	cfg      ClientConfig
	session  *ibtrs.Session
	ctx      context.Context // ends with the client
	cancel   context.CancelFunc
	running  sync.WaitGroup // remaps, OPENs and CLOSEs
	spare    sync.Pool      // of *IO
	gate     gate
	failures failures // of all devices

	mu         sync.Mutex // guards the rest
	devices    []*Device
	agreement  Agreement
	generation int // of the session: counts its losses
	closed     bool
}

// Connect opens the session and agrees with the server on versions and features.
func Connect(ctx context.Context, cfg ClientConfig) (*Client, error) {
	c := &Client{cfg: cfg}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.gate.ended, c.gate.off = c.ctx.Done(), cfg.Rules.NoOrder
	c.cfg.Transport.Lost, c.cfg.Transport.Restored = c.lost, c.restored
	var err error
	if c.session, err = ibtrs.Open(ctx, c.cfg.Transport); err != nil {
		c.cancel()
		return nil, err
	}
	if err := c.agree(ctx, c.session.Epoch()); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func (c *Client) changed() {
	if c.cfg.Changed != nil {
		c.cfg.Changed()
	}
}

// Session is the client's session, for its paths and statistics.
func (c *Client) Session() *ibtrs.Session { return c.session }

// Agreement is what client and server have agreed on last.
func (c *Client) Agreement() Agreement {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.agreement
}

// Failures counts the requests that failed on devices of the session, those that are unmapped now included.
func (c *Client) Failures() IOFailures { return c.failures.counts() }

// Devices are the mapped devices.
func (c *Client) Devices() []*Device {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.devices)
}

// Close unmaps all devices without waiting for their I/O, and closes the session.
func (c *Client) Close() error {
	c.mu.Lock()
	already := c.closed
	c.closed = true
	devices := slices.Clone(c.devices)
	c.mu.Unlock()
	if already {
		return nil
	}
	c.cancel()
	for _, d := range devices {
		d.retire()
	}
	err := c.session.Close()
	c.running.Wait()
	for _, d := range devices {
		d.failures.log.Close()
	}
	return err
}

// begin runs f beside the caller, unless the client is closed, which waits for it.
func (c *Client) begin(f func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.running.Go(f)
	}
	return !c.closed
}

// ask sends a message that is answered with a body of n bytes.
func (c *Client) ask(ctx context.Context, epoch uint64, message []byte, n int) ([]byte, error) {
	body := make([]byte, n)
	r := &ibtrs.Request{
		Direction: ibtrs.Read, Admin: true, Header: message, Data: body, Epoch: epoch,
	}
	return body, c.session.Do(ctx, r)
}

// agree exchanges SESS_INFO, which comes before every first OPEN (Clause IBNBD-MSG-001).
func (c *Client) agree(ctx context.Context, epoch uint64) error {
	if c.cfg.Rules.NoSessInfo {
		return nil
	}
	request := NewSessInfo(c.cfg.Features)
	message, _ := request.AppendBinary(nil)
	body, err := c.ask(ctx, epoch, message, SessInfoSize)
	if err != nil {
		return fmt.Errorf("session %q: SESS_INFO: %w", c.session.Name(), err)
	}
	response, err := ParseSessInfoResponse(body)
	if err != nil {
		return fmt.Errorf("session %q: %w: %w", c.session.Name(), ibtrs.EINVAL, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.agreement = Agreed(response, request.Features)
	c.cfg.Log.Info("session info", "session", c.session.Name(), "profile", c.agreement.Profile, "version", c.agreement.Version)
	return nil
}

// lost closes all devices: their I/O fails at once until they are opened again (Clause IBNBD-IO-019).
func (c *Client) lost() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.generation++
	for _, d := range c.devices {
		d.change(DeviceOpen, DeviceClosed)
	}
}

// restored opens the devices again.
func (c *Client) restored() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.cfg.Rules.NoRemap {
		return
	}
	c.running.Go(c.remapAll)
}

// remapAll agrees with the server, which may be another one now, and opens every device that is not being mapped.
func (c *Client) remapAll() {
	epoch := c.session.Epoch()
	if err := c.agree(c.ctx, epoch); err != nil {
		c.cfg.Log.Warn("devices stay closed", "session", c.session.Name(), "error", err)
		return
	}
	for _, d := range c.Devices() {
		c.running.Go(func() {
			if err := d.remap(c.ctx); err != nil && !errors.Is(err, ibtrs.EALREADY) {
				c.cfg.Log.Warn("device stays closed", "device", d.path, "error", err)
			}
		})
	}
}

// Map opens a device of the server. The error is EEXIST to errors.Is if the path is mapped already, else the server's.
func (c *Client) Map(ctx context.Context, path string, access AccessMode, mode IOMode) (*Device, error) {
	d := &Device{client: c, path: path, access: access, mode: mode}
	d.mapping.Store(&mapping{}) // nothing is known yet, but others can see the device
	d.failures.log = newFailureLog(c.cfg.Log.With("session", c.session.Name()), "I/O failed")
	if err := c.add(d); err != nil {
		return nil, fmt.Errorf("map %q: %w", path, err)
	}
	if c.cfg.Rules.MapWhenLost && !c.session.Connected() {
		<-ctx.Done()
	}
	if err := d.open(ctx, c.session.Epoch()); err != nil {
		d.retire()
		c.drop(d)
		return nil, fmt.Errorf("map %q: %w", path, err)
	}
	return d, nil
}

func (c *Client) add(d *Device) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, other := range c.devices {
		if other.path == d.path {
			return fmt.Errorf("it is mapped already in session %q: %w", c.session.Name(), ibtrs.EEXIST)
		}
	}
	if c.closed {
		return errClientClosed
	}
	c.devices = append(c.devices, d)
	return nil
}

var errClientClosed = fmt.Errorf("client is closed: %w", ibtrs.ECONNABORTED)

func (c *Client) drop(d *Device) {
	d.failures.log.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.devices = slices.DeleteFunc(c.devices, func(other *Device) bool { return other == d })
}
