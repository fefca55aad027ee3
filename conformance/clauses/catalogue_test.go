// SPDX-License-Identifier: Apache-2.0

package clauses_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/clauses/clausestest"
)

func TestCatalogueHasEveryArea(t *testing.T) {
	want := map[string]int{
		"IBTRS-CONN": 62, "IBTRS-INFO": 27, "IBTRS-IMM": 15, "IBTRS-IO": 40, "IBTRS-INV": 16, "IBTRS-HB": 12,
		"IBTRS-PATH": 26, "IBTRS-MP": 9, "IBTRS-SYSFS": 23, "IBNBD-MSG": 21, "IBNBD-OPEN": 36, "IBNBD-IO": 31,
		"IBNBD-COMPAT": 11, "IBNBD-SYSFS": 41, "IBNBD-FAIL": 34, "IBNBD-LIM": 6,
		"SRP-LOGIN": 38, "SRP-CH": 7, "SRP-CMD": 22, "SRP-RSP": 15, "SRP-DATA": 9, "SRP-CRED": 14, "SRP-TM": 9,
		"SRP-LOGOUT": 10, "SRP-SYSFS": 23, "SRP-STATE": 18, "SRP-TMO": 13, "SRP-RECON": 31, "SRP-MP": 17, "SRP-TGT": 8,
		"SRP-ROB": 5,
	}
	got := make(map[string]int)
	for _, area := range clausestest.Catalogue().Areas() {
		got[area.Name] = area.Count
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("clauses by area (-want +got):\n%s", diff)
	}
}

func TestTransportComesBeforeBlockLayer(t *testing.T) {
	areas := clausestest.Catalogue().Areas()
	if areas[0].Name != "IBTRS-CONN" || areas[9].Name != "IBNBD-MSG" {
		t.Errorf("areas begin %v", areas)
	}
}

// reference matches a pointer to a numbered section, such as "by 4.2" or "of section 8".
var reference = regexp.MustCompile(`\b(section|by|of|in) [0-9]+\.[0-9]|\bsection [0-9]`)

func TestTextsStandAlone(t *testing.T) {
	for _, c := range clausestest.Catalogue().All() {
		if reference.MatchString(c.Text) {
			t.Errorf("%s: text leans on another document: %s", c.ID, c.Text)
		}
	}
}

// strong matches the words that say how strong a text is; SHALL and the like say the same in other words, and have no level.
var strong = regexp.MustCompile(`\b(MUST|SHOULD|MAY|SHALL|REQUIRED|RECOMMENDED|OPTIONAL)\b`)

// oneRequirement says what is wrong with a text that does not demand one thing, in capitals and at its level; beside a MUST or a SHOULD it
// may leave one option. "" is for one that does.
func oneRequirement(level clauses.Level, text string) string {
	words := strong.FindAllString(text, -1)
	demands := slices.DeleteFunc(slices.Clone(words), func(w string) bool { return w == string(clauses.May) && level != clauses.May })
	switch {
	case !slices.Equal(demands, []string{string(level)}):
		return fmt.Sprintf("has level %s once, and says %v", level, words)
	case len(words)-len(demands) > 1:
		return fmt.Sprintf("leaves %d options, one is allowed", len(words)-len(demands))
	}
	return ""
}

func TestTextsDemandOneThing(t *testing.T) {
	for _, c := range clausestest.Catalogue().All() {
		if wrong := oneRequirement(c.Level, c.Text); wrong != "" {
			t.Errorf("%s %s: %s", c.ID, wrong, c.Text)
		}
	}
}

func TestOneRequirement(t *testing.T) {
	for text, holds := range map[string]bool{
		"It MUST work.":                             true,
		"It MUST NOT break; it MAY wait.":           true,
		"It works.":                                 false,
		"It MUST work, and MUST NOT break.":         false,
		"It MUST work, and SHOULD be quick.":        false,
		"It SHALL work.":                            false,
		"It MUST work; it MAY wait, or MAY refuse.": false,
	} {
		if wrong := oneRequirement(clauses.Must, text); (wrong == "") != holds {
			t.Errorf("%q: %q", text, wrong)
		}
	}
}

func TestGet(t *testing.T) {
	catalogue := clausestest.Catalogue()
	c, ok := catalogue.Get("IBTRS-CONN-006")
	if !ok || c.Area != "IBTRS-CONN" || c.Level != clauses.Must || !strings.Contains(c.Text, "0x1BBD") {
		t.Errorf("Get(IBTRS-CONN-006) = %v, %v", c, ok)
	}
	if _, ok := catalogue.Get("IBTRS-CONN-999"); ok {
		t.Error("Get(IBTRS-CONN-999) found a clause")
	}
}

func TestSelect(t *testing.T) {
	catalogue := clausestest.Catalogue()
	all := len(catalogue.All())
	tests := []struct {
		name   string
		filter clauses.Filter
		holds  func(clauses.Clause) bool
	}{
		{"area", clauses.Filter{Areas: []string{"IBTRS-HB", "IBTRS-MP"}},
			func(c clauses.Clause) bool { return c.Area == "IBTRS-HB" || c.Area == "IBTRS-MP" }},
		{"level", clauses.Filter{Levels: []clauses.Level{clauses.Should}},
			func(c clauses.Clause) bool { return c.Level == clauses.Should }},
		{"dialect", clauses.Filter{Dialects: []clauses.Dialect{"rnbd"}},
			func(c clauses.Clause) bool { return c.HoldsFor("rnbd") }},
		{"role", clauses.Filter{Roles: []clauses.Role{clauses.Target}},
			func(c clauses.Clause) bool { return c.Role != clauses.Initiator }},
		{"decided by", clauses.Filter{DecidedBy: []clauses.Method{clauses.Audit}},
			func(c clauses.Clause) bool { return c.DecidedBy(clauses.Audit) }},
		{"undecidable", clauses.Filter{DecidedBy: []clauses.Method{clauses.Undecidable}},
			func(c clauses.Clause) bool { return c.Decided.Undecidable != "" }},
		{"scope", clauses.Filter{Scopes: []clauses.Scope{clauses.ProjectScope}},
			func(c clauses.Clause) bool { return c.Scope == clauses.ProjectScope }},
		{"two fields", clauses.Filter{Areas: []string{"IBTRS-HB"}, Levels: []clauses.Level{clauses.Should}},
			func(c clauses.Clause) bool { return c.Area == "IBTRS-HB" && c.Level == clauses.Should }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			want := 0
			for _, c := range catalogue.All() {
				if test.holds(c) {
					want++
				}
			}
			got := catalogue.Select(test.filter)
			if len(got) != want || len(got) == 0 || len(got) == all {
				t.Fatalf("%d clauses of %d, want %d", len(got), all, want)
			}
			for _, c := range got {
				if !test.holds(c) {
					t.Errorf("%s does not belong here", c.ID)
				}
			}
		})
	}
	if got := len(catalogue.Select(clauses.Filter{})); got != all {
		t.Errorf("empty filter selects %d of %d", got, all)
	}
}
