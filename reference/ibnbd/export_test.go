// SPDX-License-Identifier: Apache-2.0

package ibnbd_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// TestExportsThatClientsCanMap: an export is good if some device path of some session leads to it.
func TestExportsThatClientsCanMap(t *testing.T) {
	long := strings.Repeat("n", 254)
	for _, tc := range []struct{ search, path, want string }{
		{"/", "/ram0", ""}, {"/", "ram0", ""}, {"/", "/a/b", ""}, {"/", "//a//b", ""}, {"/", "/" + long, ""}, {"", "/a", ""},
		{"/srv", "/srv/a", ""}, {"/srv/", "/srv/a", ""}, {"//srv//x/", "/srv/x/a b?#%é", ""}, {"/..", "/../a", ""}, {"/", "/.", ""},
		{"/dev/%SESSNAME%", "/dev/one/disk", ""}, {"/dev/%SESSNAME%/dropped", "/dev/one/disk", ""}, {"%SESSNAME%", "/one/disk", ""},
		{"/d%SESSNAME%", "/d/one/disk", ""},

		{"/", "/" + long + "x", "the device path has 255 bytes, at most 254 are possible"},
		{"/", "/" + strings.Repeat("n", 5000), "5000 bytes, at most 254"},
		{"/", "/../up", `"../up" has two dots in a row`}, {"/", "/a..b", `"a..b" has two dots in a row`}, {"/srv", "/srv/../up", "two dots"},
		{"/", "", "the device path is empty"}, {"/", "/", "the device path is empty"}, {"/srv", "/srv/", "the device path is empty"},
		{"/", "/a\x00b", "has a NUL"},
		{"/srv", "/a", "it is not below the search path /srv"}, {"/srv", "/srvx/a", "not below the search path /srv"},
		{"srv", "/srv/a", "not below the search path srv"},
		{"/dev/%SESSNAME%", "/disk", "not below the search path /dev/%SESSNAME%"},
		{"/dev/%SESSNAME%", "/dev/disk", "the device path is empty"},
		{"/dev/%SESSNAME%", "/dev/a.b/disk", "session name"},
		{"/" + strings.Repeat("s", 4000), "/" + strings.Repeat("s", 4000) + "/" + strings.Repeat("n", 100), "at most 4095 are allowed"},
	} {
		err := ibnbd.CheckExport(tc.search, tc.path)
		if tc.want == "" && err != nil {
			t.Errorf("search path %.40q, export %.40q: %v", tc.search, tc.path, err)
		}
		if tc.want != "" && (!errors.Is(err, ibtrs.EINVAL) || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("search path %.40q, export %.40q: %v, must be refused with %q", tc.search, tc.path, err, tc.want)
		}
	}
}

// TestServerRefusesAnExportThatNobodyCanMap, but one that is made to let any dots pass.
func TestServerRefusesAnExportThatNobodyCanMap(t *testing.T) {
	l := newLab(t)
	cfg := l.serverConfig()
	cfg.Exports[0].Path = "../up"
	if s, err := ibnbd.Listen(cfg); !errors.Is(err, ibtrs.EINVAL) || !strings.Contains(err.Error(), `export "/../up"`) {
		t.Errorf("Listen: %v", err)
		if err == nil {
			s.Close()
		}
	}
	cfg.Rules.AnyDots = true
	l.listen(cfg)
}
