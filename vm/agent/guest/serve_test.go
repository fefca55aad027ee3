// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"net"
	"strings"
	"testing"

	"github.com/ibnbd/ibnbd/vm/agent/internal/wire"
)

// ask sends messages on a stream of its own and returns the answer to them.
func ask(t *testing.T, send func(net.Conn)) (wire.Kind, []byte) {
	t.Helper()
	host, end := net.Pipe()
	defer host.Close()
	go func() {
		defer end.Close()
		new(session).serve(t.Context(), &stream{end})
	}()
	go send(host)
	kind, body, err := wire.ReadMessage(host)
	if err != nil {
		t.Fatal(err)
	}
	return kind, body
}

func TestBadRequestsAreAnsweredWithTheirFault(t *testing.T) {
	for says, test := range map[string]struct {
		kind wire.Kind
		body string
	}{
		"not with a request":         {wire.Stdin, "x"},
		"request: invalid character": {wire.Request, "what?"},
		"request: op is missing":     {wire.Request, "{}"},
		`unknown operation \"fly\"`:  {wire.Request, `{"op":"fly"}`},
		"request: arguments: json":   {wire.Request, `{"op":"stat","args":[]}`},
		"read of 8388609 bytes":      {wire.Request, `{"op":"pread","args":{"length":8388609}}`},
		"read of -1 bytes":           {wire.Request, `{"op":"pread","args":{"length":-1}}`},
		`"errno":9`:                  {wire.Request, `{"op":"sync","args":{"handle":7}}`},
	} {
		kind, body := ask(t, func(host net.Conn) { _ = wire.WriteMessage(host, test.kind, []byte(test.body)) })
		if kind != wire.Failure || !strings.Contains(string(body), says) {
			t.Errorf("%s: kind %d, %s; want a failure that says %q", test.body, kind, body, says)
		}
	}
}

func TestContentMustEnd(t *testing.T) {
	name := t.TempDir() + "/file"
	call, err := wire.NewCall(wire.OpCopyIn, wire.CopyIn{Path: name, Perm: 0o644})
	if err != nil {
		t.Fatal(err)
	}
	kind, body := ask(t, func(host net.Conn) {
		_ = wire.WriteJSON(host, wire.Request, call)
		_ = wire.WriteMessage(host, wire.Bytes, []byte("begin"))
		_ = wire.WriteMessage(host, wire.Ping, nil)
	})
	if kind != wire.Failure || !strings.Contains(string(body), "inside content") {
		t.Errorf("kind %d, %s", kind, body)
	}
}
