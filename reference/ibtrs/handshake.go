// SPDX-License-Identifier: Apache-2.0

package ibtrs

import (
	"encoding/binary"

	"github.com/ibnbd/ibnbd/reference/layout"
)

// What both messages of the connection handshake carry (Clauses IBTRS-CONN-001 to IBTRS-CONN-015).
const (
	ConnRequestSize  = 56 // bytes of private data
	ConnResponseSize = 56

	Magic   = 0x1bbd
	Version = 0x0200 // 2.0: major * 256 + minor

	DefaultPort    = 1234
	MaxConnections = 4096 // of one path
	MaxPaths       = 128  // of one session

	FirstConnection = 0x01 // bit of ConnRequest.FirstConnection: the request may create a session
	KeyRefresh      = 0x02 // bit of ConnResponse.Flags: each response brings a new key for its chunk
)

// UUID identifies a session or a path. It is 16 raw bytes, compared as such; its text form never travels.
type UUID [16]byte

// ConnRequest is the private data of the client's connection request, 56 bytes (Clause IBTRS-CONN-004). One is sent
// for each connection of a path.
type ConnRequest struct {
	Overlay         [2]byte // zero; stands where other requests have the header of the connection manager
	Magic           uint16  // Magic
	Version         uint16  // Version
	CID             uint16  // this connection, below ConnectionCount
	ConnectionCount uint16  // connections of the path, at most MaxConnections
	Incarnation     uint16  // low 16 bits of the path's reconnect counter; 1 in the first build
	PathUUID        UUID    // unchanged over reconnects
	GroupUUID       UUID    // the session
	FirstConnection uint8   // FirstConnection or 0
	Reserved        [11]byte
}

// AppendBinary appends the 56 bytes of the request. It never fails.
func (r ConnRequest) AppendBinary(b []byte) ([]byte, error) {
	b, p := layout.Extend(b, ConnRequestSize)
	copy(p, r.Overlay[:])
	binary.LittleEndian.PutUint16(p[2:], r.Magic)
	binary.LittleEndian.PutUint16(p[4:], r.Version)
	binary.LittleEndian.PutUint16(p[6:], r.CID)
	binary.LittleEndian.PutUint16(p[8:], r.ConnectionCount)
	binary.LittleEndian.PutUint16(p[10:], r.Incarnation)
	copy(p[12:], r.PathUUID[:])
	copy(p[28:], r.GroupUUID[:])
	p[44] = r.FirstConnection
	copy(p[45:], r.Reserved[:])
	return b, nil
}

// ParseConnRequest reads a connection request and checks it as a server does before it looks for the session. A server
// answers any error with a reject that carries ECONNRESET (Clauses IBTRS-CONN-021 to IBTRS-CONN-026).
func ParseConnRequest(b []byte) (r ConnRequest, err error) {
	if len(b) < ConnRequestSize {
		return r, layout.Short(connRequestLayout.Title, len(b), ConnRequestSize)
	}
	copy(r.Overlay[:], b)
	r.Magic = binary.LittleEndian.Uint16(b[2:])
	r.Version = binary.LittleEndian.Uint16(b[4:])
	r.CID = binary.LittleEndian.Uint16(b[6:])
	r.ConnectionCount = binary.LittleEndian.Uint16(b[8:])
	r.Incarnation = binary.LittleEndian.Uint16(b[10:])
	copy(r.PathUUID[:], b[12:])
	copy(r.GroupUUID[:], b[28:])
	r.FirstConnection = b[44]
	copy(r.Reserved[:], b[45:])
	return r, r.Validate()
}

// Validate checks magic, major version, connection count and connection id, in this order. The minor version and
// reserved bytes are ignored.
func (r ConnRequest) Validate() error {
	title := connRequestLayout.Title
	if err := checkMagic(title, 2, r.Magic, r.Version); err != nil {
		return err
	}
	if r.ConnectionCount > MaxConnections {
		return layout.Illegal(title, "connection_count", 8, r.ConnectionCount, "at most 4096")
	}
	if r.CID >= r.ConnectionCount {
		return layout.Illegal(title, "cid", 6, r.CID, "below the connection count")
	}
	return nil
}

