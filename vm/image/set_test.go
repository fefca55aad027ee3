// SPDX-License-Identifier: Apache-2.0

package image

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDefaultSetIsGood(t *testing.T) {
	set := DefaultSet()
	if _, err := set.kernel(DefaultKernel); err != nil {
		t.Error(err)
	}
	if _, err := set.moduleSet("rnbd"); err != nil {
		t.Error(err)
	}
	for _, pkg := range set.basePackages() {
		if pkg == "fio" {
			t.Error("fio is in a layer and in the initramfs")
		}
	}
}

func TestBadSetsAreRefused(t *testing.T) {
	const kernels = "kernels: {x: {image: a}}\n"
	for name, test := range map[string]struct{ yaml, says string }{
		"no kernel":           {"files: {}", "kernels: at least one"},
		"kernel of two kinds": {"kernels: {x: {image: a, directory: b}}", "kernels.x: exactly one"},
		"kernel of no kind":   {"kernels: {x: {headers: a}}", "kernels.x: exactly one"},
		"unknown field":       {kernels + "file: {}", "field file not found"},
		"relative path":       {kernels + "files: {p: [bin/x]}", `files.p: "bin/x"`},
		"bad pattern":         {kernels + "files: {p: ['/bin/[']}", `files.p: "/bin/["`},
		"unknown in layer":    {kernels + "layers: {l: [p]}", `layers.l: package "p"`},
		"no directory":        {kernels + "moduleSets: {m: {}}", "moduleSets.m: directories"},
		"directory outside":   {kernels + "moduleSets: {m: {directories: [../x]}}", `directory "../x"`},
		"absolute directory":  {kernels + "moduleSets: {m: {directories: [/x]}}", `directory "/x"`},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := ParseSet([]byte(test.yaml)); err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("error %v, want one that says %q", err, test.says)
			}
		})
	}
}

func TestParseURIs(t *testing.T) {
	const output = `Reading package lists...
'http://deb.debian.org/debian/pool/main/f/fio/fio_3.33-3_amd64.deb' fio_3.33-3_amd64.deb 537684 SHA256:00
'http://deb.debian.org/x/ethtool_6.1-1_amd64.deb' ethtool_1%3a6.1-1_amd64.deb 196612 MD5Sum:11
`
	got, err := parseURIs(output)
	if err != nil {
		t.Fatal(err)
	}
	want := []deb{
		{Name: "ethtool", Version: "1:6.1-1", File: "ethtool_1%3a6.1-1_amd64.deb", Size: 196612},
		{Name: "fio", Version: "3.33-3", File: "fio_3.33-3_amd64.deb", Size: 537684},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, bad := range []string{"", "'x' name 12 hash", "'x' a_b_c.deb many hash", "'x' ../a_b_c.deb 12 hash"} {
		if debs, err := parseURIs(bad); err == nil {
			t.Errorf("%q was taken for %v", bad, debs)
		}
	}
}

// TestModulesOfUsersKernels: of each module it is known whether a kernel of a user may lack it, or what to switch on.
func TestModulesOfUsersKernels(t *testing.T) {
	set := DefaultSet()
	wanted := slices.Concat(set.Boot, set.Modules)
	for _, modules := range set.ModuleSets {
		wanted = append(wanted, modules.Provides...)
	}
	for _, name := range wanted {
		if slices.Contains(set.Optional, name) == (set.Options[name] != "") {
			t.Errorf("module %s is not in one of optional and options", name)
		}
	}
}
