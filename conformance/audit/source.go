// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"bufio"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
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

// OpenFile opens a capture file: pcap or pcapng, gzip-compressed or not. The name "-" is the standard input. The rail of
// its frames is the name of the pcapng interface or, without one, the name of the file without directory and extension.
func OpenFile(name string) (Source, error) {
	if name == "-" {
		return NewSource(os.Stdin, RailOf(name))
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("open capture: %w", err)
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
	for _, ext := range []string{".gz", ".pcap", ".pcapng", ".cap"} {
		base = strings.TrimSuffix(base, ext)
	}
	return base
}

// fileSource closes the file with the source and puts its name into errors.
type fileSource struct {
	Source
	file *os.File
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

// NewSource reads a capture from r, whose first bytes tell the format. rail names the frames of interfaces without a name.
func NewSource(r io.Reader, rail string) (Source, error) {
	in := bufio.NewReaderSize(r, 256<<10)
	magic, err := in.Peek(4)
	if err != nil {
		return nil, fmt.Errorf("%w: the file has %d bytes, too few for any format", ErrFormat, len(magic))
	}
	if magic[0] == 0x1f && magic[1] == 0x8b {
		unpacked, err := gzip.NewReader(in)
		if err != nil {
			return nil, fmt.Errorf("%w: gzip: %v", ErrFormat, err)
		}
		in = bufio.NewReaderSize(unpacked, 256<<10)
		if magic, err = in.Peek(4); err != nil {
			return nil, fmt.Errorf("%w: the unpacked file is too short for any format", ErrFormat)
		}
	}
	switch binary.LittleEndian.Uint32(magic) {
	case 0x0A0D0D0A:
		return newNgSource(in, rail)
	case 0xA1B2C3D4, 0xD4C3B2A1, 0xA1B23C4D, 0x4D3CB2A1:
		return newPcapSource(in, rail)
	}
	return nil, fmt.Errorf("%w: it begins with % x, which is neither pcap nor pcapng", ErrFormat, magic)
}

// linkOf maps a link type of the file formats; the second value is false for one that is not understood.
func linkOf(t layers.LinkType) (Link, bool) {
	const sll2 = 276 & 0xFF // the library keeps 8 bits of the type
	switch t {
	case layers.LinkTypeEthernet:
		return Ethernet, true
	case layers.LinkTypeRaw, layers.LinkTypeIPv4, layers.LinkTypeIPv6, 12, 14:
		return RawIP, true
	case layers.LinkTypeLinuxSLL:
		return LinuxSLL, true
	case sll2:
		return LinuxSLLv2, true
	}
	return 0, false
}

func unknownLink(t layers.LinkType) error {
	return fmt.Errorf("%w: link type %d (%v) is not Ethernet, raw IP or Linux cooked capture", ErrFormat, uint8(t), t)
}

// pcapSource reads the classic format.
type pcapSource struct {
	reader *pcapgo.Reader
	frame  Frame
}

func newPcapSource(in io.Reader, rail string) (Source, error) {
	reader, err := pcapgo.NewReader(in)
	if err != nil {
		return nil, fmt.Errorf("%w: pcap header: %v", ErrFormat, err)
	}
	link, ok := linkOf(reader.LinkType())
	if !ok {
		return nil, unknownLink(reader.LinkType())
	}
	if snap := reader.Snaplen(); snap == 0 || snap > MaxFrame {
		reader.SetSnaplen(MaxFrame) // the reader allocates as much as the header says
	}
	return &pcapSource{reader: reader, frame: Frame{FrameID: FrameID{Rail: rail}, Link: link}}, nil
}

func (s *pcapSource) Close() error { return nil }

func (s *pcapSource) Next() (Frame, error) {
	data, info, err := s.reader.ZeroCopyReadPacketData()
	if err != nil {
		return Frame{}, recordError(err, s.frame.Number)
	}
	s.frame.Number++
	s.frame.At, s.frame.Data, s.frame.OrigLen = info.Timestamp, data, info.Length
	return s.frame, nil
}

// recordError explains an error of reading the record after frame n.
func recordError(err error, n uint64) error {
	switch {
	case err == io.EOF:
		return io.EOF
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w, after frame %d", ErrCutOff, n)
	}
	return fmt.Errorf("%w: record after frame %d: %w", ErrFormat, n, err)
}

// ngSource reads the next generation format.
type ngSource struct {
	reader *pcapgo.NgReader
	rail   string
	number uint64
	ifaces []ngInterface
}

type ngInterface struct {
	rail    string
	link    Link
	known   bool
	dropped bool
}

func newNgSource(in io.Reader, rail string) (s Source, err error) {
	defer recoverDamage(&err)
	options := pcapgo.NgReaderOptions{WantMixedLinkType: true, SkipUnknownVersion: true}
	source := &ngSource{rail: rail}
	options.SectionEndCallback = func([]pcapgo.NgInterface, pcapgo.NgSectionInfo) { source.ifaces = source.ifaces[:0] }
	reader, err := pcapgo.NewNgReader(&ngGuard{in: in}, options)
	if err != nil {
		return nil, fmt.Errorf("%w: pcapng header: %w", ErrFormat, err)
	}
	source.reader = reader
	return source, nil
}

// recoverDamage turns a panic of the library over a damaged file into an error.
func recoverDamage(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%w: damaged block: %v", ErrFormat, p)
	}
}

func (s *ngSource) Close() error { return nil }

func (s *ngSource) Next() (frame Frame, err error) {
	defer recoverDamage(&err)
	data, info, err := s.reader.ZeroCopyReadPacketData()
	if err != nil {
		return Frame{}, recordError(err, s.number)
	}
	s.number++
	iface := s.iface(info)
	if !iface.known {
		return Frame{}, unknownLink(info.AncillaryData[0].(layers.LinkType))
	}
	return Frame{FrameID{iface.rail, s.number}, info.Timestamp, data, info.Length, iface.link, iface.dropped}, nil
}

// iface returns what is known of the interface of a record; names are looked up once.
func (s *ngSource) iface(info gopacket.CaptureInfo) ngInterface {
	for len(s.ifaces) <= info.InterfaceIndex {
		desc, _ := s.reader.Interface(len(s.ifaces))
		link, known := linkOf(desc.LinkType)
		name := desc.Name
		if name == "" {
			name = s.rail
		}
		name, dropped := strings.CutSuffix(name, DroppedSuffix)
		s.ifaces = append(s.ifaces, ngInterface{name, link, known, dropped})
	}
	return s.ifaces[info.InterfaceIndex]
}

// ngGuard hands whole pcapng blocks on to the library after it has checked their lengths, which the library believes.
type ngGuard struct {
	in    io.Reader
	big   bool
	block []byte // bytes of the present block that were not handed on yet
	buf   []byte
}

const maxBlock = MaxFrame + 64<<10

func (g *ngGuard) Read(p []byte) (int, error) {
	if len(g.block) == 0 {
		if err := g.load(); err != nil {
			return 0, err
		}
	}
	n := copy(p, g.block)
	g.block = g.block[n:]
	return n, nil
}

func (g *ngGuard) load() error {
	if g.buf == nil {
		g.buf = make([]byte, 12, 64<<10)
	}
	head := g.buf[:12]
	if _, err := io.ReadFull(g.in, head); err != nil {
		return err
	}
	kind := binary.LittleEndian.Uint32(head)
	if kind == 0x0A0D0D0A {
		g.big = binary.BigEndian.Uint32(head[8:]) == 0x1A2B3C4D
	}
	length := g.u32(head[4:])
	if length < 12 || length%4 != 0 || length > maxBlock {
		return fmt.Errorf("block length is %d, must be a multiple of 4 from 12 to %d", length, maxBlock)
	}
	if cap(g.buf) < int(length) {
		g.buf = append(make([]byte, 0, maxBlock), head...)
	}
	g.buf = g.buf[:length]
	if _, err := io.ReadFull(g.in, g.buf[12:]); err != nil {
		return noEOF(err)
	}
	if err := g.check(g.u32(g.buf), g.buf[8:]); err != nil {
		return err
	}
	g.block = g.buf
	return nil
}

// check compares the captured length in a packet block with the room in the block.
func (g *ngGuard) check(kind uint32, body []byte) error {
	const interfaceBlock, packetBlock, enhancedBlock = 1, 2, 6
	switch {
	case kind == interfaceBlock && len(body) >= 8 && g.u32(body[4:]) > MaxFrame:
		// The library allocates as much as the block says.
		if g.big {
			binary.BigEndian.PutUint32(body[4:], MaxFrame)
		} else {
			binary.LittleEndian.PutUint32(body[4:], MaxFrame)
		}
	case kind == packetBlock || kind == enhancedBlock:
		if len(body) < 24 {
			return fmt.Errorf("packet block has %d bytes, must have at least 32", len(body)+8)
		}
		if captured := g.u32(body[12:]); int64(captured) > int64(len(body)-24) {
			return fmt.Errorf("captured length is %d, the block has room for %d", captured, len(body)-24)
		}
	}
	return nil
}

func (g *ngGuard) u32(b []byte) uint32 {
	if g.big {
		return binary.BigEndian.Uint32(b)
	}
	return binary.LittleEndian.Uint32(b)
}

func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
