// SPDX-License-Identifier: Apache-2.0

package conformance_test

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/ibnbd/ibnbd/conformance/foreign"
)

// TestVendorModule has a module that is not this one judge its own target, as testdata/vendor says, and looks at what 'go test'
// then tells its owner.
func TestVendorModule(t *testing.T) {
	dir := vendorModule(t)
	cmd := exec.Command("go", "test", "-mod=mod", "-json", "./...")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOFLAGS=", "GOWORK=off", "GOPROXY=off")
	cmd.Stderr = t.Output()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := endsOf(t, stdout)
	if err := cmd.Wait(); err != nil {
		t.Errorf("go test: %v", err)
	}
	for test, want := range map[string]string{
		"TestTarget":                             "pass",
		"TestReadBeyondTheEnd":                   "pass", // with package tester
		"TestTarget/IBTRS-CONN/IBTRS-CONN-021":   "pass", // an attack has decided it
		"TestTarget/IBNBD-OPEN/IBNBD-OPEN-013":   "pass", // one that writes
		"TestTarget/IBTRS-CONN/IBTRS-CONN-004":   "skip", // of the initiator
		"TestTarget/IBNBD-SYSFS/IBNBD-SYSFS-001": "skip",
	} {
		if ended[test] != want {
			t.Errorf("%s: %q, want %q", test, ended[test], want)
		}
	}
}

// vendorModule makes a module outside of this one that requires it.
func vendorModule(t *testing.T) (dir string) {
	t.Helper()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	copyFile := func(from, to string, change func(string) string) {
		data, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, to), []byte(change(string(data))), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	asIs := func(s string) string { return s }
	for _, name := range []string{"acme_test.go", "target_test.go", "attack_test.go"} {
		copyFile("testdata/vendor/"+name, name, asIs)
	}
	copyFile("../go.sum", "go.sum", asIs)
	const module = "github.com/ibnbd/ibnbd"
	copyFile("../go.mod", "go.mod", func(s string) string {
		s = regexp.MustCompile(`(?m)^tool .*$|(?ms)^tool \(.*?^\)$`).ReplaceAllString(s, "")
		s = strings.Replace(s, "module "+module, "module example.com/acme", 1)
		return fmt.Sprintf("%s\nrequire %s v0.0.0\nreplace %s => %s\n", s, module, module, root)
	})
	return dir
}

// endsOf reads how each test has ended: "pass", "fail" or "skip".
func endsOf(t *testing.T, r io.Reader) map[string]string {
	t.Helper()
	ended := make(map[string]string)
	for dec := json.NewDecoder(r); ; {
		var event struct{ Action, Test, Output string }
		err := dec.Decode(&event)
		switch {
		case err == io.EOF:
			return ended
		case err != nil:
			t.Fatal(err)
		}
		switch event.Action {
		case "pass", "fail", "skip":
			ended[event.Test] = event.Action
		case "output", "build-output":
			t.Output().Write([]byte(event.Output))
		}
	}
}

// TestVendorsPage: the page for vendors has every field by which a program says what it may do and from where, and shows the attack of
// the vendor's module as it is.
func TestVendorsPage(t *testing.T) {
	page := read(t, "../docs/vendors.md")
	for _, described := range []any{foreign.Config{}, foreign.InitiatorConfig{}, foreign.Place{}, foreign.Consent{}} {
		for field := range reflect.TypeOf(described).Fields() {
			if !strings.Contains(page, "`"+field.Name+"`") {
				t.Errorf("docs/vendors.md does not say what %T.%s is", described, field.Name)
			}
		}
	}
	_, attack, found := strings.Cut(read(t, "testdata/vendor/attack_test.go"), "// TestReadBeyondTheEnd")
	if !found || !strings.Contains(page, "// TestReadBeyondTheEnd"+strings.TrimRight(attack, "\n")) {
		t.Error("docs/vendors.md does not show testdata/vendor/attack_test.go as it is")
	}
	for _, action := range []foreign.Action{foreign.Status, foreign.Restart, foreign.Crash, foreign.Configure} {
		if !strings.Contains(page, "| `"+string(action)) {
			t.Errorf("docs/vendors.md does not say what the action %s has to do", action)
		}
	}
}
