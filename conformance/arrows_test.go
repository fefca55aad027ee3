// SPDX-License-Identifier: Apache-2.0

package conformance_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

// The arrows of docs/architecture.md: which parts of the tree may import which. They are read from every Go file of the tree,
// whatever its build constraints, tests included.

const module = "github.com/ibnbd/ibnbd"

// part is a part of the tree: packages in or below one of its directories, if no other part has a longer name for them. A
// package may import its own part.
type part struct {
	name  string
	dirs  []string
	may   []string // parts that it may import
	tests []string // and those that only its tests may
}

const engine = "the engine"

var parts = []part{
	{name: "burst", dirs: []string{"reference/burst"}},
	{name: "layout", dirs: []string{"reference/layout"}},
	{name: "nbd", dirs: []string{"reference/nbd"}, may: []string{"burst"}},
	{name: "backend", dirs: []string{"reference/backend"}},
	{name: "roce", dirs: []string{"reference/roce"}},
	{name: "rdma", dirs: []string{"reference/rdma"}},
	{name: "soft", dirs: []string{"reference/rdma/soft"}, may: []string{"rdma", "roce"}},
	{name: "verbs", dirs: []string{"reference/rdma/verbs"}, may: []string{"rdma"}},
	{name: "ibtrs", dirs: []string{"reference/ibtrs"}, may: []string{"rdma", "layout", "burst"}, tests: []string{"soft", "roce"}},
	{name: "ibnbd", dirs: []string{"reference/ibnbd"}, may: []string{"ibtrs", "nbd", "backend", "layout", "burst"}, tests: []string{"rdma", "soft"}},
	{name: "scsi", dirs: []string{"reference/scsi"}, may: []string{"backend"}},
	{name: "srp", dirs: []string{"reference/srp"}, may: []string{"scsi", "nbd", "rdma", "layout", "burst"}, tests: []string{"soft", "roce", "backend"}},
	{
		name: "the reference's programs", dirs: []string{"reference/cmd"},
		may: []string{"ibnbd", "ibtrs", "srp", "scsi", "nbd", "backend", "rdma", "soft", "verbs", "version"},
	},
	{name: "version", dirs: []string{"reference/version"}},
	{name: "documents", dirs: []string{"docs"}}, // as data
	{name: "kmod", dirs: []string{"kmod"}},      // its sources, as data
	{name: "vm", dirs: []string{"vm"}, may: []string{"roce"}},
	{
		name: engine,
		dirs: []string{
			"conformance/audit", "conformance/clauses", "conformance/disk", "conformance/eventloop", "conformance/foreign",
			"conformance/implementation",
			"conformance/kit", "conformance/mutant", "conformance/prompt", "conformance/protocol",
			"conformance/runner", "conformance/stamp", "conformance/standard", "conformance/verdict",
		},
		may:   []string{"vm", "layout", "nbd", "rdma", "soft", "verbs", "roce", "version"},
		tests: []string{"clauses for tests"},
	},
	{name: "the clauses", dirs: []string{"conformance/ibnbd/catalogue", "conformance/srp/catalogue"}, may: []string{engine}},
	{name: "clauses for tests", dirs: []string{"conformance/clauses/clausestest"}, may: []string{engine, "the clauses"}},
	{name: "interop", dirs: []string{"conformance/interop"}, tests: []string{"vm", "rdma", "soft", "roce"}},
	{
		name: "protocol IBNBD", dirs: []string{"conformance/ibnbd"},
		may: []string{engine, "the clauses", "vm", "ibnbd", "ibtrs", "backend", "layout", "rdma", "soft", "verbs", "roce", "kmod"},
	},
	{
		name: "protocol SRP", dirs: []string{"conformance/srp"},
		may: []string{engine, "the clauses", "vm", "srp", "scsi", "backend", "layout", "rdma", "soft", "verbs", "roce", "kmod"},
	},
	{
		name: "the dissector", dirs: []string{"conformance/wireshark"}, may: []string{"the facade", engine, "layout"},
		tests: []string{"ibnbd", "ibtrs", "srp", "roce"}, // which read the same captures
	},
	{
		name: "the facade", dirs: []string{"conformance"},
		may: []string{"protocol IBNBD", "protocol SRP", "the clauses", engine, "vm", "version"},
	},
	{
		name: "the command", dirs: []string{"conformance/cmd"},
		may:   []string{"the facade", engine, "vm", "version", "documents"},
		tests: []string{"protocol IBNBD", "protocol SRP", "ibnbd", "ibtrs", "srp", "backend", "rdma", "soft", "roce"}, // of which vendors' implementations are made
	},
	{
		name: "somebody else's module", dirs: []string{"conformance/testdata/vendor"},
		may: []string{"the facade", engine, "protocol IBNBD", "ibnbd", "ibtrs", "backend", "rdma", "soft"},
	},
	{name: "ci", dirs: []string{"ci"}, tests: []string{"protocol IBNBD", "vm"}}, // its hooks are tried in a guest
}

