// SPDX-License-Identifier: Apache-2.0

package ibtrs

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/ibnbd/ibnbd/reference/layout"
)

// Message types, the first two bytes of every message but those of the connection handshake.
const (
	TypeInfoRequest  = 0
	TypeInfoResponse = 1
	TypeWrite        = 2
	TypeRead         = 3
	TypeKeyResponse  = 4
)

// Sizes of the INFO messages in bytes.
const (
	InfoRequestSize  = 272
	InfoResponseSize = 8 // without its descriptors
)

// InfoRequest is the first message of a path, a SEND of 272 bytes on connection 0 (Clause IBTRS-INFO-002).
type InfoRequest struct {
	Type        uint16      // TypeInfoRequest
	SessionName layout.Name // the session's name for people
	Reserved    [15]byte
}

// NewInfoRequest returns the request for a session of the given name, which must satisfy [CheckSessionName].
func NewInfoRequest(session string) (InfoRequest, error) {
	if err := CheckSessionName(session); err != nil {
		return InfoRequest{}, err
	}
	name, err := layout.NewName(session)
	return InfoRequest{Type: TypeInfoRequest, SessionName: name}, err
}

// CheckSessionName reports why s cannot name a session: it is empty, longer than 254 bytes, or has a slash, a dot or a
// NUL in it (Clauses IBTRS-INFO-011, IBTRS-INFO-014, IBNBD-SYSFS-017). The error is EINVAL to errors.Is.
func CheckSessionName(s string) error {
	switch {
	case s == "":
		return fmt.Errorf("session name is empty: %w", EINVAL)
	case len(s) > layout.MaxName:
		return fmt.Errorf("session name %.32q... has %d bytes, at most %d are allowed: %w", s, len(s), layout.MaxName, EINVAL)
	case strings.ContainsAny(s, "/.\x00"):
		return fmt.Errorf("session name %q has a slash, a dot or a NUL: %w", s, EINVAL)
	}
	return nil
}

// AppendBinary appends the 272 bytes of the request. It never fails.
func (r InfoRequest) AppendBinary(b []byte) ([]byte, error) {
	b, p := layout.Extend(b, InfoRequestSize)
	binary.LittleEndian.PutUint16(p, r.Type)
	copy(p[2:], r.SessionName[:])
	copy(p[257:], r.Reserved[:])
	return b, nil
}

// ParseInfoRequest reads an INFO request and checks it as a server does that closes the path on any error (Clauses
// IBTRS-INFO-009 to IBTRS-INFO-014).
func ParseInfoRequest(b []byte) (r InfoRequest, err error) {
	if len(b) < InfoRequestSize {
		return r, layout.Short(infoRequestLayout.Title, len(b), InfoRequestSize)
	}
	r.Type = binary.LittleEndian.Uint16(b)
	copy(r.SessionName[:], b[2:])
	copy(r.Reserved[:], b[257:])
	return r, r.Validate()
}

// Validate checks the type and the session name: NUL-terminated, not empty, without slash and dot.
func (r *InfoRequest) Validate() error {
	title := infoRequestLayout.Title
	if r.Type != TypeInfoRequest {
		return layout.Illegal(title, "type", 0, r.Type, "0")
	}
	if err := r.SessionName.Check(title, "session_name", 2); err != nil {
		return err
	}
	if name := r.SessionName.Bytes(); bytes.ContainsAny(name, "/.") {
		return layout.Illegal(title, "session_name", 2, string(name), "free of slashes and dots")
	}
	return nil
}

// InfoResponse answers an INFO request with the regions of the server's chunks, in chunk order: a SEND of 8+16*Count
// bytes on connection 0 (Clause IBTRS-INFO-004).
type InfoResponse struct {
	Type     uint16 // TypeInfoResponse
	Count    uint16 // number of Regions; at least 1, and a divisor of the queue depth
	Reserved [4]byte
	Regions  Descriptors
}

