// SPDX-License-Identifier: Apache-2.0

package subject

import (
	"fmt"
	"path"
	"strings"
)

// Dialect is the set of names by which a family of implementations shows itself in sysfs. The wire is the same.
type Dialect struct {
	Name            string // "ibnbd" or "rnbd", as the clause catalogue spells it
	BlockClient     string // class of the block client: .../virtual/<BlockClient>/ctl
	BlockServer     string // class of the block server
	TransportClient string // class whose entries are the client's sessions
	TransportServer string // class whose entries are the server's sessions
	DiskPrefix      string // disks are <DiskPrefix><N>
	DiskDir         string // directory below /sys/block/<disk>/ with the client's files
	DiskDirAlias    string // another name that must lead to the same directory; empty if there is none
	LinkHasSession  bool   // links below ctl/devices end in @<session>
	HasIOMode       bool   // map_device knows io_mode=
}

// RNBD is the dialect of mainline Linux.
var RNBD = Dialect{
	Name:            "rnbd",
	BlockClient:     "rnbd-client",
	BlockServer:     "rnbd-server",
	TransportClient: "rtrs-client",
	TransportServer: "rtrs-server",
	DiskPrefix:      "rnbd",
	DiskDir:         "rnbd",
	LinkHasSession:  true,
}

// IBNBD is the dialect of the seed document. Its client directory has three spellings there; the one of the headings is
// used (clause IBNBD-SYSFS-020).
var IBNBD = Dialect{
	Name:            "ibnbd",
	BlockClient:     "ibnbd-client",
	BlockServer:     "ibnbd-server",
	TransportClient: "ibtrs-client",
	TransportServer: "ibtrs-server",
	DiskPrefix:      "ibnbd",
	DiskDir:         "ibnbd_client",
	DiskDirAlias:    "ibnbd",
	HasIOMode:       true,
}

const virtual = "/sys/devices/virtual"

// MapDevice is the file that maps a device when written.
func (d Dialect) MapDevice() string { return path.Join(virtual, d.BlockClient, "ctl/map_device") }

// ClientLinks is the directory with one link per mapped device.
func (d Dialect) ClientLinks() string { return path.Join(virtual, d.BlockClient, "ctl/devices") }

// ClientLink is the link that belongs to an export mapped in a session (clause IBNBD-SYSFS-018).
func (d Dialect) ClientLink(devicePath, session string) string {
	name := strings.ReplaceAll(devicePath, "/", "!")
	if d.LinkHasSession {
		name += "@" + session
	}
	return path.Join(d.ClientLinks(), name)
}

// DiskFile is a file of the block client below its disk, such as "state" or "unmap_device".
func (d Dialect) DiskFile(disk, file string) string {
	return path.Join("/sys/block", disk, d.DiskDir, file)
}

// ServerDevices is the directory with one directory per exported device that is open.
func (d Dialect) ServerDevices() string { return path.Join(virtual, d.BlockServer, "ctl/devices") }

// ServerSession is the directory of one session below one exported device; device is the kernel's name of it.
func (d Dialect) ServerSession(device, session string) string {
	return path.Join(d.ServerDevices(), strings.ReplaceAll(device, "/", "!"), "sessions", session)
}

// ClientSession is the transport client's directory of a session.
func (d Dialect) ClientSession(session string) string {
	return path.Join(virtual, d.TransportClient, session)
}

// ClientPath is the transport client's directory of one path of a session.
func (d Dialect) ClientPath(session string, p PathAddr) string {
	return path.Join(d.ClientSession(session), "paths", p.dirName())
}

// ServerPath is the transport server's directory of one path, named from the client's point of view
// (clause IBTRS-SYSFS-016).
func (d Dialect) ServerPath(session string, p PathAddr) string {
	return path.Join(virtual, d.TransportServer, session, "paths", p.dirName())
}

// String returns the dialect's name.
func (d Dialect) String() string { return d.Name }

func (p PathAddr) dirName() string { return fmt.Sprintf("ip:%s@ip:%s", p.Source, p.Destination) }
