// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/ibnbd/ibnbd/vm/agent"
)

const rdmaClass = "/sys/class/infiniband"

// configureRDMA gives the interface the soft-RoCE device that it is to have, and no other.
func configureRDMA(ctx context.Context, ifname string, nic agent.Interface) error {
	present := false
	for _, device := range devicesOn(ifname) {
		if device == nic.RDMA {
			present = true
			continue
		}
		if err := netlink.RdmaLinkDel(device); err != nil {
			return fmt.Errorf("remove RDMA device %s: %w", device, err)
		}
	}
	if nic.RDMA == "" {
		return nil
	}
	if !present {
		// The kernel loads rdma_rxe for this if need be.
		if err := netlink.RdmaLinkAdd(nic.RDMA, "rxe", ifname); err != nil {
			return fmt.Errorf("add RDMA device %s: %w", nic.RDMA, err)
		}
	}
	return waitActive(ctx, nic.RDMA, nic.Addresses)
}

// rdmaResources asks the kernel what its RDMA devices hold.
func rdmaResources(context.Context, struct{}) (any, error) {
	held := agent.RDMAResources{}
	devices, _ := filepath.Glob(rdmaClass + "/*") // the pattern is good
	if len(devices) == 0 {
		return held, nil // an error to the library
	}
	all, err := netlink.RdmaResourceList()
	if err != nil {
		return nil, fmt.Errorf("resources of RDMA devices: %w", err)
	}
	for _, device := range all {
		held[device.Name] = device.RdmaResourceSummaryEntries
	}
	return held, nil
}

// devicesOn are the soft RDMA devices whose parent is the interface.
func devicesOn(ifname string) []string {
	parents, _ := filepath.Glob(rdmaClass + "/*/parent") // the pattern is good; no class, no devices
	var names []string
	for _, parent := range parents {
		if data, err := os.ReadFile(parent); err == nil && trimmed(data) == ifname {
			names = append(names, filepath.Base(filepath.Dir(parent)))
		}
	}
	return names
}

// activePoll is how often the state of an RDMA device is looked at. The kernel fills the GID table in the background and
// tells nobody when it is done.
const activePoll = 5 * time.Millisecond

// waitActive waits until the device's port is active and has a GID for every address.
func waitActive(ctx context.Context, device string, addresses []netip.Prefix) error {
	for {
		lack := lacking(device, addresses)
		if lack == "" {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("RDMA device %s: %s: %w", device, lack, ctx.Err())
		case <-time.After(activePoll):
		}
	}
}

// lacking says what the device still lacks, or "".
func lacking(device string, addresses []netip.Prefix) string {
	port := filepath.Join(rdmaClass, device, "ports/1")
	state, err := os.ReadFile(filepath.Join(port, "state"))
	if err != nil {
		return err.Error()
	}
	if !strings.Contains(string(state), "ACTIVE") {
		return "port is " + trimmed(state)
	}
	gids := portGIDs(port)
	for _, prefix := range addresses {
		if !slices.Contains(gids, prefix.Addr().As16()) {
			return "no GID for " + prefix.Addr().String()
		}
	}
	return ""
}

// gidGap is how many unused entries in a row are taken for the end of a GID table. The kernel gives a new GID the first free
// entry, so those in use stand at the beginning of a table that has a thousand entries, each a file.
const gidGap = 16

// portGIDs are the entries of the GID table that are in use. An IPv4 address is in it as ::ffff:a.b.c.d.
func portGIDs(port string) [][16]byte {
	var gids [][16]byte
	for i, unused := 0, 0; unused < gidGap; i++ {
		unused++
		data, err := os.ReadFile(filepath.Join(port, "gids", strconv.Itoa(i)))
		if err != nil {
			continue // an unused entry, or none
		}
		if gid, err := netip.ParseAddr(trimmed(data)); err == nil && !gid.IsUnspecified() {
			gids, unused = append(gids, gid.As16()), 0
		}
	}
	return gids
}
