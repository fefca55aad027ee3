// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/ibnbd/ibnbd/vm/agent/internal/wire"
)

// A stream is one operation on its way. Whoever begins one must finish it.
type stream struct {
	net.Conn
	client *Client
	ctx    context.Context
	op     string
	stop   func() bool
	ended  sync.Once
}

// past is a deadline that has gone by.
var past = time.Unix(1, 0)

// begin opens a stream and sends the request.
func (c *Client) begin(ctx context.Context, op string, args any) (*stream, error) {
	call, err := wire.NewCall(op, args)
	if err != nil {
		return nil, fmt.Errorf("guest %s: %w", op, err)
	}
	st := &stream{client: c, ctx: ctx, op: op}
	if err := ctx.Err(); err != nil {
		return nil, st.failed(err)
	}
	conn, err := c.mux.OpenStream()
	if err != nil {
		return nil, st.failed(err)
	}
	st.Conn = conn
	st.stop = context.AfterFunc(ctx, func() {
		_ = conn.SetDeadline(past) // ends every read and write; it cannot fail
	})
	if err := wire.WriteJSON(st, wire.Request, call); err != nil {
		st.finish()
		return nil, st.failed(err)
	}
	return st, nil
}

// finish lets go of the stream, and with it of what is still running for it in the guest. It may be called twice.
func (st *stream) finish() {
	st.ended.Do(func() {
		st.stop()
		_ = st.Conn.Close() // tells the guest; a guest that is gone need not be told
		// What the guest still says must be taken, or it would wait for ever to say it. This ends when the guest lets go.
		_ = st.Conn.SetReadDeadline(time.Time{})
		go func() { _, _ = io.Copy(io.Discard, st.Conn) }()
	})
}

// receive reads the next message. What the guest reports as its failure is returned as an error.
func (st *stream) receive() (wire.Kind, []byte, error) {
	kind, body, err := wire.ReadMessage(st)
	if err != nil {
		return 0, nil, st.failed(err)
	}
	if kind != wire.Failure {
		return kind, body, nil
	}
	var failure wire.Error
	if err := json.Unmarshal(body, &failure); err != nil {
		return 0, nil, st.failed(err)
	}
	return 0, nil, fmt.Errorf("guest: %w", failure.Unpack())
}

// failed says why the stream itself failed: the caller's context, the guest's end, or err.
func (st *stream) failed(err error) error {
	if st.ctx.Err() != nil {
		err = context.Cause(st.ctx)
	} else if lost := st.client.Err(); lost != nil {
		err = lost
	}
	return fmt.Errorf("guest %s: %w", st.op, err)
}

// unexpected is the error for a message that does not belong where it came.
func (st *stream) unexpected(kind wire.Kind) error {
	return fmt.Errorf("guest %s: message of kind %d is out of place", st.op, kind)
}

// result reads the Reply that must come next into result, unless that is nil.
func (st *stream) result(result any) error {
	kind, body, err := st.receive()
	if err != nil {
		return err
	}
	if kind != wire.Reply {
		return st.unexpected(kind)
	}
	return st.decode(body, result)
}

func (st *stream) decode(body []byte, value any) error {
	if value == nil {
		return nil
	}
	if err := json.Unmarshal(body, value); err != nil {
		return fmt.Errorf("guest %s: answer: %w", st.op, err)
	}
	return nil
}

// call carries out an operation that has one answer. If data is not nil it follows the request.
func (c *Client) call(ctx context.Context, op string, args any, data []byte, result any) error {
	st, err := c.begin(ctx, op, args)
	if err != nil {
		return err
	}
	defer st.finish()
	if data != nil {
		if err := wire.WriteMessage(st, wire.Bytes, data); err != nil {
			return st.failed(err)
		}
	}
	return st.result(result)
}
