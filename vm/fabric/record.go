// SPDX-License-Identifier: Apache-2.0

package fabric

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
)

// Recording writes what crosses one rail to a pcapng file, from the moment when it is made until it is closed. Interface 0
// has the frames that were forwarded, interface 1 those that were dropped or changed; see the package's story.
type Recording struct {
	rail *Rail
	path string

	file  *os.File
	spool *spool

	// Guarded by rail.mu:
	pcap      *pcapgo.NgWriter
	forwarded uint64
	dropped   uint64
	missed    uint64 // frames that are not in the file, because the disk did not keep up
	err       error
}

// Numbers of the interfaces in a recording.
const (
	forwardedInterface = iota
	droppedInterface
)

// ErrIncomplete says that frames are missing in a recording, because the disk did not keep up with the rail.
var ErrIncomplete = errors.New("the recording is not complete")

// Record begins a recording in a new file at path; note (the name of the spec, say) stands in the file. Several recordings
// of one rail may run at the same time.
func (r *Rail) Record(path, note string) (*Recording, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("fabric: record %s: %w", r.name, err)
	}
	rec := &Recording{rail: r, path: path, file: file, spool: newSpool(file)}
	if rec.pcap, err = newPcap(rec.spool, r.name, note); err != nil {
		return nil, errors.Join(fmt.Errorf("fabric: record %s to %s: %w", r.name, path, err), rec.spool.stop(), file.Close())
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, errors.Join(ErrClosed, rec.spool.stop(), file.Close())
	}
	r.recordings = append(r.recordings, rec)
	r.watched.Add(1)
	return rec, nil
}

// newPcap writes the head of a recording.
func newPcap(out io.Writer, rail, note string) (*pcapgo.NgWriter, error) {
	nic := func(name, description string) pcapgo.NgInterface {
		return pcapgo.NgInterface{
			Name: name, Description: description, Comment: note,
			LinkType: layers.LinkTypeEthernet, TimestampResolution: 9,
		}
	}
	options := pcapgo.NgWriterOptions{SectionInfo: pcapgo.NgSectionInfo{Application: "vm/fabric", Comment: note}}
	// A bufio.Writer that is large enough is used as it is, so this is the only buffer.
	buffer := bufio.NewWriterSize(out, spoolChunk)
	pcap, err := pcapgo.NewNgWriterInterface(buffer, nic(rail, "frames as the rail forwarded them"), options)
	if err != nil {
		return nil, err
	}
	_, err = pcap.AddInterface(nic(rail+"-dropped", "frames as offered that did not arrive so"))
	return pcap, err
}

// Path is the file's path.
func (rec *Recording) Path() string { return rec.path }

// Count returns how many frames are recorded so far.
func (rec *Recording) Count() (forwarded, dropped uint64) {
	rec.rail.mu.Lock()
	defer rec.rail.mu.Unlock()
	return rec.forwarded, rec.dropped
}

// Close ends the recording and makes the file whole. It returns the first error of the whole recording: what is in the file
// is complete only where it returns nil; [ErrIncomplete] says that the disk was too slow.
func (rec *Recording) Close() error {
	r := rec.rail
	r.mu.Lock()
	i := slices.Index(r.recordings, rec)
	if i < 0 {
		r.mu.Unlock()
		return nil
	}
	r.recordings = slices.Delete(r.recordings, i, i+1)
	r.watched.Add(-1)
	r.mu.Unlock()
	if rec.missed > 0 {
		rec.err = errors.Join(rec.err, fmt.Errorf("%w: %d frames are missing", ErrIncomplete, rec.missed))
	}
	if err := errors.Join(rec.err, rec.pcap.Flush(), rec.spool.stop(), rec.file.Close()); err != nil {
		return fmt.Errorf("fabric: record %s to %s: %w", r.name, rec.path, err)
	}
	return nil
}

// write adds a frame; rail.mu is held. The time is that of writing, so that times in the file never go back.
func (rec *Recording) write(disposition Disposition, data []byte) {
	if rec.err != nil {
		return
	}
	if !rec.spool.room() {
		rec.missed++
		return
	}
	info := gopacket.CaptureInfo{
		Timestamp: time.Now(), CaptureLength: len(data), Length: len(data), InterfaceIndex: forwardedInterface,
	}
	if disposition == Dropped {
		info.InterfaceIndex = droppedInterface
		rec.dropped++
	} else {
		rec.forwarded++
	}
	rec.err = rec.pcap.WritePacket(info, data)
}
