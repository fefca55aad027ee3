// SPDX-License-Identifier: Apache-2.0

package foreign

import (
	"bufio"
	"errors"
	"os"
	"sync"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"github.com/ibnbd/ibnbd/reference/rdma/soft"
	"github.com/ibnbd/ibnbd/reference/roce"
)

// recorder writes the packets of one own device into a file, from begin to end. It lives as long as the device.
type recorder struct {
	rail string

	mu     sync.Mutex
	file   *os.File // nil between two recordings
	buffer *bufio.Writer
	out    *pcapgo.NgWriter
	err    error // the first
	frames int   // that the file has
	// messages are the frames that carry one: all but acknowledgements. They stay until the next recording.
	messages []message
}

// message is a frame, and when it was sent or came.
type message struct {
	at     time.Time
	number int
}

// record takes packets that go out, or that came in, whatever becomes of them here.
func (r *recorder) record(packets []*soft.Packet) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.file == nil {
		return
	}
	at := time.Now()
	for _, p := range packets {
		data := p.Datagram()
		info := gopacket.CaptureInfo{Timestamp: at, CaptureLength: len(data), Length: len(data)}
		r.err = errors.Join(r.err, r.out.WritePacket(info, data))
		r.frames++
		if p.OpCode() != roce.RCAcknowledge {
			r.messages = append(r.messages, message{at, r.frames})
		}
	}
}

// lastMessage is the last message before some time; with number 0 if there was none.
func (r *recorder) lastMessage(before time.Time) (last message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.messages {
		if !m.at.After(before) && m.at.After(last.at) {
			last = m
		}
	}
	return last
}

// begin starts a file.
func (r *recorder) begin(name string) error {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.file, r.err, r.buffer = file, nil, bufio.NewWriter(file)
	r.frames, r.messages = 0, nil
	r.out, err = pcapgo.NewNgWriterInterface(r.buffer, pcapgo.NgInterface{
		Name: r.rail, LinkType: layers.LinkTypeRaw, TimestampResolution: 9,
	}, pcapgo.DefaultNgWriterOptions)
	return err
}

// end makes the file whole.
func (r *recorder) end() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.file == nil {
		return nil
	}
	err := errors.Join(r.err, r.out.Flush(), r.buffer.Flush(), r.file.Close())
	r.file = nil
	return err
}
