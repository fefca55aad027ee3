// SPDX-License-Identifier: Apache-2.0

package verdict

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/ibnbd/ibnbd/conformance/clauses"
)

// JournalVersion is the version of the journal's format. It grows when a reader of the old one would be misled.
const JournalVersion = 1

// record is one line of a journal.
type record struct {
	Kind    string     `json:"kind"` // "header", "result" or "end"
	Version int        `json:"version,omitempty"`
	Header  *Header    `json:"header,omitempty"`
	Result  *Result    `json:"result,omitempty"`
	End     *time.Time `json:"end,omitempty"`
}

// Writer records a run as it goes: every record is on disk when the call that wrote it returns. It may be used by
// several goroutines.
type Writer struct {
	mu        sync.Mutex
	catalogue *clauses.Catalogue
	file      *os.File
	run       Run
}

// Create begins the journal of a run in a new file, which replaces one of the same name.
func Create(name string, catalogue *clauses.Catalogue, header Header) (*Writer, error) {
	if err := header.Validate(); err != nil {
		return nil, err
	}
	file, err := os.Create(name)
	if err != nil {
		return nil, fmt.Errorf("create journal: %w", err)
	}
	w := &Writer{catalogue: catalogue, file: file}
	if err := w.SetHeader(header); err != nil {
		file.Close()
		return nil, err
	}
	return w, nil
}

// SetHeader replaces the header, for what was not known at the start, such as the versions in a machine that had to boot.
func (w *Writer) SetHeader(header Header) error {
	if err := header.Validate(); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.write(record{Kind: "header", Version: JournalVersion, Header: &header}); err != nil {
		return err
	}
	w.run.Header = header
	return nil
}

// Append records a result. A result that does not fit the catalogue is refused and not recorded.
func (w *Writer) Append(result Result) error {
	if err := result.Validate(w.catalogue); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.write(record{Kind: "result", Result: &result}); err != nil {
		return err
	}
	w.run.Results = append(w.run.Results, result)
	return nil
}

// Finish records that the run came to its end, and closes the journal.
func (w *Writer) Finish(end time.Time) error {
	w.mu.Lock()
	err := w.write(record{Kind: "end", End: &end})
	if err == nil {
		w.run.End = end
	}
	w.mu.Unlock()
	return errors.Join(err, w.Close())
}

// Close closes the journal. Without Finish before it, the run counts as interrupted. Closing twice is allowed.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.file == nil {
		return nil
	}
	err := w.file.Close()
	w.file = nil
	if err != nil {
		return fmt.Errorf("close journal: %w", err)
	}
	return nil
}

// Run returns the run as recorded so far.
func (w *Writer) Run() Run {
	w.mu.Lock()
	defer w.mu.Unlock()
	run := w.run
	run.Results = slices.Clone(run.Results)
	return run
}

func (w *Writer) write(r record) error {
	if w.file == nil {
		return fmt.Errorf("write %s to journal: %w", r.Kind, os.ErrClosed)
	}
	line, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode %s for journal: %w", r.Kind, err)
	}
	if _, err := w.file.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("write %s to journal: %w", r.Kind, err)
	}
	if err := w.file.Sync(); err != nil {
		return fmt.Errorf("sync journal: %w", err)
	}
	return nil
}

// ReadJournal reads the journal of a run. A journal whose writer died in the middle of a record is read up to there and
// the run is marked as torn; any other damage is an error that names the line.
func ReadJournal(name string) (Run, error) {
	file, err := os.Open(name)
	if err != nil {
		return Run{}, fmt.Errorf("read journal: %w", err)
	}
	defer file.Close()
	run, err := DecodeJournal(file)
	if err != nil {
		return Run{}, fmt.Errorf("read journal %s: %w", name, err)
	}
	return run, nil
}

// DecodeJournal is ReadJournal on a stream.
func DecodeJournal(r io.Reader) (Run, error) {
	var run Run
	lines := bufio.NewReader(r)
	for number := 1; ; number++ {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			run.Torn = len(line) > 0
			break
		}
		if err != nil {
			return Run{}, fmt.Errorf("line %d: %w", number, err)
		}
		if err := run.decode(line, number == 1); err != nil {
			return Run{}, fmt.Errorf("line %d: %w", number, err)
		}
	}
	if run.Header.Start.IsZero() {
		return Run{}, errors.New("there is no header")
	}
	return run, nil
}

func (run *Run) decode(line []byte, first bool) error {
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.DisallowUnknownFields()
	var r record
	if err := decoder.Decode(&r); err != nil {
		return err
	}
	switch {
	case !run.End.IsZero():
		return fmt.Errorf("a %q record after the end", r.Kind)
	case r.Kind == "header" && r.Header != nil:
		if r.Version != JournalVersion {
			return fmt.Errorf("version %d, this program reads %d", r.Version, JournalVersion)
		}
		run.Header = *r.Header
	case first:
		return fmt.Errorf("a %q record before the header", r.Kind)
	case r.Kind == "result" && r.Result != nil:
		run.Results = append(run.Results, *r.Result)
	case r.Kind == "end" && r.End != nil:
		run.End = *r.End
	default:
		return fmt.Errorf("a record of unknown kind %q", r.Kind)
	}
	return nil
}
