// SPDX-License-Identifier: Apache-2.0

package clauses

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

var (
	areaPattern = regexp.MustCompile(`^[A-Z][A-Z0-9]*(-[A-Z][A-Z0-9]*)+$`)
	idPattern   = regexp.MustCompile(`^([A-Z][A-Z0-9]*(?:-[A-Z][A-Z0-9]*)+)-[0-9]{3}$`)
)

// validate returns every mistake of one data file, which may name some dialects. seen holds the ids and areas of the files before
// it and is added to.
func (f *areaFile) validate(file string, dialects []Dialect, seen map[string]string) []error {
	v := &validator{file: file, dialects: dialects}
	v.check(areaPattern.MatchString(f.Area), "area", "%q is not two or more upper-case words joined by '-'", f.Area)
	v.check(path.Base(file) == strings.ToLower(f.Area)+".yaml", "area", "%q does not fit the name of the file", f.Area)
	v.check(f.Title != "", "title", "is empty")
	v.check(len(f.Clauses) > 0, "clauses", "is empty")
	each(v, "dialects", f.Dialects, dialects)
	if other, taken := seen[f.Area]; taken {
		v.fail("area", "%q is already in %s", f.Area, other)
	}
	seen[f.Area] = file

	previous := ""
	for i := range f.Clauses {
		v.clause = f.Clauses[i].ID
		v.validateID(f.Area, previous, seen)
		v.validateClause(&f.Clauses[i])
		previous = f.Clauses[i].ID
	}
	f.validateWithdrawn(v, seen)
	return v.problems
}

// validator collects the mistakes of one file.
type validator struct {
	file, clause string
	dialects     []Dialect // those of the protocol
	problems     []error
}

func (v *validator) fail(field, format string, args ...any) {
	v.problems = append(v.problems, &Problem{
		File: v.file, Clause: v.clause, Field: field, Reason: fmt.Sprintf(format, args...),
	})
}

func (v *validator) check(ok bool, field, format string, args ...any) {
	if !ok {
		v.fail(field, format, args...)
	}
}

func (v *validator) validateID(area, previous string, seen map[string]string) {
	if other, taken := seen[v.clause]; taken {
		v.fail("id", "%q is already in %s", v.clause, other)
		return
	}
	seen[v.clause] = v.file
	parts := idPattern.FindStringSubmatch(v.clause)
	if parts == nil {
		v.fail("id", "%q is not an area and three digits, e.g. %s-001", v.clause, area)
		return
	}
	v.check(parts[1] == area, "id", "%q is not in area %q", v.clause, area)
	v.check(v.clause > previous, "id", "%q stands after %q", v.clause, previous)
}

func (v *validator) validateClause(c *Clause) {
	one(v, "level", c.Level, []Level{Must, Should, May})
	one(v, "judges", c.Role, []Role{Target, Initiator, Both, Wire})
	one(v, "scope", c.Scope, []Scope{ProtocolScope, ProjectScope})
	v.check(strings.HasSuffix(c.Text, "."), "text", "%q is not a sentence that ends with a full stop", c.Text)
	v.check(len(c.Sources) > 0, "source", "is empty")
	each(v, "source", c.Sources, []Source{Seed, SeedTests, Original, Mainline, MainlineLater, Standard, Project})
	v.check(len(c.Dialects) > 0, "dialects", "is empty, for the clause and for its file")
	each(v, "dialects", c.Dialects, v.dialects)
	each(v, "requires", c.Requires, abilities)
	v.validateScope(c)
	v.validateDecision(c.Decided)
	if c.Ambiguity != nil {
		v.check(c.Ambiguity.Question != "", "ambiguity.question", "is empty")
		v.check(len(c.Ambiguity.Accepted) > 0, "ambiguity.accepted", "is empty")
	}
	for _, fact := range c.Measured {
		v.check(fact.Subject != "" && fact.Saw != "", "measured", "a fact needs both 'subject' and 'saw'")
	}
}

func (v *validator) validateScope(c *Clause) {
	onlyProject := len(c.Sources) == 1 && c.Sources[0] == Project
	v.check(onlyProject == (c.Scope == ProjectScope), "scope",
		"%q does not fit source %v: scope is project exactly when the project is the only source", c.Scope, c.Sources)
}

func (v *validator) validateDecision(d Decision) {
	each(v, "decided.by", d.By, []Method{Active, Audit})
	if len(d.By) == 0 {
		v.check(d.Undecidable != "", "decided.undecidable", "a clause that nobody decides needs the reason")
		return
	}
	v.check(d.Undecidable == "", "decided.undecidable", "is set although decided.by is %v", d.By)
}

func one[T ~string](v *validator, field string, value T, allowed []T) {
	v.check(slices.Contains(allowed, value), field, "%q is not one of %q", value, allowed)
}

func each[T ~string](v *validator, field string, values, allowed []T) {
	for i, value := range values {
		one(v, field, value, allowed)
		v.check(!slices.Contains(values[:i], value), field, "%q stands there twice", value)
	}
}
