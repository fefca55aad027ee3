// SPDX-License-Identifier: Apache-2.0

package recordings

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"

	"github.com/ibnbd/ibnbd/conformance/audit"
	recordings "github.com/ibnbd/ibnbd/conformance/audit/testdata"
	captures "github.com/ibnbd/ibnbd/reference/roce/testdata/captures"
)

// files are the rails of one capture, in the order in which equal times are told apart.
type files struct {
	in    embed.FS
	names []string
}

// captured are captures of mainline Linux.
func captured(names ...string) files { return files{captures.Files, names} }

// recorded is a recording from the lab.
func recorded(name string, rails ...string) files {
	var names []string
	for _, rail := range rails {
		names = append(names, name+"-"+rail+".pcapng.gz")
	}
	return files{recordings.Files, names}
}

// load reads the frames, merged by time. Each has its own bytes.
func (f files) load() ([]audit.Frame, error) {
	var sources []audit.Source
	for _, name := range f.names {
		data, err := fs.ReadFile(f.in, name)
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