// NewInfoResponse returns the response that publishes regions. There must be at most 65535 of them.
func NewInfoResponse(regions Descriptors) InfoResponse {
	return InfoResponse{Type: TypeInfoResponse, Count: uint16(regions.Len()), Regions: regions}
}

// Size returns the number of bytes of the response on the wire.
func (r InfoResponse) Size() int { return InfoResponseSize + len(r.Regions) }

// AppendBinary appends the response, with Count as it is set and all of Regions. It never fails.
func (r InfoResponse) AppendBinary(b []byte) ([]byte, error) {
	b, p := layout.Extend(b, InfoResponseSize)
	binary.LittleEndian.PutUint16(p, r.Type)
	binary.LittleEndian.PutUint16(p[2:], r.Count)
	copy(p[4:], r.Reserved[:])
	return append(b, r.Regions...), nil
}

// ParseInfoResponse reads an INFO response. It checks the type, that the regions it counts are there, and that there
// is at least one; [InfoResponse.AppendChunks] checks them against the geometry. Regions is a part of b.
func ParseInfoResponse(b []byte) (r InfoResponse, err error) {
	if len(b) < InfoResponseSize {
		return r, layout.Short(infoResponseLayout.Title, len(b), InfoResponseSize)
	}
	r.Type = binary.LittleEndian.Uint16(b)
	r.Count = binary.LittleEndian.Uint16(b[2:])
	copy(r.Reserved[:], b[4:])
	r.Regions, err = takeDescriptors(b[InfoResponseSize:], r.Count, infoResponseLayout.Title, 2)
	switch {
	case r.Type != TypeInfoResponse:
		err = layout.Illegal(infoResponseLayout.Title, "type", 0, r.Type, "1")
	case r.Count == 0:
		err = layout.Illegal(infoResponseLayout.Title, "count", 2, r.Count, "at least 1")
	}
	return r, err
}

// Chunk is one buffer of the server as one path sees it; its size is that of the geometry.
type Chunk struct {
	Address uint64 // what an RDMA write to its first byte names
	RKey    uint32 // changes with each response if the server refreshes keys
}

// AppendChunks appends the queue_depth chunks of the session, in order, to chunks. It fails, having appended nothing,
// if the regions do not divide into exactly the chunks of g (Clauses IBTRS-INFO-016 to IBTRS-INFO-018).
func (r InfoResponse) AppendChunks(chunks []Chunk, g Geometry) ([]Chunk, error) {
	if err := r.checkRegions(g); err != nil {
		return chunks, err
	}
	size := g.ChunkSize()
	for _, region := range r.Regions.All() {
		for at := uint32(0); at < region.Length; at += size {
			chunks = append(chunks, Chunk{region.Address + uint64(at), region.RKey})
		}
	}
	return chunks, nil
}

func (r InfoResponse) checkRegions(g Geometry) error {
	title := infoResponseLayout.Title
	if err := g.Validate(); err != nil {
		return err
	}
	if r.Count == 0 || g.QueueDepth%r.Count != 0 || r.Regions.Len() != int(r.Count) {
		return layout.Illegal(title, "count", 2, r.Count, fmt.Sprintf("a divisor of the queue depth %d", g.QueueDepth))
	}
	size, total := uint64(g.ChunkSize()), uint64(0)
	for i, region := range r.Regions.All() {
		length := uint64(region.Length)
		at := InfoResponseSize + i*DescriptorSize + 12
		if length == 0 || length%size != 0 {
			return layout.Illegal(title, "length", at, region.Length, fmt.Sprintf("a multiple of the chunk size %d", size))
		}
		if total += length; total > size*uint64(g.QueueDepth) || region.Address+length < region.Address {
			return layout.Illegal(title, "length", at, region.Length, fmt.Sprintf("within %d chunks of %d bytes", g.QueueDepth, size))
		}
	}
	if total != size*uint64(g.QueueDepth) {
		return layout.Illegal(title, "count", 2, r.Count, fmt.Sprintf("regions of %d bytes in all, they have %d", size*uint64(g.QueueDepth), total))
	}
	return nil
}
