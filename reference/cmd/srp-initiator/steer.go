// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"syscall"

	"github.com/ibnbd/ibnbd/reference/cmd/internal/control"
	"github.com/ibnbd/ibnbd/reference/cmd/internal/program"
	"github.com/ibnbd/ibnbd/reference/srp"
)

// What a running program can be told: on one side the commands that ask for it, on the other the program that does it.

// isRunning says whether a program has the ports of this machine.
func isRunning(ctx context.Context) bool {
	return control.Ask(ctx, socket(), http.MethodGet, "/status", nil) == nil
}

// running asks the program for its status.
func running(ctx context.Context) (st status, err error) {
	if err = control.Ask(ctx, socket(), http.MethodGet, "/status", &st); err != nil {
		err = fmt.Errorf("no srp-initiator is running (%w)", err)
	}
	return st, err
}

// join adds ports to a program that runs.
func join(ctx context.Context, out io.Writer, o *portOptions, a *addOptions, logins []string) error {
	if a.socket != "" {
		return program.Usagef("--nbd %s: a program runs already, and has its own socket", a.socket)
	}
	options, err := json.Marshal(o)
	if err != nil {
		return err
	}
	for _, login := range logins {
		var added added
		query := url.Values{"login": {login}, "options": {string(options)}, "disk": {strconv.FormatBool(a.disk)}}
		if err := control.Ask(ctx, socket(), http.MethodPost, "/add?"+query.Encode(), &added); err != nil {
			return err
		}
		if a.json {
			if err := json.NewEncoder(out).Encode(added.Status); err != nil {
				return err
			}
			continue
		}
		for _, p := range added.Status.Ports {
			if p.Number == added.Number {
				printDoors(out, []portStatus{p})
			}
		}
	}
	return nil
}

// added answers an add.
type added struct {
	Number int    `json:"number"`
	Status status `json:"status"`
}

func runDelete(ctx context.Context, port string, force bool) error {
	number, err := strconv.Atoi(port)
	if err != nil || number < 1 {
		return program.Usagef("PORT %q must be the number of a port, as stat shows it", port)
	}
	query := url.Values{"port": {strconv.Itoa(number)}, "force": {strconv.FormatBool(force)}}
	if _, err := running(ctx); err != nil {
		return err
	}
	return control.Ask(ctx, socket(), http.MethodPost, "/delete?"+query.Encode(), nil)
}

// handler does what the program is told.
func (s *system) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) { control.WriteJSON(w, s.status()) })
	mux.HandleFunc("POST /add", func(w http.ResponseWriter, q *http.Request) {
		number, err := s.addAsked(q.Context(), q.URL.Query())
		if err != nil {
			control.WriteError(w, err)
			return
		}
		control.WriteJSON(w, added{number, s.news.Tell()})
	})
	mux.HandleFunc("POST /delete", func(w http.ResponseWriter, q *http.Request) {
		if err := s.delete(q.Context(), q.URL.Query()); err != nil {
			control.WriteError(w, err)
			return
		}
		control.WriteJSON(w, s.news.Tell())
	})
	return mux
}

func (s *system) addAsked(ctx context.Context, form url.Values) (int, error) {
	var o portOptions
	if err := json.Unmarshal([]byte(form.Get("options")), &o); err != nil {
		return 0, fmt.Errorf("options: %w: %w", syscall.EINVAL, err)
	}
	return s.add(ctx, &o, form.Get("login"), form.Get("disk") == "true")
}

// delete deletes a port, if nobody uses its block devices or force is wanted.
func (s *system) delete(ctx context.Context, form url.Values) error {
	p := s.port(form.Get("port"))
	if p == nil {
		return fmt.Errorf("no port has number %s: %w", form.Get("port"), syscall.ENOENT)
	}
	if form.Get("force") == "true" {
		return s.remove(p)
	}
	for _, d := range p.Disks() {
		if err := s.disks.InUse(d); err != nil {
			return err
		}
	}
	if err := s.settle(ctx, p); err != nil {
		return err
	}
	return s.remove(p)
}

// port finds a port by its number.
func (s *system) port(number string) *srp.RemotePort {
	for _, p := range s.initiator.Ports() {
		if strconv.Itoa(s.number(p)) == number {
			return p
		}
	}
	return nil
}

func (s *system) number(p *srp.RemotePort) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.numbers[p]
}
