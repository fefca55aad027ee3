// SPDX-License-Identifier: Apache-2.0

package srp

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
)

// Defaults of a login string.
const (
	DefaultQueueSize    = 62
	DefaultCmdSGEntries = 12
	DefaultTLRetryCount = 7
)

// LoginString is what a user writes to add_target to connect a target port. Dest, or else DGID, is set.
type LoginString struct {
	IDExt        uint64 // extension of the target port
	IOCGUID      uint64 // GUID of the target port
	IOClass      IOClass
	InitiatorExt uint64

	Dest netip.AddrPort // RDMA connection manager
	Src  netip.Addr     // source address; invalid: routing chooses

	DGID      netip.Addr // InfiniBand connection manager: GID of the target
	PKey      uint16
	ServiceID uint64

	QueueSize      int  // commands of the host at a time
	MaxSect        int  // largest transfer, sectors of 512 bytes; 0: not given
	MaxCmdPerLUN   int  // 0: as QueueSize
	TargetCanQueue int  // 0: no limit
	CmdSGEntries   int  // descriptors inside a command
	AllowExtSG     bool // partial lists are allowed
	SGTableSize    int  // scatter elements of a command
	CompVector     int
	TLRetryCount   int // transport retries
	MaxITIUSize    int // limit of the IU length asked for; 0: off
	ChannelCount   int // 0: as many as suit the machine
}

// TargetPort returns the identifier of the target port to log in to.
func (s LoginString) TargetPort() PortID { return NewPortID(s.IDExt, s.IOCGUID, s.IOClass) }

// ParseLoginString reads comma-separated parameters, with or without a newline at the end. Unknown, malformed,
// repeated and missing parameters and values out of range are refused (Clauses SRP-SYSFS-002 to SRP-SYSFS-006); every
// error is syscall.EINVAL to errors.Is.
func ParseLoginString(text string) (LoginString, error) {
	s := LoginString{
		IOClass: IOClassRev16a, QueueSize: DefaultQueueSize, CmdSGEntries: DefaultCmdSGEntries, TLRetryCount: DefaultTLRetryCount,
	}
	given := map[string]bool{}
	for word := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), ",") {
		name, value, _ := strings.Cut(word, "=")
		set, known := loginParameters[name]
		if !known || given[name] {
			return LoginString{}, fmt.Errorf("login string: %q is unknown or given twice: %w", word, syscall.EINVAL)
		}
		if err := set(&s, value); err != nil {
			return LoginString{}, fmt.Errorf("login string: %s=%q: %w: %w", name, value, syscall.EINVAL, err)
		}
		given[name] = true
	}
	for _, name := range requiredParameters(given) {
		if !given[name] {
			return LoginString{}, fmt.Errorf("login string: %s is missing: %w", name, syscall.EINVAL)
		}
	}
	if !given["sg_tablesize"] {
		s.SGTableSize = s.CmdSGEntries
	}
	return s, nil
}

// requiredParameters depend on the connection manager: a dest selects the one of RDMA, else it is InfiniBand's.
func requiredParameters(given map[string]bool) []string {
	if given["dest"] {
		return []string{"id_ext", "ioc_guid", "dest"}
	}
	if given["dgid"] || given["pkey"] || given["service_id"] {
		return []string{"id_ext", "ioc_guid", "dgid", "pkey", "service_id"}
	}
	return []string{"id_ext", "ioc_guid", "dest"}
}

type loginSetter func(s *LoginString, value string) error

// loginParameters has a row for each parameter: its form, its range, and where it goes.
var loginParameters = map[string]loginSetter{
	"id_ext":        hexTo(func(s *LoginString) *uint64 { return &s.IDExt }),
	"ioc_guid":      hexTo(func(s *LoginString) *uint64 { return &s.IOCGUID }),
	"initiator_ext": hexTo(func(s *LoginString) *uint64 { return &s.InitiatorExt }),
	"service_id":    hexTo(func(s *LoginString) *uint64 { return &s.ServiceID }),

	"dest":     func(s *LoginString, v string) (err error) { s.Dest, err = netip.ParseAddrPort(v); return err },
	"src":      func(s *LoginString, v string) (err error) { s.Src, err = netip.ParseAddr(v); return err },
	"dgid":     setDGID,
	"pkey":     setPKey,
	"io_class": setIOClass,

	"max_sect":         intTo(1, maxInt, func(s *LoginString) *int { return &s.MaxSect }),
	"max_cmd_per_lun":  intTo(1, maxInt, func(s *LoginString) *int { return &s.MaxCmdPerLUN }),
	"target_can_queue": intTo(1, maxInt, func(s *LoginString) *int { return &s.TargetCanQueue }),
	"queue_size":       intTo(1, maxInt, func(s *LoginString) *int { return &s.QueueSize }),
	"cmd_sg_entries":   intTo(1, 255, func(s *LoginString) *int { return &s.CmdSGEntries }),
	"allow_ext_sg":     setAllowExtSG,
	"sg_tablesize":     intTo(1, 2048, func(s *LoginString) *int { return &s.SGTableSize }),
	"comp_vector":      intTo(0, maxInt, func(s *LoginString) *int { return &s.CompVector }),
	"tl_retry_count":   intTo(2, 7, func(s *LoginString) *int { return &s.TLRetryCount }),
	"max_it_iu_size":   intTo(0, maxInt, func(s *LoginString) *int { return &s.MaxITIUSize }),
	"ch_count":         intTo(1, maxInt, func(s *LoginString) *int { return &s.ChannelCount }),
}

const maxInt = 1<<31 - 1

func hexTo(field func(*LoginString) *uint64) loginSetter {
	return func(s *LoginString, value string) (err error) {
		*field(s), err = parseHex(value, 64)
		return err
	}
}

// parseHex reads hexadecimal digits, with or without 0x.
func parseHex(value string, bits int) (uint64, error) {
	return strconv.ParseUint(strings.TrimPrefix(value, "0x"), 16, bits)
}

func intTo(low, high int, field func(*LoginString) *int) loginSetter {
	return func(s *LoginString, value string) error {
		n, err := strconv.Atoi(value)
		if err == nil && (n < low || n > high) {
			err = fmt.Errorf("must be from %d to %d", low, high)
		}
		*field(s) = n
		return err
	}
}

func setDGID(s *LoginString, value string) error {
	b, err := hex.DecodeString(value)
	if err != nil || len(b) != 16 {
		return fmt.Errorf("must be exactly 32 hexadecimal digits")
	}
	s.DGID = netip.AddrFrom16([16]byte(b))
	return nil
}

func setPKey(s *LoginString, value string) error {
	key, err := parseHex(value, 16)
	s.PKey = uint16(key)
	return err
}

func setIOClass(s *LoginString, value string) error {
	class, err := parseHex(value, 16)
	if s.IOClass = IOClass(class); err == nil && s.IOClass != IOClassRev16a && s.IOClass != IOClassRev10 {
		err = fmt.Errorf("must be 0x0100 or 0xff00")
	}
	return err
}

func setAllowExtSG(s *LoginString, value string) error {
	if value != "0" && value != "1" {
		return fmt.Errorf("must be 0 or 1")
	}
	s.AllowExtSG = value == "1"
	return nil
}
