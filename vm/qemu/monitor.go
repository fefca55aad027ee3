// SPDX-License-Identifier: Apache-2.0

package qemu

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"
)

// Event is what QEMU tells of its own accord, such as "STOP", "RESUME", "RESET" or "SHUTDOWN" (QEMU QMP Reference Manual).
type Event struct {
	Name string
	At   time.Time       // QEMU's time stamp, host clock
	Data json.RawMessage // the event's own members, as a JSON object; empty where it has none
}

// CommandError is QEMU's refusal of a QMP command.
type CommandError struct {
	Command string
	Class   string `json:"class"`
	Desc    string `json:"desc"`
}

// Error gives the command and QEMU's own words.
func (e *CommandError) Error() string {
	return fmt.Sprintf("QMP command %s: %s (%s)", e.Command, e.Desc, e.Class)
}

// errMonitorClosed says that QEMU is gone, or closed the connection.
var errMonitorClosed = errors.New("the QMP connection is closed")

// monitor speaks QMP, QEMU's control protocol: JSON objects in both directions, a reply to each command, events between.
type monitor struct {
	conn   net.Conn
	events func(Event) // called in order; must not block
	ended  chan struct{}

	mu      sync.Mutex // guards the fields below, and writing
	last    int
	waiting map[int]chan message
}

// message is anything that QEMU sends.
type message struct {
	Greeting  json.RawMessage `json:"QMP"`
	ID        int             `json:"id"`
	Return    json.RawMessage `json:"return"`
	Error     *CommandError   `json:"error"`
	Event     string          `json:"event"`
	Data      json.RawMessage `json:"data"`
	Timestamp struct {
		Seconds      int64 `json:"seconds"`
		Microseconds int64 `json:"microseconds"`
	} `json:"timestamp"`
}

type command struct {
	Execute   string `json:"execute"`
	Arguments any    `json:"arguments,omitempty"`
	ID        int    `json:"id"`
}

// openMonitor waits for QEMU's greeting on conn and leaves the negotiation mode. It owns conn.
func openMonitor(ctx context.Context, conn net.Conn, events func(Event)) (*monitor, error) {
	m := &monitor{conn: conn, events: events, ended: make(chan struct{}), waiting: map[int]chan message{}}
	greeted := make(chan struct{})
	go m.read(greeted)
	select {
	case <-greeted:
	case <-m.ended:
		return nil, errMonitorClosed
	case <-ctx.Done():
		_ = conn.Close()
		return nil, fmt.Errorf("wait for QEMU's greeting: %w", ctx.Err())
	}
	if err := m.execute(ctx, "qmp_capabilities", nil); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return m, nil
}

func (m *monitor) read(greeted chan<- struct{}) {
	defer close(m.ended)
	decoder := json.NewDecoder(m.conn)
	for {
		var msg message
		if decoder.Decode(&msg) != nil {
			return
		}
		switch {
		case msg.Greeting != nil:
			close(greeted)
		case msg.Event != "":
			at := time.Unix(msg.Timestamp.Seconds, msg.Timestamp.Microseconds*1000)
			m.events(Event{Name: msg.Event, At: at, Data: msg.Data})
		default:
			m.answer(msg)
		}
	}
}

func (m *monitor) answer(msg message) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if reply, ok := m.waiting[msg.ID]; ok {
		delete(m.waiting, msg.ID)
		reply <- msg
	}
}

// execute sends a command and waits until it is carried out.
func (m *monitor) execute(ctx context.Context, name string, arguments any) error {
	return m.ask(ctx, name, arguments, nil)
}

// ask sends a command, waits for its reply and puts what that returns into answer, which may be nil.
func (m *monitor) ask(ctx context.Context, name string, arguments, answer any) error {
	id, reply, err := m.send(ctx, name, arguments)
	if err != nil {
		return fmt.Errorf("QMP command %s: %w", name, err)
	}
	select {
	case msg := <-reply:
		if msg.Error != nil {
			msg.Error.Command = name
			return msg.Error
		}
		if answer == nil {
			return nil
		}
		if err := json.Unmarshal(msg.Return, answer); err != nil {
			return fmt.Errorf("QMP command %s: reply %s: %w", name, msg.Return, err)
		}
		return nil
	case <-m.ended:
		return fmt.Errorf("QMP command %s: %w", name, errMonitorClosed)
	case <-ctx.Done():
		m.mu.Lock()
		delete(m.waiting, id)
		m.mu.Unlock()
		return fmt.Errorf("QMP command %s: %w", name, ctx.Err())
	}
}

func (m *monitor) send(ctx context.Context, name string, arguments any) (int, <-chan message, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last++
	line, err := json.Marshal(command{name, arguments, m.last})
	if err != nil {
		return 0, nil, err
	}
	deadline, _ := ctx.Deadline() // no deadline is the zero time, which net.Conn takes for none
	_ = m.conn.SetWriteDeadline(deadline)
	_, err = m.conn.Write(append(line, '\n'))
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) {
		return 0, nil, errMonitorClosed // the reader has not seen it yet
	}
	if err != nil {
		return 0, nil, err
	}
	reply := make(chan message, 1)
	m.waiting[m.last] = reply
	return m.last, reply, nil
}

// finish waits until all that a QEMU which is gone has sent is read, its last events above all, and closes the connection.
func (m *monitor) finish() {
	<-m.ended
	_ = m.conn.Close()
}
