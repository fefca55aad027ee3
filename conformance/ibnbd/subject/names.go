// SPDX-License-Identifier: Apache-2.0

package subject

import (
	"fmt"
	"path"
	"strings"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/catalogue"
)

// Names are those by which the implementations of a dialect show themselves in sysfs. The wire is the same.
type Names struct {
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

// RNBD are the names of mainline Linux.
var RNBD = Names{
	BlockClient:     "rnbd-client",
	BlockServer:     "rnbd-server",
	TransportClient: "rtrs-client",
	TransportServer: "rtrs-server",
	DiskPrefix:      "rnbd",
	DiskDir:         "rnbd",
	LinkHasSession:  true,
}

// IBNBD are the names of the seed document. Its client directory has three spellings there; the one of the headings is
// used (clause IBNBD-SYSFS-020).
var IBNBD = Names{
	BlockClient:     "ibnbd-client",
	BlockServer:     "ibnbd-server",
	TransportClient: "ibtrs-client",
	TransportServer: "ibtrs-server",
	DiskPrefix:      "ibnbd",
	DiskDir:         "ibnbd_client",
	DiskDirAlias:    "ibnbd",
	HasIOMode:       true,
}

// NamesOf are the names of a dialect.
func NamesOf(d clauses.Dialect) Names {
	return map[clauses.Dialect]Names{catalogue.RNBD: RNBD, catalogue.IBNBD: IBNBD}[d]
}

const virtual = "/sys/devices/virtual"

// MapDevice is the file that maps a device when written.
func (n Names) MapDevice() string { return path.Join(virtual, n.BlockClient, "ctl/map_device") }

// ClientLinks is the directory with one link per mapped device.
func (n Names) ClientLinks() string { return path.Join(virtual, n.BlockClient, "ctl/devices") }

// ClientLink is the link that belongs to an export mapped in a session (clause IBNBD-SYSFS-018).
func (n Names) ClientLink(devicePath, session string) string {
	link := strings.ReplaceAll(devicePath, "/", "!")
	if n.LinkHasSession {
		link += "@" + session
	}
	return path.Join(n.ClientLinks(), link)
}

// DiskFile is a file of the block client below its disk, such as "state" or "unmap_device".
func (n Names) DiskFile(disk, file string) string {
	return path.Join("/sys/block", disk, n.DiskDir, file)
}

// ServerDevices is the directory with one directory per exported device that is open.
func (n Names) ServerDevices() string { return path.Join(virtual, n.BlockServer, "ctl/devices") }

// ServerSession is the directory of one session below one exported device; device is the kernel's name of it.
func (n Names) ServerSession(device, session string) string {
	return path.Join(n.ServerDevices(), strings.ReplaceAll(device, "/", "!"), "sessions", session)
}

// ClientSession is the transport client's directory of a session.
func (n Names) ClientSession(session string) string {
	return path.Join(virtual, n.TransportClient, session)
}

// ClientPath is the transport client's directory of one path of a session.
func (n Names) ClientPath(session string, p PathAddr) string {
	return path.Join(n.ClientSession(session), "paths", p.dirName())
}

// ServerPath is the transport server's directory of one path, named from the client's point of view
// (clause IBTRS-SYSFS-016).
func (n Names) ServerPath(session string, p PathAddr) string {
	return path.Join(virtual, n.TransportServer, session, "paths", p.dirName())
}

// BlockClientDirs are the directories of the block client: its own, that of a mapped disk, and the parameters of its module.
func (n Names) BlockClientDirs(disk string) []string {
	return []string{path.Join(virtual, n.BlockClient), path.Join("/sys/block", disk, n.DiskDir), parameters(n.BlockClient)}
}

// BlockServerDirs are the directories of the block server: its own, and the parameters of its module.
func (n Names) BlockServerDirs() []string {
	return []string{path.Join(virtual, n.BlockServer), parameters(n.BlockServer)}
}

// TransportClientDirs are those of the transport client.
func (n Names) TransportClientDirs() []string {
	return []string{path.Join(virtual, n.TransportClient), parameters(n.TransportClient)}
}

// TransportServerDirs are those of the transport server.
func (n Names) TransportServerDirs() []string {
	return []string{path.Join(virtual, n.TransportServer), parameters(n.TransportServer)}
}

// parameters is the directory of the parameters of a module.
func parameters(module string) string {
	return path.Join("/sys/module", strings.ReplaceAll(module, "-", "_"), "parameters")
}

func (p PathAddr) dirName() string { return fmt.Sprintf("ip:%s@ip:%s", p.Source, p.Destination) }
