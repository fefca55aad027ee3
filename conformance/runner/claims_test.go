// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/onsi/ginkgo/v2"
)

// TestClaims: of workers that all come to all specs, one gets each.
func TestClaims(t *testing.T) {
	const specs = 200
	var taken [specs]atomic.Int32
	dir := t.TempDir()
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			for i := range specs {
				mine, err := claims(dir).take(fmt.Sprintf("a spec %d with a long name%s", i, strings.Repeat(" and more", 100)))
				if err != nil {
					t.Error(err)
				}
				if mine {
					taken[i].Add(1)
				}
			}
		})
	}
	workers.Wait()
	for i := range taken {
		if got := taken[i].Load(); got != 1 {
			t.Errorf("spec %d was taken %d times", i, got)
		}
	}
}

func TestClaimsOfOneWorkerAlone(t *testing.T) {
	for range 2 {
		if mine, err := claims("").take("a spec"); !mine || err != nil {
			t.Errorf("%v, %v", mine, err)
		}
	}
}

func TestClaimsThatCannotBeMade(t *testing.T) {
	if mine, err := claims(filepath.Join(t.TempDir(), "none")).take("a spec"); mine || err == nil {
		t.Errorf("%v, %v; want an error", mine, err)
	}
}

// TestIdentity: specs of one name that decide different clauses are two.
func TestIdentity(t *testing.T) {
	of := func(clause string) string {
		return identity(ginkgo.SpecReport{LeafNodeText: "a spec", LeafNodeLabels: []string{"clause:" + clause}})
	}
	if a, b := of("IBTRS-CONN-021"), of("IBTRS-CONN-022"); a == b || a != of("IBTRS-CONN-021") {
		t.Errorf("%q and %q", a, b)
	}
}