// exception is an arrow from the packages in and below a directory to a part that should go, or [protocolNames].
type exception struct{ from, to, why string }

// protocolNames are ids of clauses and names of modules.
const protocolNames = "names of a protocol"

// exceptions are what is still there; one that has gone must go from here, too.
var exceptions []exception

// clausePattern matches ids of clauses, modulePattern names of kernel modules: the engine knows neither.
var (
	clausePattern = regexp.MustCompile(`\b(IBNBD|IBTRS|SRP)-[A-Z]+-[0-9]{3}\b`)
	modulePattern = regexp.MustCompile(`\b(rnbd|rtrs|ibnbd|ibtrs)[-_](client|server|core)\b|\bib_srpt?\b|^(rnbd|rtrs)$`)
)

func TestArrows(t *testing.T) {
	for _, complaint := range complaints(t, os.DirFS(".."), exceptions) {
		t.Error(complaint)
	}
}

// TestForbiddenArrowsAreFound in a tree that is made of them.
func TestForbiddenArrowsAreFound(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	imports := func(path string) *fstest.MapFile {
		return file("package p\nimport _ \"" + module + "/" + path + "\"\n")
	}
	tree := fstest.MapFS{
		"conformance/kit/good.go":        imports("vm"),
		"conformance/kit/bad.go":         imports("conformance/ibnbd/pair"),
		"conformance/audit/bad.go":       imports("reference/ibtrs"),
		"conformance/srp/bad.go":         imports("conformance/ibnbd/pair"),
		"conformance/cmd/x/good_test.go": imports("reference/ibnbd"),
		"conformance/cmd/x/bad.go":       imports("reference/ibnbd"),
		"reference/ibtrs/tagged_test.go": file("//go:build lab\n\npackage p\nimport _ \"" + module + "/vm\"\n"),
		"vm/bad_test.go":                 imports("conformance/kit"),
		"attic/new.go":                   imports("vm"),
		"build/cache/ignored.go":         imports("conformance"),
		"conformance/runner/id.go":       file("package p\nconst id = \"IBTRS-HB-001\" // IBTRS-HB-002\n"),
		"conformance/runner/id_test.go":  file("package p\nconst id = \"IBTRS-HB-001\"\n"),
		"conformance/runner/module.go":   file("package p\nvar sets = []string{\"rnbd\"}\n"),
		"conformance/foreign/excused.go": imports("conformance/ibnbd/attacks"),
		"conformance/verdict/excused.go": file("package p\nconst id = \"SRP-LOGIN-001\"\n"),
	}
	excused := []exception{
		{"conformance/foreign", "protocol IBNBD", "a test"},
		{"conformance/foreign", "protocol SRP", "a test"},
		{"conformance/verdict", protocolNames, "a test"},
	}
	want := []string{
		"attic/new.go is in no part",
		"conformance/audit/bad.go: the engine imports reference/ibtrs, of ibtrs",
		"conformance/cmd/x/bad.go: the command imports reference/ibnbd, of ibnbd",
		"conformance/foreign does without protocol SRP: the exception can go",
		"conformance/kit/bad.go: the engine imports conformance/ibnbd/pair, of protocol IBNBD",
		`conformance/runner/id.go: the engine names a protocol: "IBTRS-HB-001"`,
		`conformance/runner/module.go: the engine names a protocol: "rnbd"`,
		"conformance/srp/bad.go: protocol SRP imports conformance/ibnbd/pair, of protocol IBNBD",
		"reference/ibtrs/tagged_test.go: ibtrs imports vm, of vm",
		"vm/bad_test.go: vm imports conformance/kit, of the engine",
	}
	if diff := cmp.Diff(want, complaints(t, tree, excused)); diff != "" {
		t.Errorf("complaints (-want +got):\n%s", diff)
	}
}

