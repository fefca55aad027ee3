// SPDX-License-Identifier: Apache-2.0

package ibnbd_test

import (
	"context"
	"log/slog"
	"net/netip"
	"os"
	"testing"

	"github.com/ibnbd/ibnbd/reference/backend"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/rdma/soft"
)

// lab is a client host, a server host and two rails between them, all in this process.
type lab struct {
	t       testing.TB
	hub     *soft.Hub
	clients []*soft.Device // one on each rail
	servers []*soft.Device
}

const (
	rails      = 2
	deviceSize = 1 << 20
)

func clientAddr(rail int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(rail), 1}) }
func serverAddr(rail int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(rail), 2}) }

// newLab makes the devices. They are closed at the end, which fails while anything of them is open: nothing may leak.
func newLab(t testing.TB) *lab {
	t.Helper()
	l := &lab{t: t, hub: soft.NewHub()}
	for rail := range rails {
		l.clients = append(l.clients, l.open(clientAddr(rail)))
		l.servers = append(l.servers, l.open(serverAddr(rail)))
	}
	return l
}

func (l *lab) open(addr netip.Addr) *soft.Device {
	l.t.Helper()
	link, err := l.hub.Attach(addr, 0)
	if err != nil {
		l.t.Fatal(err)
	}
	dev, err := soft.Open(link, soft.Config{TrustLink: true, Seed: 1})
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() {
		if err := dev.Close(); err != nil {
			l.t.Errorf("something was left behind: %v", err)
		}
	})
	return dev
}

func testLog() *slog.Logger {
	if os.Getenv("IBNBD_TEST_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func (l *lab) memory(size int64, block int) backend.Backend {
	l.t.Helper()
	b, err := backend.NewMemory(size, block)
	if err != nil {
		l.t.Fatal(err)
	}
	return b
}

// serverConfig exports ram0, in chunks small enough to be made quickly.
func (l *lab) serverConfig() ibnbd.ServerConfig {
	cfg := ibnbd.DefaultServerConfig()
	for _, d := range l.servers {
		cfg.Transport.Devices = append(cfg.Transport.Devices, d)
	}
	cfg.Transport.Geometry = ibtrs.Geometry{QueueDepth: 16, MaxIOSize: 16384 - 4096, MaxHeaderSize: 4096}
	cfg.Transport.Log = testLog().With("side", "server")
	cfg.Log = cfg.Transport.Log
	cfg.Workers = 4
	cfg.Exports = []ibnbd.Export{{Path: "ram0", Backend: l.memory(deviceSize, 512)}}
	return cfg
}

func (l *lab) listen(cfg ibnbd.ServerConfig) *ibnbd.Server {
	l.t.Helper()
	s, err := ibnbd.Listen(cfg)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() {
		if err := s.Close(); err != nil {
			l.t.Error(err)
		}
	})
	return s
}

func (l *lab) clientConfig(name string, paths ...int) ibnbd.ClientConfig {
	cfg := ibnbd.DefaultClientConfig()
	cfg.Transport.Name = name
	cfg.Transport.Connections = 3
	cfg.Transport.Scheduler = &ibtrs.Scheduler{}
	cfg.Transport.Log = testLog().With("side", "client")
	cfg.Log = cfg.Transport.Log
	for _, rail := range paths {
		cfg.Transport.Paths = append(cfg.Transport.Paths, ibtrs.PathConfig{
			Device: l.clients[rail], Server: netip.AddrPortFrom(serverAddr(rail), ibtrs.DefaultPort),
		})
	}
	return cfg
}

func (l *lab) connect(cfg ibnbd.ClientConfig) *ibnbd.Client {
	l.t.Helper()
	c, err := ibnbd.Connect(context.Background(), cfg)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() {
		if err := c.Close(); err != nil {
			l.t.Error(err)
		}
	})
	return c
}

func (l *lab) mapDevice(c *ibnbd.Client, path string, access ibnbd.AccessMode) *ibnbd.Device {
	l.t.Helper()
	d, err := c.Map(context.Background(), path, access, ibnbd.BlockIO)
	if err != nil {
		l.t.Fatal(err)
	}
	return d
}

// pattern is n bytes that differ from those of another seed.
func pattern(seed, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(seed*31 + i*7 + i>>8)
	}
	return b
}

var _ rdma.Device = (*soft.Device)(nil)

// cached is a backend that says it has a volatile cache, and FUA.
type cached struct{ backend.Backend }

func (c *cached) Properties() backend.Properties {
	p := c.Backend.Properties()
	p.WriteCache, p.FUA = true, true
	return p
}
