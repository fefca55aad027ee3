// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
)

// MaxFrame is the longest captured frame that is read from a file, in bytes; a longer one counts as damage.
const MaxFrame = 256 << 10

// DroppedSuffix ends the name of a pcapng interface that holds frames which did not arrive; they are Lost.
const DroppedSuffix = "-dropped"

var (
	// ErrFormat says that a file is no capture that can be read: another format, another link type, or damaged.
	ErrFormat = errors.New("not a readable capture")

	// ErrCutOff says that a capture ends in the middle of a record. What was read before it is good.
	ErrCutOff = errors.New("capture ends in the middle of a record")
)

// Source is a stream of frames. The data of a frame is valid until the next call. Next ends with io.EOF; an error that
// wraps [ErrCutOff] or [ErrFormat] ends it as well.
type Source interface {
	Next() (Frame, error)
	Close() error
}

// errDirectory says what is wrong with the name of a directory.
var errDirectory = fmt.Errorf("%w: it is a directory; name the capture files in it", ErrFormat)

// OpenFile opens a capture file: pcap, pcapng or snoop, compressed or not. The name "-" is the standard input. The rail of
// its frames is the name of the pcapng interface or, without one, the name of the file without directory and extension. The
// end of the context ends the waiting for a pipe or a terminal.
func OpenFile(ctx context.Context, name string) (Source, error) {
	file, err := openFile(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("capture %s: %w", name, err)
	}
	source, err := NewSource(file, RailOf(name))
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("capture %s: %w", name, err)
	}
	return &fileSource{Source: source, file: file, name: name}, nil
}

// RailOf is the rail of the frames in a file whose interfaces have no names.
func RailOf(file string) string {
	if file == "-" {
		return "stdin"
	}
	base := filepath.Base(file)
	for _, ext := range []string{".gz", ".bz2", ".pcap", ".pcapng", ".cap", ".snoop"} {
		base = strings.TrimSuffix(base, ext)
	}
	return base
}

// fileSource closes the file with the source and puts its name into errors.
type fileSource struct {
	Source
	file io.Closer
	name string
}

func (s *fileSource) Next() (Frame, error) {
	frame, err := s.Source.Next()
	if err != nil && err != io.EOF {
		err = fmt.Errorf("capture %s: %w", s.name, err)
	}
	return frame, err
}

func (s *fileSource) Close() error { return errors.Join(s.Source.Close(), s.file.Close()) }

// bufferSize is how much is read from a file at a time.
const bufferSize = 256 << 10

// NewSource reads a capture from r, whose first bytes tell the format. rail names the frames of interfaces without a name.
func NewSource(r io.Reader, rail string) (Source, error) {
	in, err := unpacked(bufio.NewReaderSize(r, bufferSize))
	if err != nil {
		return nil, err
	}
	magic, err := peek(in)
	if err != nil {
		return nil, err
	}
	var source Source
	switch {
	case isPcap(magic):
		source, err = newPcapSource(in, rail)
	case bytes.HasPrefix(magic, []byte{0x0A, 0x0D, 0x0D, 0x0A}):
		source, err = newNgSource(in, rail)
	case bytes.HasPrefix(magic, []byte(snoopMagic[:4])):
		source, err = newSnoopSource(in, rail)
	default:
		err = fmt.Errorf("%w: it begins with % x, which is neither pcap nor pcapng nor snoop; 'editcap -F pcapng' of Wireshark converts what it can read",
			ErrFormat, magic)
	}
	if err != nil {
		return nil, err
	}
	return &ending{Source: source}, nil
}

// peek gives the first four bytes.
func peek(in *bufio.Reader) ([]byte, error) {
	magic, err := in.Peek(4)
	switch {
	case err == nil:
		return magic, nil
	case errors.Is(err, io.EOF):
		return nil, fmt.Errorf("%w: the file has %d bytes, too few for any format", ErrFormat, len(magic))
	}
	return nil, err
}

// packers are the programs that compress files, by the first bytes of what they make, and what to do with those whose files
// are not unpacked here.
var packers = []struct {
	magic  string
	unpack func(io.Reader) (io.Reader, error)
	by     string
}{
	{"\x1f\x8b", func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) }, "gzip"},
	{"BZh", func(r io.Reader) (io.Reader, error) { return bzip2.NewReader(r), nil }, "bzip2"},
	{"\xfd7zX", nil, "xz"},
	{"\x28\xb5\x2f\xfd", nil, "zstd"},
	{"\x04\x22\x4d\x18", nil, "lz4"},
}

// unpacked reads through a compression.
func unpacked(in *bufio.Reader) (*bufio.Reader, error) {
	magic, err := peek(in)
	if err != nil {
		return nil, err
	}
	for _, p := range packers {
		if !strings.HasPrefix(string(magic), p.magic) {
			continue
		}
		if p.unpack == nil {
			return nil, fmt.Errorf("%w: it is compressed by %s: use '%s -dc FILE | ibnbd-conformance audit -'", ErrFormat, p.by, p.by)
		}
		from, err := p.unpack(in)
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %v", ErrFormat, p.by, err)
		}
		return bufio.NewReaderSize(&unpacker{from, p.by}, bufferSize), nil
	}
	return in, nil
}

// unpacker tells an error in compressed data from the end of a capture.
type unpacker struct {
	from io.Reader
	by   string
}

func (u *unpacker) Read(p []byte) (int, error) {
	n, err := u.from.Read(p)
	if err != nil && err != io.EOF && !isInterrupt(err) {
		err = fmt.Errorf("%w: data compressed by %s is cut off or damaged: %w", ErrFormat, u.by, err)
	}
	return n, err
}

// ending keeps the first error of a source. Behind a broken record nobody knows where the next one begins.
type ending struct {
	Source
	err error
}

func (s *ending) Next() (Frame, error) {
	if s.err != nil {
		return Frame{}, s.err
	}
	frame, err := s.Source.Next()
	s.err = err
	return frame, err
}

// recordError explains an error of reading the record after frame n.
func recordError(err error, n uint64) error {
	switch {
	case err == io.EOF:
		return io.EOF
	case isInterrupt(err):
		return fmt.Errorf("reading ended after frame %d: %w", n, err)
	case errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, ErrFormat):
		return fmt.Errorf("%w, after frame %d", ErrCutOff, n)
	}
	return fmt.Errorf("record after frame %d: %w", n, err)
}

// isInterrupt tells the end of a context from an error of a file.
func isInterrupt(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
