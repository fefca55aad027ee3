// SPDX-License-Identifier: Apache-2.0

package ibnbd

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/layout"
)

// Dialect is the flavour of map_device: the one of IBNBD or the one of mainline RNBD. It says which options exist
// beside sessname, path, device_path and access_mode.
type Dialect struct {
	Name          string
	PathMandatory bool
	IOMode        bool // io_mode=
	DestPort      bool // dest_port=, which affects the path= options behind it
	PollQueues    bool // nr_poll_queues=
	SessionInLink bool // the link to the disk ends in @ and the session's name
}

// The two dialects.
var (
	DialectIBNBD = Dialect{Name: "ibnbd", PathMandatory: true, IOMode: true}
	DialectRNBD  = Dialect{Name: "rnbd", DestPort: true, PollQueues: true, SessionInLink: true}
)

// MapOptions is what a user writes to map_device.
type MapOptions struct {
	Session    string
	Paths      []ibtrs.PathAddr
	DevicePath string
	Access     AccessMode // ReadWrite unless given
	IOMode     IOMode     // BlockIO unless given
	PollQueues int        // 0 unless given; -1: as many as there are CPUs
}

// ParseMapOptions reads options separated by spaces, in any order, with or without a newline at the end. Every error
// is, to errors.Is, the number that the write to map_device returns: EINVAL for what is malformed, unknown, missing or
// given twice, EPROTONOSUPPORT for a destination without prefix, ENOMEM for more than 6 paths (Clauses
// IBNBD-SYSFS-003 to IBNBD-SYSFS-017). The upper limit of PollQueues, the number of CPUs, is for the caller to check.
func ParseMapOptions(text string, d Dialect) (MapOptions, error) {
	p := mapParser{
		dialect: d,
		port:    ibtrs.DefaultPort,
		given:   map[string]bool{},
		options: MapOptions{Access: ReadWrite, IOMode: BlockIO},
	}
	for _, word := range strings.Split(strings.TrimSuffix(text, "\n"), " ") {
		if word == "" {
			continue
		}
		if err := p.take(word); err != nil {
			return MapOptions{}, fmt.Errorf("map_device: %w", err)
		}
	}
	if err := p.missing(); err != nil {
		return MapOptions{}, fmt.Errorf("map_device: %w", err)
	}
	return p.options, nil
}

type mapParser struct {
	dialect Dialect
	port    uint16 // for the paths to come
	given   map[string]bool
	options MapOptions
}

func (p *mapParser) take(word string) error {
	name, value, _ := strings.Cut(word, "=")
	set := p.setter(name)
	if set == nil || value == "" {
		return fmt.Errorf("%q is no option of %s with a value: %w", word, p.dialect.Name, ibtrs.EINVAL)
	}
	if p.given[name] && name != "path" && name != "dest_port" {
		return fmt.Errorf("option %s is given twice: %w", name, ibtrs.EINVAL)
	}
	p.given[name] = true
	return set(value)
}

// setter returns the function that takes the option's value, or nil if the dialect has no such option.
func (p *mapParser) setter(name string) func(string) error {
	switch {
	case name == "sessname":
		return p.setSession
	case name == "path":
		return p.addPath
	case name == "device_path":
		return p.setDevicePath
	case name == "access_mode":
		return p.setAccess
	case name == "io_mode" && p.dialect.IOMode:
		return p.setIOMode
	case name == "dest_port" && p.dialect.DestPort:
		return p.setPort
	case name == "nr_poll_queues" && p.dialect.PollQueues:
		return p.setPollQueues
	}
	return nil
}

func (p *mapParser) missing() error {
	mandatory := []string{"sessname", "device_path"}
	if p.dialect.PathMandatory {
		mandatory = append(mandatory, "path")
	}
	for _, name := range mandatory {
		if !p.given[name] {
			return fmt.Errorf("option %s is missing: %w", name, ibtrs.EINVAL)
		}
	}
	return nil
}

func (p *mapParser) setSession(value string) error {
	p.options.Session = value
	return ibtrs.CheckSessionName(value)
}

func (p *mapParser) addPath(value string) error {
	if len(p.options.Paths) == ibtrs.MaxMapPaths {
		return fmt.Errorf("path %q is one more than the %d that fit: %w", value, ibtrs.MaxMapPaths, ibtrs.ENOMEM)
	}
	path, err := ibtrs.ParsePath(value)
	path.Port = p.port
	p.options.Paths = append(p.options.Paths, path)
	return err
}

func (p *mapParser) setDevicePath(value string) error {
	if len(value) > layout.MaxName {
		return fmt.Errorf("device_path has %d characters, at most %d are allowed: %w", len(value), layout.MaxName, ibtrs.EINVAL)
	}
	p.options.DevicePath = value
	return nil
}

func (p *mapParser) setAccess(value string) error {
	for mode, name := range accessModeNames {
		if value == name {
			p.options.Access = AccessMode(mode)
			return nil
		}
	}
	return fmt.Errorf("access_mode %q is none of ro, rw, migration: %w", value, ibtrs.EINVAL)
}

func (p *mapParser) setIOMode(value string) error {
	for mode, name := range ioModeNames[:AutoIOMode] {
		if value == name {
			p.options.IOMode = IOMode(mode)
			return nil
		}
	}
	return fmt.Errorf("io_mode %q is none of fileio, blockio: %w", value, ibtrs.EINVAL)
}

func (p *mapParser) setPort(value string) error {
	port, err := strconv.ParseUint(value, 10, 16)
	if err != nil {
		return fmt.Errorf("dest_port %q is no number from 0 to 65535: %w", value, ibtrs.EINVAL)
	}
	p.port = uint16(port)
	return nil
}

func (p *mapParser) setPollQueues(value string) error {
	queues, err := strconv.ParseInt(value, 10, 32)
	if err != nil || queues < -1 {
		return fmt.Errorf("nr_poll_queues %q is no number from -1 on: %w", value, ibtrs.EINVAL)
	}
	p.options.PollQueues = int(queues)
	return nil
}
