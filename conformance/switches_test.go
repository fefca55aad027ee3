// SPDX-License-Identifier: Apache-2.0

package conformance_test

import (
	"go/ast"
	"go/types"
	"strings"
	"testing"

	"golang.org/x/tools/go/packages"
)

// switchStructs are those that have a switch for each rule that can be turned off, by the import paths of their packages.
var switchStructs = map[string][]string{
	module + "/reference/ibtrs":     {"ClientRules", "ServerRules"},
	module + "/reference/ibnbd":     {"ClientRules", "ServerRules"},
	module + "/reference/rdma/soft": {"Rules"},
}

// TestSwitches: a rule can be turned off only if a mutant or a test turns it off, which shows that somebody notices.
func TestSwitches(t *testing.T) {
	unset := make(map[string]bool)
	loaded, err := packages.Load(&packages.Config{
		Mode:  packages.NeedName | packages.NeedImports | packages.NeedSyntax | packages.NeedTypes | packages.NeedTypesInfo | packages.NeedExportFile,
		Dir:   "..",
		Tests: true,
	}, "./reference/...", "./conformance/...")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range loaded {
		for _, name := range switchStructs[p.PkgPath] {
			for _, field := range switchesOf(p.Types.Scope().Lookup(name).Type()) {
				unset[field] = true
			}
		}
	}
	if len(unset) == 0 {
		t.Fatal("there are no switches")
	}
	for _, p := range loaded {
		for _, err := range p.Errors {
			t.Errorf("%s: %v", p.ID, err)
		}
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

// setBy are the fields that a node of the source sets, as in switchesOf.
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

// switchesOf names the fields of a struct.
func switchesOf(t types.Type) []string {
	var names []string
	for field := range t.Underlying().(*types.Struct).Fields() {
		names = append(names, switchName(t, field.Name()))
	}
	return names
}

// switchName names a field of a type, or of what it points to.
func switchName(t types.Type, field string) string {
	if pointer, ok := t.(*types.Pointer); ok {
		t = pointer.Elem()
	}
	return strings.TrimPrefix(types.TypeString(t, nil), module+"/") + "." + field
}
