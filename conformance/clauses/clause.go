// SPDX-License-Identifier: Apache-2.0

package clauses

import (
	"slices"
	"strings"
)

// Level is how strong a requirement is, in the words of RFC 2119.
type Level string

// The levels of a clause.
const (
	Must   Level = "MUST"
	Should Level = "SHOULD"
	May    Level = "MAY"
)

// Role is whom a clause judges.
type Role string

// The roles of a clause. A subject has role [Target] or [Initiator]; the other two are for clauses only.
const (
	Target    Role = "target"    // the server: exports devices
	Initiator Role = "initiator" // the client: maps devices
	Both      Role = "both"      // target and initiator, each by itself
	Wire      Role = "wire"      // the two together: neither can be blamed alone
)

// Judges says whether a clause of role r judges a subject of role subject.
func (r Role) Judges(subject Role) bool {
	return r == subject || r == Both || r == Wire
}

// Source is where a requirement comes from. The package comment explains each.
type Source string

// The sources of a clause.
const (
	Seed          Source = "seed"
	SeedTests     Source = "seed-tests"
	Original      Source = "original"
	Mainline      Source = "mainline"
	MainlineLater Source = "mainline-later"
	Standard      Source = "standard"
	Project       Source = "project"
)

// Scope says whether a clause is a rule of the protocol, for everyone, or of this project, for its own implementations.
type Scope string

// The scopes of a clause.
const (
	ProtocolScope Scope = "protocol"
	ProjectScope  Scope = "project"
)

// Dialect is the family of names that an implementation uses for the same protocol. Each protocol has its own, one or more.
type Dialect string

// Method is a way to decide a clause.
type Method string

// The methods of a [Decision].
const (
	Active Method = "active" // a spec acts on the subject and looks at what happens
	Audit  Method = "wire"   // the passive judge reads it from a capture
)

// Ability is something that a subject may lack without breaking the protocol. A clause that requires an ability is not
// applicable to a subject that is known to lack it.
type Ability string

// The abilities that clauses require.
const (
	KeyRefresh      Ability = "key-refresh"      // target can renew a chunk's key after each request
	StaticKeys      Ability = "static-keys"      // target can run without key refresh
	Sysfs           Ability = "sysfs"            // subject is administered by sysfs files
	KernelModule    Ability = "kernel-module"    // subject is loaded and unloaded as a kernel module
	IOMode          Ability = "io-mode"          // file and block mode can be chosen for an export
	Multipath       Ability = "multipath"        // a session can have several paths
	MinLatency      Ability = "min-latency"      // the min-latency path policy exists
	GIDAddressing   Ability = "gid-addressing"   // addresses in native GID form
	LegacyClients   Ability = "legacy-clients"   // target has the switch for clients that do not zero reserved bytes
	FeatureMarker   Ability = "feature-marker"   // peer speaks the marker and feature bits of this project
	VersionOne      Ability = "version-1"        // peer speaks version 1 of the block protocol
	SessionPriority Ability = "session-priority" // peer carries an I/O priority in 32-byte I/O messages
	ImmediateData   Ability = "immediate-data"   // SRP: commands may carry their data
	MultiChannel    Ability = "multi-channel"    // SRP: a nexus may have several channels
	PathChecker     Ability = "path-checker"     // subject is or has a multipath path checker
	Promises        Ability = "promises"         // initiator tells its user the longest times of a failover
	FirstFlag       Ability = "first-flag"       // connection requests say whether they may create a session
	UniqueNames     Ability = "unique-names"     // target lets no two sessions have the same name
	IBSRPInterface  Ability = "ib-srp-interface" // SRP: initiator has the files and parameters of ib_srp
)

var abilities = []Ability{
	KeyRefresh, StaticKeys, Sysfs, KernelModule, IOMode, Multipath, MinLatency, GIDAddressing, LegacyClients,
	FeatureMarker, VersionOne, SessionPriority, ImmediateData, MultiChannel, PathChecker,
	Promises, FirstFlag, UniqueNames, IBSRPInterface,
}

// Ambiguity is a place where the source of a clause contradicts itself or leaves a choice.
type Ambiguity struct {
	// Question says what is unclear, in one sentence.
	Question string `yaml:"question" json:"question"`
	// Accepted lists every answer that counts as keeping the clause; at least one.
	Accepted []string `yaml:"accepted" json:"accepted"`
}

// Fact is what a named implementation was seen to do.
type Fact struct {
	// Subject names the implementation and version, e.g. "Linux 6.12 rnbd".
	Subject string `yaml:"subject" json:"subject"`
	// Saw is what was observed.
	Saw string `yaml:"saw" json:"saw"`
}

// Decision says how it is found out whether a clause is kept.
type Decision struct {
	// By lists the methods; empty if nobody can decide the clause from outside.
	By []Method `yaml:"by,omitempty" json:"by"`
	// How is the procedure in one sentence; may be empty.
	How string `yaml:"how,omitempty" json:"how,omitempty"`
	// Undecidable is the reason why By is empty.
	Undecidable string `yaml:"undecidable,omitempty" json:"undecidable,omitempty"`
}

// Clause is one requirement. Field names in the data files are the yaml tags.
type Clause struct {
	ID        string     `yaml:"id" json:"id"`
	Level     Level      `yaml:"level" json:"level"`
	Role      Role       `yaml:"judges" json:"judges"`
	Scope     Scope      `yaml:"scope,omitempty" json:"scope"`            // protocol if not given
	Text      string     `yaml:"text" json:"text"`                        // the requirement, one or a few sentences
	Sources   []Source   `yaml:"source,flow" json:"source"`               // at least one
	Dialects  []Dialect  `yaml:"dialects,flow,omitempty" json:"dialects"` // those of the area if not given
	Requires  []Ability  `yaml:"requires,flow,omitempty" json:"requires"` // abilities without which it does not apply
	Decided   Decision   `yaml:"decided" json:"decided"`                  //
	Ambiguity *Ambiguity `yaml:"ambiguity,omitempty" json:"ambiguity"`    //
	Measured  []Fact     `yaml:"measured,omitempty" json:"measured"`      //
	Mutants   []string   `yaml:"-" json:"mutants"`                        // broken implementations that break it; set where the record is printed
	Notes     string     `yaml:"notes,omitempty" json:"notes,omitempty"`  // anything else a reader of `explain` should know
	Area      string     `yaml:"-" json:"area"`                           // from the file
	AreaTitle string     `yaml:"-" json:"area_title"`                     // from the file
}

// DecidedBy says whether method m can decide the clause.
func (c Clause) DecidedBy(m Method) bool { return slices.Contains(c.Decided.By, m) }

// HoldsFor says whether the clause speaks of dialect d.
func (c Clause) HoldsFor(d Dialect) bool { return slices.Contains(c.Dialects, d) }

// String returns the id, level and text in one line.
func (c Clause) String() string {
	return strings.Join([]string{c.ID, string(c.Level), c.Text}, " ")
}
