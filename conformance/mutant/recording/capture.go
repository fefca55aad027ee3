// SPDX-License-Identifier: Apache-2.0

package recording

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"

	"github.com/ibnbd/ibnbd/conformance/audit"
)

// Capture is the files of one recorded exchange, a file for each rail, in the order in which equal times are told apart.
type Capture struct {
	FS    fs.FS
	Files []string
}

// load reads the frames, merged by time. Each has its own bytes.
func (c Capture) load() ([]audit.Frame, error) {
	var sources []audit.Source
	for _, name := range c.Files {
		data, err := fs.ReadFile(c.FS, name)
		if err != nil {
			return nil, fmt.Errorf("capture %s: %w", name, err)
		}
		source, err := audit.NewSource(bytes.NewReader(data), audit.RailOf(path.Base(name)))
		if err != nil {
			return nil, fmt.Errorf("capture %s: %w", name, err)
		}
		sources = append(sources, source)
	}
	merged := audit.Merge(sources...)
	var frames []audit.Frame
	for {
		frame, err := merged.Next()
		if errors.Is(err, io.EOF) {
			return frames, nil
		}
		if err != nil {
			return nil, err
		}
		frame.Data = bytes.Clone(frame.Data)
		frames = append(frames, frame)
	}
}

// replay is a source of frames.
type replay struct {
	frames []audit.Frame
	next   int
}

func (r *replay) Next() (audit.Frame, error) {
	if r.next == len(r.frames) {
		return audit.Frame{}, io.EOF
	}
	r.next++
	return r.frames[r.next-1], nil
}

func (r *replay) Close() error { return nil }
