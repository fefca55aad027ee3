// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/vm"
)

// kmemleak is where a kernel that looks for memory without an owner is told to, and tells what it found.
const kmemleak = "/sys/kernel/debug/kmemleak"

// scans is how often kmemleak looks: an object counts only if it has no owner, and the same content, in two scans.
const scans = 2

// findLeaks has the kernels of hosts look for memory that their modules have lost, and describes it, by the name of the host. Kernels
// without kmemleak find nothing. The modules must still be loaded: their names are gone with them.
func findLeaks(ctx context.Context, hosts []*vm.Host) (map[string]string, error) {
	found := make(map[string]string)
	for _, h := range hosts {
		there, err := h.Agent().Exists(ctx, kmemleak)
		if err != nil {
			return nil, fmt.Errorf("look for %s of %s: %w", kmemleak, h.Name(), err)
		}
		if !there {
			continue
		}
		for range scans {
			if err := h.Agent().WriteFile(ctx, kmemleak, []byte("scan")); err != nil {
				return nil, fmt.Errorf("look for leaks of %s: %w", h.Name(), err)
			}
		}
		report, err := h.Agent().ReadFile(ctx, kmemleak)
		if err != nil {
			return nil, fmt.Errorf("read the leaks of %s: %w", h.Name(), err)
		}
		if leaks := leaksOf(string(report)); leaks != "" {
			found[h.Name()] = leaks
		}
	}
	return found, nil
}

// inModule finds the first module in the backtrace of an object, as in "[<0>] make_it+0x12/0x34 [rtrs_client]".
var inModule = regexp.MustCompile(`\s(\S+)\+0x[0-9a-f]+/0x[0-9a-f]+ \[(\w+)\]`)

// leaksOf counts the objects of a report of kmemleak by who has allocated them: the innermost function of a module. What no module
// has to do with is the kernel's.
func leaksOf(report string) string {
	counts := make(map[string]int)
	for _, object := range strings.Split(report, "unreferenced object ")[1:] {
		if who := inModule.FindStringSubmatch(object); who != nil {
			counts[who[1]+" of "+who[2]]++
		}
	}
	var words []string
	for _, who := range slices.Sorted(maps.Keys(counts)) {
		words = append(words, fmt.Sprintf("%d by %s", counts[who], who))
	}
	return strings.Join(words, ", ")
}

// blameLeaks makes leaks failures of the results of unloading: those of the host of a role belong to its subject.
func blameLeaks(results []verdict.Result, leaks map[string]string) []verdict.Result {
	hosts := env.testbed.hosts()
	of := map[clauses.Role]string{clauses.Target: leaks[hosts[0].Name()], clauses.Initiator: leaks[hosts[1].Name()]}
	for i, r := range results {
		if lost := of[r.Role]; lost != "" {
			results[i].Verdict, results[i].Reason = verdict.Fail, verdict.LeftBehind
			results[i].Message = strings.TrimPrefix(r.Message+"; kmemleak: memory without an owner, allocated: "+lost, "; ")
		}
	}
	return results
}
