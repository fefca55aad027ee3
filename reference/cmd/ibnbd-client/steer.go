// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"path/filepath"
	"strconv"

	"github.com/ibnbd/ibnbd/reference/cmd/internal/address"
	"github.com/ibnbd/ibnbd/reference/cmd/internal/control"
	"github.com/ibnbd/ibnbd/reference/cmd/internal/program"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// What a running client can be told: on one side the commands that ask for it, on the other the client that does it. Every
// answer is the state after it.

// pathVerbs are what can be done with a path.
var pathVerbs = []struct{ name, short string }{
	{"add", "Connect another path, and return when it is connected or has failed"},
	{"remove", "Close a path and take it out of the session"},
	{"disconnect", "Close a path; it stays closed until it is told to reconnect"},
	{"reconnect", "Connect a path anew, now"},
}

// steerOptions are what a person can choose about telling a client something.
type steerOptions struct {
	session string
	json    bool
}

// controlSocket is where the client of a session listens for what it is told.
func controlSocket(session string) string { return filepath.Join(clientSockets(), session+".sock") }

// running says whether a client with the session of the options runs, and where it listens. Only a session that was named
// is looked for.
func (o *sessionOptions) running(ctx context.Context) (socket string, running bool) {
	if o.name == "" || ibtrs.CheckSessionName(o.name) != nil {
		return "", false
	}
	socket = controlSocket(o.name)
	return socket, control.Ask(ctx, socket, http.MethodGet, "/status", nil) == nil
}

// join maps devices in a session that is running.
func join(ctx context.Context, out io.Writer, socket string, m *mapOptions, paths []string) error {
	for _, path := range paths {
		var st status
		query := url.Values{"device": {path}, "access": {m.access}, "io-mode": {m.ioMode}, "disk": {strconv.FormatBool(m.disk)}}
		if err := control.Ask(ctx, socket, http.MethodPost, "/map?"+query.Encode(), &st); err != nil {
			return err
		}
		if m.json {
			if err := printJSON(out, st); err != nil {
				return err
			}
			continue
		}
		printDoors(out, st.only(path))
	}
	return nil
}

// only is the device of that path.
func (st *status) only(path string) []deviceStatus {
	for i, d := range st.Devices {
		if d.Path == path {
			return st.Devices[i : i+1]
		}
	}
	return nil
}

// tellClient tells the client of a session something. Without a session there must be one client.
func (o *steerOptions) tellClient(ctx context.Context, out io.Writer, what string, query url.Values) error {
	sockets, all, err := clients(ctx)
	if err != nil {
		return err
	}
	var found []string
	for i, st := range all {
		if o.session == "" || st.Session == o.session {
			found = append(found, sockets[i])
		}
	}
	switch {
	case len(found) == 0 && o.session != "":
		return fmt.Errorf("no client with session %q is running: %w", o.session, ibtrs.ENOENT)
	case len(found) == 0:
		return fmt.Errorf("no client is running: %w", ibtrs.ENOENT)
	case len(found) > 1:
		return program.Usagef("%d clients are running: choose one with --session", len(found))
	}
	return o.ask(ctx, out, found[0], what, query)
}

func (o *steerOptions) ask(ctx context.Context, out io.Writer, socket, what string, query url.Values) error {
	var st status
	if err := control.Ask(ctx, socket, http.MethodPost, "/"+what+"?"+query.Encode(), &st); err != nil || !o.json {
		return err
	}
	return printJSON(out, st)
}

// runUnmap unmaps a device in the session of the options, or in the one that has it.
func runUnmap(ctx context.Context, out io.Writer, o *steerOptions, path string, force bool) error {
	sockets, all, err := clients(ctx)
	if err != nil {
		return err
	}
	for i, st := range all {
		if (o.session == "" || o.session == st.Session) && st.only(path) != nil {
			return o.ask(ctx, out, sockets[i], "unmap", url.Values{"device": {path}, "force": {strconv.FormatBool(force)}})
		}
	}
	return notMapped(path)
}

func notMapped(path string) error {
	return fmt.Errorf("device %q is not mapped: %w", path, ibtrs.ENODEV)
}

// handler does what the client is told.
func (r *mapper) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) { control.WriteJSON(w, r.status()) })
	for name, do := range map[string]func(ctx context.Context, form url.Values) error{
		"map": func(ctx context.Context, form url.Values) error {
			m := mapOptions{access: form.Get("access"), ioMode: form.Get("io-mode"), disk: form.Get("disk") == "true"}
			return r.add(ctx, form.Get("device"), &m)
		},
		"unmap": func(ctx context.Context, form url.Values) error {
			return r.unmap(ctx, form.Get("device"), form.Get("force") == "true")
		},
		"path": func(ctx context.Context, form url.Values) error {
			return r.steerPath(ctx, form.Get("do"), form.Get("path"))
		},
		"policy": func(_ context.Context, form url.Values) error { return r.setPolicy(form.Get("policy")) },
	} {
		mux.HandleFunc("POST /"+name, func(w http.ResponseWriter, q *http.Request) {
			if err := do(q.Context(), q.URL.Query()); err != nil {
				control.WriteError(w, err)
				return
			}
			control.WriteJSON(w, r.news.Tell())
		})
	}
	return mux
}

func (r *mapper) setPolicy(text string) error {
	policy, err := ibtrs.ParsePolicy(text)
	if err != nil {
		return err
	}
	return r.conn.Session().SetPolicy(policy)
}

func (r *mapper) steerPath(ctx context.Context, verb, text string) error {
	ends, err := parsePath(text)
	if err != nil {
		return fmt.Errorf("%w: %w", ibtrs.EINVAL, err)
	}
	s, p := r.conn.Session(), r.path(ends)
	switch {
	case verb == "add" && p != nil:
		return fmt.Errorf("add path %s: the session has it: %w", p, ibtrs.EEXIST)
	case verb == "add":
		return r.conn.addPath(ctx, r.options, ends)
	case p == nil:
		return fmt.Errorf("%s path %s: session %q has no such path: %w", verb, text, s.Name(), ibtrs.ENOENT)
	case verb == "remove":
		return s.RemovePath(ctx, p)
	case verb == "disconnect":
		return p.Disconnect(ctx)
	case verb == "reconnect":
		return p.Reconnect(ctx)
	}
	return fmt.Errorf("%q is nothing that can be done with a path: %w", verb, ibtrs.EINVAL)
}

// path finds the path between two addresses; nil if there is none.
func (r *mapper) path(ends address.Endpoints) *ibtrs.Path {
	for _, p := range r.conn.Session().Paths() {
		if same(p.Config().Device.Addr(), ends.Source) && same(p.Config().Server.Addr(), ends.Server) {
			return p
		}
	}
	return nil
}

// same compares addresses, but not how they name the interface of a link-local one.
func same(a, b netip.Addr) bool { return a.WithZone("") == b.WithZone("") }
