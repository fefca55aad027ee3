// SPDX-License-Identifier: Apache-2.0

package audittest

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/ibnbd/ibnbd/conformance/audit"
)

// TestWaitingEndsWithItsContext: nobody waits for a pipe longer than its context lives, however far the pipe has come.
func TestWaitingEndsWithItsContext(t *testing.T) {
	data := classic{}.write(load(t, audit.Files{Names: []string{baseCase}}))
	for _, test := range []struct {
		name   string
		opened bool // by a writer
		sent   []byte
		frames int
	}{
		{"a named pipe that nobody writes to", false, nil, 0},
		{"a named pipe without a byte", true, nil, 0},
		{"half a header", true, data[:10], 0},
		{"a header", true, data[:24], 0},
		{"a frame and a half", true, data[:24+16+322+100], 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			name := filepath.Join(t.TempDir(), "fifo")
			if err := syscall.Mkfifo(name, 0o600); err != nil {
				t.Fatal(err)
			}
			if test.opened {
				writer, err := os.OpenFile(name, os.O_RDWR, 0) // which does not wait for the reader
				if err != nil {
					t.Fatal(err)
				}
				defer writer.Close()
				writer.Write(test.sent)
			}
			ctx, cancel := context.WithCancelCause(t.Context())
			got, ended := make(chan Capture), make(chan error)
			go func() {
				source, err := audit.OpenFile(ctx, name)
				if err != nil {
					close(got)
					ended <- err
					return
				}
				defer source.Close()
				for {
					frame, err := source.Next()
					if err != nil {
						close(got)
						ended <- err
						return
					}
					got <- Capture{frame}
				}
			}()
			for range test.frames {
				<-got
			}
			because := errors.New("enough")
			cancel(because)
			if err := <-ended; !errors.Is(err, context.Canceled) || !errors.Is(err, because) {
				t.Errorf("error %v, want %v because %v", err, context.Canceled, because)
			}
		})
	}
}

// TestWaitingReadsToTheEnd: what goes through a pipe comes out whole.
func TestWaitingReadsToTheEnd(t *testing.T) {
	want := load(t, audit.Files{Names: []string{baseCase}})
	data := classic{}.write(want)
	name := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, 1)
	go func() {
		writer, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err == nil {
			_, err = writer.Write(data)
			err = errors.Join(err, writer.Close())
		}
		failed <- err
	}()
	source, err := audit.OpenFile(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	got, err := drain(source)
	if err := errors.Join(err, <-failed); err != nil || len(got) != len(want) {
		t.Errorf("%d frames, want %d: %v", len(got), len(want), err)
	}
	if _, err := source.Next(); err != io.EOF {
		t.Errorf("behind the end: %v", err)
	}
}
