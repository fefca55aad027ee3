// SPDX-License-Identifier: Apache-2.0

package conformance_test

import (
	"go/ast"
	"go/types"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/go/packages"
)

// switchStructs are those that have a switch for each rule that can be turned off, by the import paths of their packages.
var switchStructs = map[string][]string{
	module + "/reference/ibtrs":     {"ClientRules", "ServerRules"},
	module + "/reference/ibnbd":     {"ClientRules", "ServerRules"},
	module + "/reference/rdma/soft": {"Rules"},
	module + "/reference/srp":       {"TargetRules"},
}

// TestSwitches: a rule can be turned off only if a mutant or a test turns it off, which shows that somebody notices.
func TestSwitches(t *testing.T) {
	unset := make(map[string]bool)
	names := make(map[string]bool)
	for _, p := range load(t, false, slices.Collect(maps.Keys(switchStructs))) {
		for _, name := range switchStructs[p.PkgPath] {
			rules := p.Types.Scope().Lookup(name).Type()
			for field := range rules.Underlying().(*types.Struct).Fields() {
				unset[switchName(rules, field.Name())] = true
				names[field.Name()] = true
			}
		}
	}
	if len(unset) == 0 {
		t.Fatal("there are no switches")
	}
	for _, p := range load(t, true, naming(t, names)) {
		for _, file := range p.Syntax {
			ast.Inspect(file, func(n ast.Node) bool {
				for _, field := range setBy(p.TypesInfo, n) {
					delete(unset, field)
				}
				return true
			})
		}
	}
	for field := range unset {
		t.Errorf("no mutant and no test sets %s", field)
	}
}

// load reads packages with their types, and their tests, too.
func load(t *testing.T, tests bool, patterns []string) []*packages.Package {
	t.Helper()
	const mode = packages.NeedName | packages.NeedImports | packages.NeedSyntax | packages.NeedTypes | packages.NeedTypesInfo | packages.NeedExportFile
	loaded, err := packages.Load(&packages.Config{Mode: mode, Dir: "..", Tests: tests}, patterns...)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range loaded {
		for _, err := range p.Errors {
			t.Errorf("%s: %v", p.ID, err)
		}
	}
	return loaded
}

// naming lists the packages that have one of the words in a file. Only these can set a switch, and to load all others takes long.
func naming(t *testing.T, words map[string]bool) []string {
	t.Helper()
	word := regexp.MustCompile(`\b(` + strings.Join(slices.Sorted(maps.Keys(words)), "|") + `)\b`)
	dirs := make(map[string]bool)
	for _, top := range []string{"reference", "conformance"} {
		err := fs.WalkDir(os.DirFS(".."), top, func(name string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.Name() == "testdata":
				return fs.SkipDir
			case path.Ext(name) != ".go" || dirs["./"+path.Dir(name)]:
				return nil
			}
			text, err := os.ReadFile(filepath.Join("..", name))
			if word.Match(text) {
				dirs["./"+path.Dir(name)] = true
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return slices.Sorted(maps.Keys(dirs))
}

// setBy are the fields that a node of the source sets, as [switchName] names them.
func setBy(info *types.Info, n ast.Node) (fields []string) {
	switch n := n.(type) {
	case *ast.AssignStmt:
		for _, left := range n.Lhs {
			if chosen, ok := left.(*ast.SelectorExpr); ok && info.Selections[chosen] != nil {
				fields = append(fields, switchName(info.Selections[chosen].Recv(), chosen.Sel.Name))
			}
		}
	case *ast.CompositeLit:
		for _, element := range n.Elts {
			if pair, ok := element.(*ast.KeyValueExpr); ok {
				if key, ok := pair.Key.(*ast.Ident); ok {
					fields = append(fields, switchName(info.TypeOf(n), key.Name))
				}
			}
		}
	}
	return fields
}

// switchName names a field of a type, or of what it points to.
func switchName(t types.Type, field string) string {
	if pointer, ok := t.(*types.Pointer); ok {
		t = pointer.Elem()
	}
	return strings.TrimPrefix(types.TypeString(t, nil), module+"/") + "." + field
}
