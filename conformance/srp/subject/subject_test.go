// SPDX-License-Identifier: Apache-2.0

package subject

import (
	"net/netip"
	"testing"
	"time"
)

func TestLoginLine(t *testing.T) {
	l := Login{Dest: netip.MustParseAddrPort("10.0.0.1:5555"), Port: TargetPort}
	const plain = "id_ext=3132333435363738,ioc_guid=3132333435363738,dest=10.0.0.1:5555"
	if got := l.Line(); got != plain {
		t.Errorf("Line() = %q, want %q", got, plain)
	}
	l.Options = "tl_retry_count=2"
	if got, want := l.Line(), plain+",tl_retry_count=2"; got != want {
		t.Errorf("Line() = %q, want %q", got, want)
	}
	l.Dest = netip.MustParseAddrPort("[fd00::1]:5555")
	if got, want := l.Line(), "id_ext=3132333435363738,ioc_guid=3132333435363738,dest=[fd00::1]:5555,tl_retry_count=2"; got != want {
		t.Errorf("Line() = %q, want %q", got, want)
	}
}

func TestSeconds(t *testing.T) {
	for d, want := range map[time.Duration]string{Off: "off", 0: "0", 15 * time.Second: "15"} {
		if got := Seconds(d); got != want {
			t.Errorf("Seconds(%d) = %q, want %q", d, got, want)
		}
	}
}

func TestLookAll(t *testing.T) {
	l := Look{Port: Running, Disks: map[string]string{"sda": Running, "sdb": Blocked}}
	if l.All(2, Running) || l.All(1, Running) {
		t.Error("one of two disks is blocked, and all are said to run")
	}
	if l.Disks["sdb"] = Running; !l.All(2, Running) || l.All(3, Running) {
		t.Error("two disks run, and that is not said")
	}
}

// TestImplementations: the names of all are different, and each has a role.
func TestImplementations(t *testing.T) {
	seen := make(map[string]bool)
	for _, known := range Implementations {
		if seen[known.Name] || known.NewTarget == nil && known.NewInitiator == nil {
			t.Errorf("implementation %q stands there twice, or has no role", known.Name)
		}
		seen[known.Name] = true
	}
}
