// SPDX-License-Identifier: Apache-2.0

// Package control lets people talk to a program that runs: HTTP on a Unix socket that only its user can open.
package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Listen listens on a Unix socket at path. One that a program left behind which is gone is replaced.
func Listen(path string) (net.Listener, error) {
	path = filePath(path)
	if err := CheckSocketPath(path); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	if c, err := net.Dial("unix", path); err == nil {
		c.Close()
		return nil, fmt.Errorf("socket %s is in use by another program", path)
	}
	if err := removeSocket(path); err != nil {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// removeSocket removes a socket, if there is one, and nothing else.
func removeSocket(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != os.ModeSocket:
		return fmt.Errorf("%s is there already, and is not a socket", path)
	}
	return os.Remove(path)
}

// CheckLocal refuses what ListenLocal does not take.
func CheckLocal(where string) error {
	if path, ok := strings.CutPrefix(where, "unix:"); ok {
		return CheckSocketPath(path)
	}
	if addr, err := netip.ParseAddrPort(where); err != nil || !addr.Addr().IsLoopback() || addr.Port() == 0 {
		return fmt.Errorf("address %q must be unix:PATH, or a loopback address and a port, such as 127.0.0.1:9480", where)
	}
	return nil
}

// ListenLocal listens on "unix:PATH", or on a port of a loopback address. Anything that others can reach is refused.
func ListenLocal(where string) (net.Listener, error) {
	if path, ok := strings.CutPrefix(where, "unix:"); ok {
		return Listen(path)
	}
	if err := CheckLocal(where); err != nil {
		return nil, err
	}
	return net.Listen("tcp", where)
}

// shutdownWait is how long answers that are on their way may take when a program ends.
const shutdownWait = 2 * time.Second

// Serve serves HTTP until ctx ends.
func Serve(ctx context.Context, l net.Listener, h http.Handler) error {
	s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownWait)
	defer cancel()
	err := s.Shutdown(ctx)
	if served := <-ended; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// WriteJSON answers with a value.
func WriteJSON(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	if err := e.Encode(value); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// maxAnswer is the longest answer that is read, in bytes.
const maxAnswer = 16 << 20

// Ask sends a request to the program that listens on a Unix socket, and reads its JSON into answer unless that is nil.
func Ask(ctx context.Context, socket, method, path string, answer any) error {
	socket = filePath(socket)
	if err := CheckSocketPath(socket); err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
	defer client.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, method, "http://program"+path, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return failureOf(body)
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(body, answer)
}

// failureOf reads an answer that is an error.
func failureOf(body []byte) error {
	var f Failure
	if json.Unmarshal(body, &f) != nil || f.Message == "" {
		return errors.New(strings.TrimSpace(string(body)))
	}
	return &f
}
