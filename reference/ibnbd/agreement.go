// SPDX-License-Identifier: Apache-2.0

package ibnbd

import "fmt"

// Profile is the family a peer belongs to; the families give a few bytes different meanings.
type Profile uint8

// The profiles. The zero one is that of a peer that sent no SESS_INFO; it is treated like M, at version 0.
const (
	ProfileUnknown Profile = iota
	ProfileL               // original IBNBD, version 1
	ProfileM               // mainline RNBD, version 2
	ProfileX               // this project: version 2 with marker
)

// String returns the letter of the profile.
func (p Profile) String() string {
	switch p {
	case ProfileUnknown:
		return "unknown"
	case ProfileL:
		return "L"
	case ProfileM:
		return "M"
	case ProfileX:
		return "X"
	}
	return fmt.Sprintf("Profile(%d)", uint8(p))
}

// Marker, in bytes 8 to 15 of SESS_INFO, says that feature bits follow. Mainline ignores those bytes.
var Marker = [8]byte{'I', 'B', 'N', 'B', 'D', '+', '0', '1'}

// Features are the bits that peers of profile X agree on.
type Features uint32

// The features.
const (
	FeatureIOMode    Features = 1 << 0 // OPEN names an I/O mode, OPEN_RSP the one in use and the rotational flag
	FeatureWriteSame Features = 1 << 1 // operation 5 with data is write-same
	FeatureFlags     Features = 1 << 2 // the flags preflush and no-unmap are honoured

	AllFeatures = FeatureIOMode | FeatureWriteSame | FeatureFlags
)

// Agreement is what the exchange of SESS_INFO settles. The zero Agreement is that of a session without one, in which
// the server serves OPEN and IO without priority (Clause IBNBD-MSG-015).
type Agreement struct {
	Profile  Profile  // of the peer
	Version  uint8    // the lower of both sides
	Features Features // those of both sides; none but in profile X
}

// NewSessInfo returns the request of a client of this project that offers features.
func NewSessInfo(offer Features) SessInfo {
	return SessInfo{Type: TypeSessInfo, Version: Version, Marker: Marker, Features: offer}
}

// Answer returns what a server that offers features replies to a client's request, and what both thereby agreed on.
// The marker is answered only if the request has it (Clauses IBNBD-MSG-003, IBNBD-COMPAT-006).
func Answer(request SessInfo, offer Features) (SessInfo, Agreement) {
	a := agree(request, offer)
	response := SessInfo{Type: TypeSessInfoResponse, Version: a.Version}
	if a.Profile == ProfileX {
		response.Marker, response.Features = Marker, a.Features
	}
	return response, a
}

// Agreed returns what a client that offered features has agreed on with the server that sent the response.
func Agreed(response SessInfo, offer Features) Agreement { return agree(response, offer) }

func agree(peer SessInfo, offer Features) Agreement {
	a := Agreement{Version: min(peer.Version, Version)}
	switch {
	case peer.Version == 0:
		a.Profile = ProfileUnknown
	case peer.Version == 1:
		a.Profile = ProfileL
	case peer.Marker != Marker:
		a.Profile = ProfileM
	default:
		a.Profile, a.Features = ProfileX, peer.Features&offer
	}
	return a
}

// Has reports whether both sides have the feature.
func (a Agreement) Has(f Features) bool { return a.Features&f == f }

// FirstFlag reports whether the peer knows the first-connection flag of the transport, which is as old as version 2.
func (a Agreement) FirstFlag() bool { return a.Profile == ProfileM || a.Profile == ProfileX }

// WriteSame reports whether operation 5 with data is write-same between the peers.
func (a Agreement) WriteSame() bool { return a.Profile == ProfileL || a.Has(FeatureWriteSame) }

// IOMode returns the mode in which the server opens a device: the one of the request where the client's profile gives
// the byte a meaning, else the server's own (Clauses IBNBD-COMPAT-003, IBNBD-COMPAT-005).
func (a Agreement) IOMode(request OpenRequest, serverDefault IOMode) IOMode {
	meant := a.Profile == ProfileL || a.Has(FeatureIOMode)
	if meant && (request.IOMode == FileIO || request.IOMode == BlockIO) {
		return request.IOMode
	}
	return serverDefault
}

// CachePolicy are the bits that tell what cache the device has.
type CachePolicy uint8

// The bits of the cache policy. Forced unit access counts only together with a volatile cache.
const (
	CacheFUA       CachePolicy = 1 << 0
	CacheWriteBack CachePolicy = 1 << 1
)

// Traits are what an OPEN_RSP says in bytes whose meaning depends on the profile.
type Traits struct {
	Cache              CachePolicy
	IOMode             IOMode
	Rotational         bool
	WriteZeroesSectors uint32 // limit in sectors of 512 bytes; 0: not supported
	WriteSameSectors   uint32 // the same for write-same
}

// Describe writes the traits of a device into the response for the peer of this agreement. What the peer's profile
// cannot express is left out (Clauses IBNBD-COMPAT-003, IBNBD-COMPAT-004).
func (a Agreement) Describe(r *OpenResponse, t Traits) {
	r.MaxWriteZeroesSectors, r.CachePolicy, r.Rotational, r.IOMode = t.WriteZeroesSectors, t.Cache, 0, 0
	if a.Profile == ProfileL {
		r.MaxWriteZeroesSectors, r.CachePolicy, r.Rotational = t.WriteSameSectors, CachePolicy(t.IOMode), asByte(t.Rotational)
	}
	if a.Has(FeatureIOMode) {
		r.IOMode, r.Rotational = t.IOMode, asByte(t.Rotational)
	}
}

// Traits reads the traits of a device from the response of the peer of this agreement. Where the peer cannot be
// trusted to have said it, a volatile cache is assumed, so that flushes are sent (Clauses IBNBD-COMPAT-008,
// IBNBD-COMPAT-011).
func (a Agreement) Traits(r OpenResponse) Traits {
	t := Traits{Cache: r.CachePolicy & (CacheFUA | CacheWriteBack), IOMode: BlockIO, WriteZeroesSectors: r.MaxWriteZeroesSectors}
	switch {
	case a.Profile == ProfileL:
		return Traits{
			Cache: CacheFUA | CacheWriteBack, IOMode: IOMode(r.CachePolicy),
			Rotational: r.Rotational != 0, WriteSameSectors: r.MaxWriteZeroesSectors,
		}
	case a.Has(FeatureIOMode):
		t.IOMode, t.Rotational = r.IOMode, r.Rotational != 0
	case a.Profile != ProfileX && r.uncleared():
		t.Cache, t.WriteZeroesSectors = CacheWriteBack, 0
	}
	return t
}

// uncleared reports whether bytes 46 to 55 are not zero: early mainline servers did not clear the reply, so that its
// other bytes may be stale too.
func (m OpenResponse) uncleared() bool { return m.IOMode != 0 || m.Reserved != [9]byte{} }

func asByte(b bool) uint8 {
	if b {
		return 1
	}
	return 0
}