// ConnResponse is the private data of the server's answer, 56 bytes (Clause IBTRS-CONN-015). In a reject everything
// behind Errno is zero.
type ConnResponse struct {
	Magic         uint16 // Magic
	Version       uint16 // Version
	Errno         int16  // 0 in an accept; a negated error number in a reject
	QueueDepth    uint16 // chunks of the session
	MaxIOSize     uint32 // bytes
	MaxHeaderSize uint32 // bytes
	Flags         uint32 // KeyRefresh or 0
	Reserved      [36]byte
}

// Accept returns the response that accepts a connection and announces g and flags.
func Accept(g Geometry, flags uint32) ConnResponse {
	return ConnResponse{
		Magic: Magic, Version: Version,
		QueueDepth: g.QueueDepth, MaxIOSize: g.MaxIOSize, MaxHeaderSize: g.MaxHeaderSize, Flags: flags,
	}
}

// Reject returns the response that refuses a connection with errno.
func Reject(errno Errno) ConnResponse {
	return ConnResponse{Magic: Magic, Version: Version, Errno: -int16(errno)}
}

// AppendBinary appends the 56 bytes of the response. It never fails.
func (r ConnResponse) AppendBinary(b []byte) ([]byte, error) {
	b, p := layout.Extend(b, ConnResponseSize)
	binary.LittleEndian.PutUint16(p, r.Magic)
	binary.LittleEndian.PutUint16(p[2:], r.Version)
	binary.LittleEndian.PutUint16(p[4:], uint16(r.Errno))
	binary.LittleEndian.PutUint16(p[6:], r.QueueDepth)
	binary.LittleEndian.PutUint32(p[8:], r.MaxIOSize)
	binary.LittleEndian.PutUint32(p[12:], r.MaxHeaderSize)
	binary.LittleEndian.PutUint32(p[16:], r.Flags)
	copy(p[20:], r.Reserved[:])
	return b, nil
}

// ParseConnResponse reads the answer to a connection request, be it accept or reject. It checks what both have:
// magic and major version. [ConnResponse.Geometry] judges the parameters of an accept.
func ParseConnResponse(b []byte) (r ConnResponse, err error) {
	if len(b) < ConnResponseSize {
		return r, layout.Short(connResponseLayout.Title, len(b), ConnResponseSize)
	}
	r.Magic = binary.LittleEndian.Uint16(b)
	r.Version = binary.LittleEndian.Uint16(b[2:])
	r.Errno = int16(binary.LittleEndian.Uint16(b[4:]))
	r.QueueDepth = binary.LittleEndian.Uint16(b[6:])
	r.MaxIOSize = binary.LittleEndian.Uint32(b[8:])
	r.MaxHeaderSize = binary.LittleEndian.Uint32(b[12:])
	r.Flags = binary.LittleEndian.Uint32(b[16:])
	copy(r.Reserved[:], b[20:])
	return r, r.Validate()
}

// Validate checks magic and major version. Unknown flags are ignored (Clause IBTRS-CONN-040).
func (r ConnResponse) Validate() error {
	return checkMagic(connResponseLayout.Title, 0, r.Magic, r.Version)
}

// Rejection returns the error number of a reject. A number that is no refusal, zero or positive, counts as ECONNRESET
// (Clause IBTRS-CONN-048).
func (r ConnResponse) Rejection() Errno {
	if r.Errno >= 0 {
		return ECONNRESET
	}
	return Errno(-int32(r.Errno))
}

// Geometry returns the parameters an accept announces, after the checks of a client: an errno of 0 (Clause
// IBTRS-CONN-037) and what [Geometry.Validate] wants.
func (r ConnResponse) Geometry() (Geometry, error) {
	if r.Errno != 0 {
		return Geometry{}, layout.Illegal(connResponseLayout.Title, "errno", 4, r.Errno, "0 in an accept")
	}
	g := Geometry{r.QueueDepth, r.MaxIOSize, r.MaxHeaderSize}
	return g, g.Validate()
}

func checkMagic(title string, offset int, magic, version uint16) error {
	if magic != Magic {
		return layout.Illegal(title, "magic", offset, magic, "0x1bbd")
	}
	if version>>8 != Version>>8 {
		return layout.Illegal(title, "version", offset+2, version, "2.x (0x02xx)")
	}
	return nil
}
