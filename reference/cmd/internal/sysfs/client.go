// SPDX-License-Identifier: Apache-2.0

// Package sysfs steers block clients in the kernel through their files in sysfs: this project's, and mainline's under its names.
package sysfs

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/ibnbd/ibnbd/reference/cmd/internal/address"
)

// names are those by which a client shows itself.
type names struct {
	family    string
	block     string // class of the block client
	transport string // class whose entries are the sessions
	diskDir   string // directory below the disk
	ioMode    bool   // map_device knows io_mode=
}

var known = []names{
	{family: "ibnbd", block: "ibnbd-client", transport: "ibtrs-client", diskDir: "ibnbd_client", ioMode: true},
	{family: "rnbd", block: "rnbd-client", transport: "rtrs-client", diskDir: "rnbd"},
}

// Families are the names of the clients that can be steered; where several are loaded, the first maps.
func Families() []string {
	var all []string
	for _, n := range known {
		all = append(all, n.family)
	}
	return all
}

// Client is a client in the kernel.
type Client struct {
	names
	root string // where sysfs is mounted
}

// Family is the client's name.
func (c *Client) Family() string { return c.family }

// Find gives the clients that are loaded, or the one of the family if that is not empty.
func Find(root, family string) ([]*Client, error) {
	var found []*Client
	for _, n := range known {
		if family != "" && n.family != family {
			continue
		}
		c := &Client{n, root}
		switch _, err := os.Stat(c.mapDevice()); {
		case err == nil:
			found = append(found, c)
		case !errors.Is(err, fs.ErrNotExist):
			return nil, err
		case family != "":
			return nil, fmt.Errorf("the kernel's module %s is not loaded: %w", n.module(), syscall.ENODEV)
		}
	}
	if len(found) == 0 {
		var modules []string
		for _, n := range known {
			modules = append(modules, n.module())
		}
		return nil, fmt.Errorf("the kernel has no client: none of the modules %s is loaded: %w", strings.Join(modules, ", "), syscall.ENODEV)
	}
	return found, nil
}

func (n names) module() string { return strings.ReplaceAll(n.block, "-", "_") }

func (c *Client) mapDevice() string {
	return filepath.Join(c.root, "class", c.block, "ctl", "map_device")
}

func (c *Client) disk(name string, file ...string) string {
	return filepath.Join(append([]string{c.root, "block", name}, file...)...)
}

// Mapping is what shall be mapped.
type Mapping struct {
	Session        string
	Paths          []address.Endpoints // may be empty if the session exists
	Port           uint16
	Device         string
	Access, IOMode string
}

// Check refuses what the client cannot be told.
func (c *Client) Check(m *Mapping) error {
	for what, value := range map[string]string{"session": m.Session, "device": m.Device} {
		if strings.ContainsAny(value, " \n") {
			return fmt.Errorf("%s %q has a blank or a line feed, which the kernel's client takes for the end of the name", what, value)
		}
	}
	if strings.HasSuffix(m.Device, "\t") {
		return fmt.Errorf("device %q ends with a tabulator, which the kernel's client cuts off", m.Device)
	}
	for _, p := range m.Paths {
		for _, end := range []netip.Addr{p.Source, p.Server} {
			if strings.ContainsAny(end.Zone(), " \t\n,@") {
				return fmt.Errorf("address %q: its interface has a blank, tabulator, line feed, comma or @, which the kernel's client takes for the end of the address", end)
			}
		}
	}
	if !c.ioMode && m.IOMode != "blockio" {
		return fmt.Errorf("--io-mode %s: the client %s in the kernel knows no other than blockio", m.IOMode, c.family)
	}
	return nil
}

// line is the mapping as map_device takes it. The port holds for the paths behind it.
func (c *Client) line(m *Mapping) string {
	words := []string{"sessname=" + m.Session, fmt.Sprintf("dest_port=%d", m.Port)}
	for _, p := range m.Paths {
		words = append(words, "path="+pathText(p))
	}
	words = append(words, "device_path="+m.Device, "access_mode="+m.Access)
	if c.ioMode {
		words = append(words, "io_mode="+m.IOMode)
	}
	return strings.Join(words, " ")
}

// pathText is a path as the kernel takes it.
func pathText(p address.Endpoints) string {
	ends := []netip.Addr{p.Source, p.Server}
	if !p.Source.IsValid() {
		ends = ends[1:]
	}
	var texts []string
	for _, a := range ends {
		texts = append(texts, "ip:"+a.String())
	}
	return strings.Join(texts, ",")
}

// Map maps a device and gives it as it is then.
func (c *Client) Map(m *Mapping) (*Device, error) {
	if err := c.Check(m); err != nil {
		return nil, err
	}
	if err := write(c.mapDevice(), c.line(m)); err != nil {
		return nil, fmt.Errorf("map device %q in session %q (the kernel log may say more): %w", m.Device, m.Session, err)
	}
	devices, err := c.Devices()
	if err != nil {
		return nil, err
	}
	for _, d := range devices {
		if d.Path == m.Device && d.Session == m.Session {
			return d, nil
		}
	}
	return nil, fmt.Errorf("device %q was mapped, and is gone again: %w", m.Device, syscall.ENODEV)
}

// HasSession tells whether there is a session of that name.
func (c *Client) HasSession(name string) bool {
	_, err := os.Stat(c.session(name))
	return err == nil
}

// Set writes a file of a session, such as mpath_policy.
func (c *Client) Set(session, file, value string) error {
	if err := write(filepath.Join(c.session(session), file), value); err != nil {
		return fmt.Errorf("set %s of session %q to %s: %w", file, session, value, err)
	}
	return nil
}

func (c *Client) session(name string) string {
	return filepath.Join(c.root, "class", c.transport, name)
}

// write writes a file that is there, in one piece.
func write(name, text string) error {
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// read reads a value: a file without the line feed at its end.
func read(parts ...string) (string, error) {
	b, err := os.ReadFile(filepath.Join(parts...))
	return strings.TrimSuffix(string(b), "\n"), err
}

func readNumber(parts ...string) (int64, error) {
	text, err := read(parts...)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", filepath.Join(parts...), err)
	}
	return n, nil
}

// gone tells errors of what is taken away while it is read.
func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENODEV) }

// each reads all entries of a directory, and leaves out those that go meanwhile.
func each[T any](dir string, one func(name string) (T, error)) ([]T, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !gone(err) {
		return nil, err
	}
	var all []T
	for _, entry := range entries {
		value, err := one(entry.Name())
		if gone(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, value)
	}
	return all, nil
}
