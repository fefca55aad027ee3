// SPDX-License-Identifier: Apache-2.0

//go:build lab

package kit

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ibnbd/ibnbd/vm"
	"github.com/ibnbd/ibnbd/vm/image"
)

// TestGuardsReadSanitizers loads modules with a seeded mistake each on the kernel "debug", which must have been built: make kernel.
func TestGuardsReadSanitizers(t *testing.T) {
	config := image.Config{Kernel: "debug", Sources: map[string]fs.FS{"seeded": os.DirFS("testdata/seeded")}}
	built, err := image.Build(t.Context(), config, func(step string) { t.Log(step) })
	var lacking *image.EnvironmentError
	if errors.As(err, &lacking) && strings.Contains(err.Error(), "not built yet") {
		t.Skip("no-debug-kernel: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	lab, err := vm.Start(t.Context(), vm.Config{Hosts: []string{"one"}, Image: built})
	if err != nil {
		t.Fatal(err)
	}
	defer lab.Close()
	host := lab.Hosts()[0]
	for _, c := range []struct{ module, says string }{
		// The first: lockdep turns itself off after a report, its own or KASAN's.
		{"seeded_locks", "possible circular locking dependency detected"},
		{"seeded_sleep", "sleeping function called from invalid context"},
		{"seeded_uaf", "KASAN: slab-use-after-free in seeded_init"},
		{"seeded_bounds", "KASAN: slab-out-of-bounds in seeded_init"},
	} {
		from, err := host.KernelLog().Mark(t.Context(), c.module)
		if err != nil {
			t.Fatal(err)
		}
		if err := host.Agent().LoadModule(t.Context(), c.module); err != nil {
			t.Fatal(err)
		}
		to, err := host.KernelLog().Mark(t.Context(), "end of "+c.module)
		if err != nil {
			t.Fatal(err)
		}
		records, err := host.KernelLog().Between(from, to)
		if err != nil {
			t.Fatal(err)
		}
		said := ""
		for _, r := range records {
			if alarming.MatchString(r.Text) {
				said += r.Text + "\n"
			}
		}
		if !strings.Contains(said, c.says) {
			t.Errorf("%s: guards see %q, want %q", c.module, said, c.says)
		}
	}
	if err := host.Agent().LoadModule(t.Context(), "seeded_leak"); err != nil {
		t.Fatal(err)
	}
	// kmemleak does not blame an object of less than five seconds.
	aged := time.NewTimer(6 * time.Second)
	defer aged.Stop()
	<-aged.C
	leaks, err := findLeaks(t.Context(), []*vm.Host{host})
	if err != nil || !strings.Contains(leaks["one"], "forget of seeded_leak") {
		t.Errorf("kmemleak finds %v (%v), want memory that forget of seeded_leak has lost", leaks, err)
	}
}
