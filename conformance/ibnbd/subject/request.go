// SPDX-License-Identifier: Apache-2.0

package subject

import (
	"fmt"
	"net/netip"
	"strings"
)

// PathAddr names a path by its two addresses. The zero Source lets routing choose.
type PathAddr struct {
	Source, Destination netip.Addr
}

// String gives the path as map_device takes it: [ip:src,]ip:dst.
func (p PathAddr) String() string {
	if !p.Source.IsValid() {
		return "ip:" + p.Destination.String()
	}
	return fmt.Sprintf("ip:%s,ip:%s", p.Source, p.Destination)
}

// MapRequest is one mapping in the terms of map_device.
type MapRequest struct {
	Session string
	Paths   []PathAddr // may be empty when the session exists (mainline)
	Device  string     // device_path, relative to the server's search path
	Access  string     // that of an ibnbd.AccessMode; "" leaves it out, which means read-write (clause IBNBD-SYSFS-008)
	IOMode  string     // "", "fileio" or "blockio"; only dialects that know it
}

// Line renders the request in the grammar of map_device, without a newline.
func (r MapRequest) Line() string {
	words := []string{"sessname=" + r.Session}
	for _, p := range r.Paths {
		words = append(words, "path="+p.String())
	}
	words = append(words, "device_path="+r.Device)
	if r.Access != "" {
		words = append(words, "access_mode="+r.Access)
	}
	if r.IOMode != "" {
		words = append(words, "io_mode="+r.IOMode)
	}
	return strings.Join(words, " ")
}

// UnmapMode is how a device is given up.
type UnmapMode string

// The two ways of unmapping: normal refuses a device in use with EBUSY, force fails its I/O.
const (
	UnmapNormal UnmapMode = "normal"
	UnmapForce  UnmapMode = "force"
)
