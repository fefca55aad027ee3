// SPDX-License-Identifier: Apache-2.0

package image

import (
	"testing"
	"testing/fstest"
)

// TestOwnModuleSetFollowsItsFiles: what is built from them is built again when any of them changes, or is named otherwise.
func TestOwnModuleSetFollowsItsFiles(t *testing.T) {
	digest := func(files fstest.MapFS) string {
		t.Helper()
		set, err := ownModuleSet(files)
		if err != nil {
			t.Fatal(err)
		}
		return moduleTarget{tree: "/tree"}.key(set)
	}
	first := digest(fstest.MapFS{"Kbuild": {Data: []byte("obj-m := a.o")}, "a.c": {Data: []byte("int a;")}})
	for name, files := range map[string]fstest.MapFS{
		"a changed file": {"Kbuild": {Data: []byte("obj-m := a.o")}, "a.c": {Data: []byte("int b;")}},
		"a renamed file": {"Kbuild": {Data: []byte("obj-m := a.o")}, "b.c": {Data: []byte("int a;")}},
		"a file less":    {"Kbuild": {Data: []byte("obj-m := a.o")}},
	} {
		if digest(files) == first {
			t.Errorf("%s leaves the key as it is", name)
		}
	}
	made := digest(fstest.MapFS{
		"Kbuild": {Data: []byte("obj-m := a.o")}, "a.c": {Data: []byte("int a;")},
		"a.ko": {Data: []byte("old")}, ".a.o.cmd": {}, ".git/HEAD": {},
	})
	if made != first {
		t.Error("what kbuild and git leave beside the sources changes the key")
	}
	again := digest(fstest.MapFS{"a.c": {Data: []byte("int a;")}, "Kbuild": {Data: []byte("obj-m := a.o")}})
	if again != first {
		t.Error("the same files give another key")
	}
}
