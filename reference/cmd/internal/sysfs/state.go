// SPDX-License-Identifier: Apache-2.0

package sysfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

const sectorSize = 512

// Device is a mapped device.
type Device struct {
	client *Client
	Disk   string // its name below /sys/block and /dev

	Path, Session, State, Access string
	Size                         int64
	Block, MaxIO                 int
}

// Client is the client that has mapped it.
func (d *Device) Client() *Client { return d.client }

// Node is its block device.
func (d *Device) Node() string { return "/dev/" + d.Disk }

// Unmap gives the device back: by force also while it is in use.
func (d *Device) Unmap(force bool) error {
	mode := "normal"
	if force {
		mode = "force"
	}
	if err := write(d.client.disk(d.Disk, d.client.diskDir, "unmap_device"), mode); err != nil {
		return fmt.Errorf("unmap device %q (%s): %w", d.Path, mode, err)
	}
	return nil
}

// Devices are those that the client has mapped.
func (c *Client) Devices() ([]*Device, error) {
	links := filepath.Join(c.root, "class", c.block, "ctl", "devices")
	return each(links, func(name string) (*Device, error) {
		to, err := os.Readlink(filepath.Join(links, name))
		if err != nil {
			return nil, err
		}
		return c.device(filepath.Base(to))
	})
}

func (c *Client) device(disk string) (*Device, error) {
	d := &Device{client: c, Disk: disk}
	for file, to := range map[string]*string{"mapping_path": &d.Path, "session": &d.Session, "state": &d.State, "access_mode": &d.Access} {
		var err error
		if *to, err = read(c.disk(disk, c.diskDir, file)); err != nil {
			return nil, err
		}
	}
	sectors, err := readNumber(c.disk(disk, "size"))
	if err != nil {
		return nil, err
	}
	block, err := readNumber(c.disk(disk, "queue", "logical_block_size"))
	if err != nil {
		return nil, err
	}
	kilobytes, err := readNumber(c.disk(disk, "queue", "max_hw_sectors_kb"))
	d.Size, d.Block, d.MaxIO = sectors*sectorSize, int(block), int(kilobytes)<<10
	return d, err
}

// Session is a session over several paths.
type Session struct {
	Name, Policy string
	Paths        []Path
	Bounds       *ibtrs.Bounds // nil where the client promises nothing
}

// Path is one of its paths.
type Path struct {
	Name, State string
	Stats       ibtrs.PathStats
}

// Sessions are those that the client has.
func (c *Client) Sessions() ([]*Session, error) {
	return each(filepath.Join(c.root, "class", c.transport), func(name string) (*Session, error) {
		dir := c.session(name)
		s := &Session{Name: name}
		text, err := read(dir, "mpath_policy")
		if err != nil {
			return nil, err
		}
		s.Policy, _, _ = strings.Cut(text, " ") // its long name; the others follow
		if s.Bounds, err = readBounds(filepath.Join(dir, "timers")); err != nil {
			return nil, err
		}
		paths := filepath.Join(dir, "paths")
		s.Paths, err = each(paths, func(name string) (Path, error) { return readPath(filepath.Join(paths, name)) })
		return s, err
	})
}

func readBounds(dir string) (*ibtrs.Bounds, error) {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	b := &ibtrs.Bounds{}
	for file, to := range map[string]*ibtrs.Bound{
		"worst_stall_ms": &b.StallWithPath, "worst_error_ms": &b.ErrorWithoutPath, "worst_reconnect_ms": &b.Reconnect,
	} {
		ms, err := readNumber(dir, file)
		if err != nil {
			return nil, err
		}
		*to = ibtrs.Bound{Limit: time.Duration(ms) * time.Millisecond, Formula: "what " + filepath.Join(dir, file) + " says"}
	}
	return b, nil
}

func readPath(dir string) (Path, error) {
	p := Path{Name: filepath.Base(dir)}
	var err error
	if p.State, err = read(dir, "state"); err != nil {
		return p, err
	}
	s := &p.Stats
	requests, err := readNumbers(6, dir, "stats", "rdma")
	if err != nil {
		return p, err
	}
	s.Reads, s.ReadBytes, s.Writes, s.WriteBytes = uint64(requests[0]), uint64(requests[1]), uint64(requests[2]), uint64(requests[3])
	s.Inflight, s.FailedOver = requests[4], uint64(requests[5])
	reconnects, err := readNumbers(2, dir, "stats", "reconnects")
	if err != nil {
		return p, err
	}
	s.Reconnected, s.ReconnectsFailed = reconnects[0], reconnects[1]
	latency, err := readNumbers(1, dir, "cur_latency") // the unit follows
	if err != nil {
		return p, err
	}
	s.Latency = time.Duration(latency[0])
	return p, nil
}

// readNumbers reads a file that begins with that many numbers.
func readNumbers(n int, parts ...string) ([]int64, error) {
	text, err := read(parts...)
	if err != nil {
		return nil, err
	}
	words := strings.Fields(text)
	if len(words) < n {
		return nil, fmt.Errorf("%s is %q: fewer than %d numbers", filepath.Join(parts...), text, n)
	}
	numbers := make([]int64, n)
	for i := range numbers {
		if numbers[i], err = strconv.ParseInt(words[i], 10, 64); err != nil {
			return nil, fmt.Errorf("%s is %q: %w", filepath.Join(parts...), text, err)
		}
	}
	return numbers, nil
}
