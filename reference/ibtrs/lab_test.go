// SPDX-License-Identifier: Apache-2.0

package ibtrs_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"sync"
	"testing"

	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/rdma/soft"
)

// lab is a client host and a server host with two rails, all in this process.
type lab struct {
	t       testing.TB
	hub     *soft.Hub
	clients []*soft.Device // one on each rail
	servers []*soft.Device
	store   *store
	server  *ibtrs.Server
	rules   soft.Rules // of the devices
}

const rails = 2

func clientAddr(rail int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(rail), 1}) }
func serverAddr(rail int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(rail), 2}) }

// newLab makes the devices. They are closed at the end, which fails while anything of them is open: nothing may leak.
func newLab(t testing.TB) *lab {
	t.Helper()
	return newLabOf(t, soft.Rules{})
}

// newLabOf makes devices that do not keep all rules.
func newLabOf(t testing.TB, rules soft.Rules) *lab {
	t.Helper()
	l := &lab{t: t, hub: soft.NewHub(), store: newStore(), rules: rules}
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
	dev, err := soft.Open(link, soft.Config{TrustLink: true, Seed: 1, Rules: l.rules})
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

// smallGeometry is quick to set up, and has no power of two as depth.
var smallGeometry = ibtrs.Geometry{QueueDepth: 10, MaxIOSize: 16384 - 4096, MaxHeaderSize: 4096}

func testLog() *slog.Logger {
	if os.Getenv("IBTRS_TEST_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func (l *lab) serverConfig() ibtrs.ServerConfig {
	cfg := ibtrs.DefaultServerConfig()
	cfg.Geometry = smallGeometry
	for _, d := range l.servers {
		cfg.Devices = append(cfg.Devices, d)
	}
	cfg.Handler = l.store
	cfg.Log = testLog().With("side", "server")
	return cfg
}

func (l *lab) listen(cfg ibtrs.ServerConfig) *ibtrs.Server {
	l.t.Helper()
	s, err := ibtrs.Listen(cfg)
	if err != nil {
		l.t.Fatal(err)
	}
	l.server = s
	l.t.Cleanup(func() {
		if err := s.Close(); err != nil {
			l.t.Error(err)
		}
	})
	return s
}

func (l *lab) path(rail int) ibtrs.PathConfig {
	return ibtrs.PathConfig{Device: l.clients[rail], Server: netip.AddrPortFrom(serverAddr(rail), ibtrs.DefaultPort)}
}

// serverPort is the server's address on rail 0, with a port above the default.
func (l *lab) serverPort(above uint16) netip.AddrPort {
	return netip.AddrPortFrom(serverAddr(0), ibtrs.DefaultPort+above)
}

func (l *lab) clientConfig(paths int) ibtrs.ClientConfig {
	cfg := ibtrs.DefaultClientConfig()
	cfg.Name = "blya"
	cfg.Connections = 3
	cfg.Scheduler = &ibtrs.Scheduler{}
	cfg.Log = testLog().With("side", "client")
	for rail := range paths {
		cfg.Paths = append(cfg.Paths, l.path(rail))
	}
	return cfg
}

func (l *lab) connect(cfg ibtrs.ClientConfig) *ibtrs.Session {
	l.t.Helper()
	s, err := ibtrs.Open(context.Background(), cfg)
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

// store is the upper layer of these tests: it keeps what is written under the number in the user header.
type store struct {
	mu           sync.Mutex
	values       map[uint64][]byte
	executed     int
	connected    int
	disconnected int
	hold         func(r *ibtrs.ServerRequest, execute func()) // unless nil, decides when a request is executed
}

func newStore() *store { return &store{values: map[uint64][]byte{}} }

func (s *store) Connected(*ibtrs.ServerSession) (ibtrs.SessionHandler, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.connected++
	return s, nil
}

func (s *store) Disconnected() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.disconnected++
}

func (s *store) Handle(r *ibtrs.ServerRequest) {
	if s.hold != nil {
		s.hold(r, func() { s.execute(r) })
		return
	}
	s.execute(r)
}

func (s *store) execute(r *ibtrs.ServerRequest) {
	if r.Abandoned() {
		r.Respond(ibtrs.EIO)
		return
	}
	r.Respond(s.apply(r))
}

func (s *store) apply(r *ibtrs.ServerRequest) ibtrs.Errno {
	if len(r.Header) < 8 {
		return ibtrs.EINVAL
	}
	key := binary.LittleEndian.Uint64(r.Header)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.executed++
	if r.Direction == ibtrs.Write {
		s.values[key] = append([]byte(nil), r.Data...)
		return 0
	}
	value, ok := s.values[key]
	if !ok {
		return ibtrs.ENOENT
	}
	copy(r.Data, value)
	return 0
}

func header(key uint64) []byte { return binary.LittleEndian.AppendUint64(nil, key) }

func put(s *ibtrs.Session, key uint64, value []byte) error {
	return s.Do(context.Background(), &ibtrs.Request{Direction: ibtrs.Write, Header: header(key), Data: value})
}

func get(s *ibtrs.Session, key uint64, n int) ([]byte, error) {
	value := make([]byte, n)
	err := s.Do(context.Background(), &ibtrs.Request{Direction: ibtrs.Read, Header: header(key), Data: value})
	return value, err
}

// pattern is n bytes that differ from those of another seed.
func pattern(seed, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(seed*31 + i*7 + i>>8)
	}
	return b
}

func (l *lab) putGet(s *ibtrs.Session, key uint64, n int) {
	l.t.Helper()
	want := pattern(int(key), n)
	if err := put(s, key, want); err != nil {
		l.t.Fatalf("write %d bytes: %v", n, err)
	}
	got, err := get(s, key, n)
	if err != nil {
		l.t.Fatalf("read %d bytes: %v", n, err)
	}
	if fmt.Sprintf("%x", got) != fmt.Sprintf("%x", want) {
		l.t.Fatalf("read back other bytes than were written, of %d", n)
	}
}

var _ rdma.Device = (*soft.Device)(nil)
