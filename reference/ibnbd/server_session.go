// SPDX-License-Identifier: Apache-2.0

package ibnbd

import (
	"bytes"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/ibnbd/ibnbd/reference/burst"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// serverSession is the block protocol's side of one session, from its first connected path to its last. Everything that
// the client has open dies with it.
type serverSession struct {
	server *Server
	sess   *ibtrs.ServerSession
	name   string
	log    *slog.Logger

	agreement atomic.Pointer[Agreement]
	devices   atomic.Pointer[[]*serverDevice] // by id; nil for an id that is free; replaced as a whole
	admin     sync.WaitGroup                  // OPENs and CLOSEs that are being worked on

	failures failures
	opens    *burst.Log // OPENs that are refused

	mu sync.Mutex // held to change devices
}

func newServerSession(s *Server, sess *ibtrs.ServerSession) *serverSession {
	h := &serverSession{server: s, sess: sess, name: sess.Name()}
	h.log = s.cfg.Log.With("session", h.name)
	h.failures.log = newFailureLog(h.log, "I/O failed")
	h.opens = burst.New(h.log, slog.LevelInfo, "open refused")
	h.agreement.Store(&Agreement{})
	h.devices.Store(&[]*serverDevice{})
	return h
}

// Handle looks at what kind of message a request is. It is for the transport, like Disconnected.
func (h *serverSession) Handle(r *ibtrs.ServerRequest) {
	kind, err := MessageType(r.Header)
	if err != nil {
		r.Respond(ibtrs.EINVAL) // Clause IBNBD-MSG-012
		return
	}
	switch kind {
	case TypeIO:
		h.io(r)
	case TypeSessInfo:
		r.Respond(h.sessInfo(r))
	case TypeOpen:
		h.slowly(r, h.open)
	case TypeClose:
		h.slowly(r, h.close)
	default:
		r.Respond(ibtrs.EINVAL) // Clause IBNBD-MSG-011
	}
}

// slowly answers a request in a goroutine of its own.
func (h *serverSession) slowly(r *ibtrs.ServerRequest, answer func(*ibtrs.ServerRequest) ibtrs.Errno) {
	h.admin.Go(func() {
		if r.Abandoned() {
			r.Respond(ibtrs.EIO)
			return
		}
		r.Respond(answer(r))
	})
}

// Disconnected closes everything that the session has open.
func (h *serverSession) Disconnected() {
	h.admin.Wait()
	devices := h.closeAll()
	h.server.forget(h.sess)
	h.failures.log.Close()
	h.opens.Close()
	h.log.Info("session over", "devices", devices)
}

// closeAll closes everything that the session has open, and gives the length of the table of devices.
func (h *serverSession) closeAll() int {
	h.mu.Lock()
	devices := *h.devices.Load()
	h.devices.Store(&[]*serverDevice{})
	h.mu.Unlock()
	for _, d := range devices {
		if d != nil {
			d.keepIf(h.server.cfg.Rules.EndKeepsWriter)
			d.end()
		}
	}
	return len(devices)
}

// sessInfo agrees on versions and features. It may come again at any time (Clause IBNBD-MSG-017).
func (h *serverSession) sessInfo(r *ibtrs.ServerRequest) ibtrs.Errno {
	rules := &h.server.cfg.Rules
	request, err := ParseSessInfo(r.Header)
	if err != nil && !(rules.AnyVersion && len(r.Header) >= SessInfoSize) {
		return ibtrs.EINVAL
	}
	if !h.hasRoom(r, SessInfoSize) {
		return ibtrs.EINVAL
	}
	response, agreement := Answer(request, h.server.cfg.Features)
	if rules.AnswerOwnVersion {
		response.Version = Version
	}
	if rules.AlwaysMarker {
		response.Marker, response.Features = Marker, h.server.cfg.Features
	}
	if rules.InfoForgets {
		h.closeAll()
	}
	h.agreement.Store(&agreement)
	h.log.Info("session info", "profile", agreement.Profile, "version", agreement.Version, "features", agreement.Features)
	h.reply(r, response)
	return 0
}

// hasRoom reports whether a reply of n bytes fits into what the client can receive.
func (h *serverSession) hasRoom(r *ibtrs.ServerRequest, n int) bool {
	if r.Direction != ibtrs.Read {
		return false
	}
	return len(r.Data) >= n || h.server.cfg.Rules.AnyReplySpace
}

// reply writes a message where the client will read it, and nothing else: what earlier requests left is cleared
// (Clause IBNBD-MSG-014).
func (h *serverSession) reply(r *ibtrs.ServerRequest, m interface {
	AppendBinary([]byte) ([]byte, error)
}) {
	message, _ := m.AppendBinary(nil)
	if h.server.cfg.Rules.StaleReply {
		message = bytes.TrimRight(message, "\x00")
	} else {
		clear(r.Data)
	}
	copy(r.Data, message)
}

// device finds an open device by its id.
func (h *serverSession) device(id uint32) *serverDevice {
	devices := *h.devices.Load()
	if uint64(id) >= uint64(len(devices)) {
		return nil
	}
	return devices[id]
}

// first is the open device with the lowest id.
func (h *serverSession) first() *serverDevice {
	for _, d := range *h.devices.Load() {
		if d != nil {
			return d
		}
	}
	return nil
}

// find finds an open device by the path it was opened under. The caller holds mu.
func (h *serverSession) find(path string) *serverDevice {
	for _, d := range *h.devices.Load() {
		if d != nil && d.path == path && d.usable() {
			return d
		}
	}
	return nil
}

// change replaces the table of devices by an altered copy. The caller holds mu.
func (h *serverSession) change(alter func(devices []*serverDevice) []*serverDevice) {
	devices := alter(append([]*serverDevice(nil), *h.devices.Load()...))
	h.devices.Store(&devices)
}

func (h *serverSession) list() []OpenDevice {
	var all []OpenDevice
	for _, d := range *h.devices.Load() {
		if d != nil && d.usable() {
			all = append(all, OpenDevice{h.name, d.id, d.path, d.target.name, d.access, d.mode})
		}
	}
	return all
}

// forceClose closes a device, but leaves it in its place, so that its id is not given to another.
func (h *serverSession) forceClose(id uint32) error {
	d := h.device(id)
	if d == nil || !d.usable() {
		return fmt.Errorf("session %q has no device %d: %w", h.name, id, ibtrs.ENOENT)
	}
	h.log.Info("device closed by force", "device", d.target.name, "id", id)
	d.end()
	return nil
}

// drop frees the id of a device.
func (h *serverSession) drop(d *serverDevice) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.change(func(devices []*serverDevice) []*serverDevice {
		if uint64(d.id) < uint64(len(devices)) && devices[d.id] == d {
			devices[d.id] = nil
		}
		return devices
	})
}