// complaints are all that is forbidden in a tree, in order.
func complaints(t *testing.T, tree fs.FS, excused []exception) []string {
	t.Helper()
	var list []string
	used := make(map[exception]bool)
	complain := func(file, to, format string, args ...any) {
		i := slices.IndexFunc(excused, func(e exception) bool { return e.to == to && (file == e.from || strings.HasPrefix(file, e.from+"/")) })
		if i >= 0 {
			used[excused[i]] = true
			return
		}
		list = append(list, file+fmt.Sprintf(format, args...))
	}
	for _, name := range goFiles(t, tree) {
		from, test := partOf(path.Dir(name)), strings.HasSuffix(name, "_test.go")
		if from == nil {
			complain(name, "", " is in no part")
			continue
		}
		parsed := parse(t, tree, name)
		for _, dir := range importsOf(t, parsed) {
			if to := partOf(dir); !allowed(from, to, test) {
				complain(name, nameOf(to), ": %s imports %s, of %s", from.name, dir, nameOf(to))
			}
		}
		if from.name == engine && !test {
			for _, text := range namesIn(parsed) {
				complain(name, protocolNames, ": the engine names a protocol: %q", text)
			}
		}
	}
	for _, e := range excused {
		if !used[e] {
			list = append(list, fmt.Sprintf("%s does without %s: the exception can go", e.from, e.to))
		}
	}
	slices.Sort(list)
	return list
}

// goFiles are all Go files but those of the build directory.
func goFiles(t *testing.T, tree fs.FS) []string {
	t.Helper()
	var names []string
	err := fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		if entry != nil && entry.IsDir() && (name == "build" || name != "." && strings.HasPrefix(entry.Name(), ".")) {
			return fs.SkipDir
		}
		if strings.HasSuffix(name, ".go") {
			names = append(names, name)
		}
		return err
	})
	if err != nil || len(names) == 0 {
		t.Fatalf("%d Go files: %v", len(names), err)
	}
	return names
}

// parse reads a file.
func parse(t *testing.T, tree fs.FS, name string) *ast.File {
	t.Helper()
	text, err := fs.ReadFile(tree, name)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := parser.ParseFile(token.NewFileSet(), name, text, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// importsOf are the packages of this module that a file imports, as directories.
func importsOf(t *testing.T, file *ast.File) []string {
	t.Helper()
	var dirs []string
	for _, spec := range file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		if dir, ours := strings.CutPrefix(imported, module+"/"); ours {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// partOf finds the part of a package; nil if it has none.
func partOf(dir string) *part {
	var found *part
	longest := 0
	for i := range parts {
		for _, d := range parts[i].dirs {
			if (dir == d || strings.HasPrefix(dir, d+"/")) && len(d) > longest {
				found, longest = &parts[i], len(d)
			}
		}
	}
	return found
}

func nameOf(r *part) string {
	if r == nil {
		return "no part"
	}
	return r.name
}

func allowed(from, to *part, test bool) bool {
	return to != nil && (from == to || slices.Contains(from.may, to.name) || test && slices.Contains(from.tests, to.name))
}

// namesIn are the strings of a file that have an id of a clause, or the name of a module.
func namesIn(file *ast.File) []string {
	var list []string
	ast.Inspect(file, func(node ast.Node) bool {
		literal, is := node.(*ast.BasicLit)
		if !is || literal.Kind != token.STRING {
			return true
		}
		text, err := strconv.Unquote(literal.Value)
		if err == nil && (clausePattern.MatchString(text) || modulePattern.MatchString(text)) {
			list = append(list, text)
		}
		return true
	})
	return list
}
