// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"io"
	"sync"
	"time"

	"github.com/hashicorp/yamux"
)

// A Conn is one session's byte stream inside the frames of a port. Reading gets the payloads of its Data frames; they come
// from whoever reads the port, by Deliver. Writing makes Data frames.
type Conn struct {
	session uint64
	port    io.Writer
	writing sync.Mutex
	pipe    *io.PipeReader
	deliver *io.PipeWriter
	closed  sync.Once
	onClose func()
}

// NewConn returns the byte stream of a session over port. Writes to port, each of one frame, must be safe to mix with
// those of others. onClose, which may be nil, is called once when the stream is closed.
func NewConn(session uint64, port io.Writer, onClose func()) *Conn {
	r, w := io.Pipe()
	return &Conn{session: session, port: port, pipe: r, deliver: w, onClose: onClose}
}

// Session is the number that its frames carry.
func (c *Conn) Session() uint64 { return c.session }

// Deliver hands over the payload of a frame to whoever reads the stream, and returns when it has been read.
func (c *Conn) Deliver(payload []byte) error {
	_, err := c.deliver.Write(payload)
	return err
}

// End makes reading fail with err once; io.EOF is the clean end.
func (c *Conn) End(err error) { c.deliver.CloseWithError(err) }

func (c *Conn) Read(p []byte) (int, error) { return c.pipe.Read(p) }

func (c *Conn) Write(p []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	written := 0
	for len(p) > 0 {
		part := p[:min(len(p), MaxPayload)]
		if err := WriteFrame(c.port, Frame{Data, c.session, part}); err != nil {
			return written, err
		}
		written += len(part)
		p = p[len(part):]
	}
	return written, nil
}

// Close ends the stream for whoever reads or delivers.
func (c *Conn) Close() error {
	c.closed.Do(func() {
		c.pipe.CloseWithError(io.ErrClosedPipe)
		if c.onClose != nil {
			c.onClose()
		}
	})
	return nil
}

// never is the timeout for what a paused guest may delay: a guest can stand still for as long as a test likes.
const never = 365 * 24 * time.Hour

// Multiplexing is the configuration of the streams inside a session. Nothing in it gives up on a guest that is paused;
// that a guest is gone is told by the end of the connection.
func Multiplexing() *yamux.Config {
	config := yamux.DefaultConfig()
	config.AcceptBacklog = 1024
	config.EnableKeepAlive = false
	config.ConnectionWriteTimeout = never
	config.StreamOpenTimeout = 0
	config.StreamCloseTimeout = never
	config.MaxStreamWindowSize = 1 << 20
	config.LogOutput = io.Discard
	return config
}
