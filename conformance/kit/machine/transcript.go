// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"bytes"
	"sync"
)

// maxTranscript is how much of what a program says is kept, in bytes: the newest.
const maxTranscript = 1 << 20

// Transcript collects what programs say, for the evidence of a spec. It may be used by several goroutines.
type Transcript struct {
	mu    sync.Mutex
	text  []byte
	lines int // that were ever said
}

// Write adds text.
func (t *Transcript) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines += bytes.Count(p, []byte("\n"))
	t.text = append(t.text, p...)
	if excess := len(t.text) - maxTranscript; excess > 0 {
		t.text = append([]byte(nil), t.text[excess:]...)
	}
	return len(p), nil
}

// Take gives what was said since it was last asked.
func (t *Transcript) Take() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := t.text
	t.text = nil
	return text
}

// Lines is how many lines were ever said, those that were not kept included.
func (t *Transcript) Lines() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.lines
}

// Lines calls Do with each line that is written to it, without the newline. It is for one writer.
type Lines struct {
	Do   func(line []byte)
	rest []byte
}

// Write takes text in pieces of any length.
func (l *Lines) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	for {
		line, rest, whole := bytes.Cut(l.rest, []byte("\n"))
		if !whole {
			return len(p), nil
		}
		l.Do(line)
		l.rest = append([]byte(nil), rest...)
	}
}
