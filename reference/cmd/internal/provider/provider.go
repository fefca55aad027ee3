// SPDX-License-Identifier: Apache-2.0

// Package provider opens RDMA devices by the name of their provider, as the programs take it with --provider.
//
// The build tag verbs adds the provider verbs.
package provider

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/rdma/soft"
	"github.com/ibnbd/ibnbd/reference/rdma/verbs"
)

// Default is the provider that needs nothing from the system.
const Default = "soft"

// providers open the device with a local address. A provider that this program was built without stays in the table; its
// error says how to build it.
var providers = map[string]func(netip.Addr) (rdma.Device, error){
	"soft":  openSoft,
	"verbs": openVerbs,
}

// Names are the names of all providers.
func Names() []string {
	var names []string
	for name := range providers {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Known reports whether there is a provider of that name.
func Known(name string) bool { return providers[name] != nil }

// Open opens the device with a local address.
func Open(name string, addr netip.Addr) (rdma.Device, error) {
	open := providers[name]
	if open == nil {
		return nil, fmt.Errorf("provider %q is none of %s", name, strings.Join(Names(), ", "))
	}
	return open(addr)
}

func openVerbs(addr netip.Addr) (rdma.Device, error) {
	dev, err := verbs.Open(addr, verbs.Config{})
	if err != nil {
		return nil, fmt.Errorf("provider %w", err)
	}
	return dev, nil
}

func openSoft(addr netip.Addr) (rdma.Device, error) {
	link, err := soft.OpenUDP(addr)
	if err != nil {
		return nil, err
	}
	dev, err := soft.Open(link, soft.Config{})
	if err != nil {
		return nil, err
	}
	return dev, nil
}
