// SPDX-License-Identifier: Apache-2.0

//go:build lab

package subject

import (
	"context"
	"path"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ibnbd/ibnbd/conformance/kit/machine"
	"github.com/ibnbd/ibnbd/vm/fabric"
)

// healGoal is the reconnect delay of 1 s, the connect timeout of 2 s, and 1 s: what it may take once both sides know of the loss.
const healGoal = 4 * time.Second

// TestHealWithTheModulesTimers loses a path of the kernel's pair for several attempts in silence, with the timers that the modules have
// by themselves, and holds the time from heal to connected against what the client promises and the goal.
func TestHealWithTheModulesTimers(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	must := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	lab, _ := newKernelLab(ctx, t)
	server, client := lab.Hosts()[0], lab.Hosts()[1]
	target, initiator := newKModTarget(Environment{Host: server}), newKMod(Environment{Host: client})
	target.transport.parameters = nil
	for i := range initiator.modules {
		initiator.modules[i].parameters = nil
	}
	must("start the target", target.Start(ctx, TargetOptions{Keys: KeysRefreshed}))
	export, err := target.Provide(ctx, ExportSpec{Name: "one", SizeMiB: 1})
	must("provide", err)
	must("start the initiator", initiator.Start(ctx))
	var paths []PathAddr
	for rail := range 2 {
		paths = append(paths, PathAddr{client.NIC(rail).IPv4.Addr(), server.NIC(rail).IPv4.Addr()})
	}
	_, err = initiator.Map(ctx, MapRequest{Session: "gold", Paths: paths, Device: export.Path})
	must("map", err)
	promises, err := initiator.Promises(ctx, "gold")
	must("promises", err)
	dir := IBNBD.ClientPath("gold", paths[0])
	failed := func() int {
		text, err := machine.ReadWord(ctx, client, path.Join(dir, "stats/reconnects"))
		must("reconnects", err)
		n, err := strconv.Atoi(strings.Fields(text)[1])
		must("reconnects", err)
		return n
	}
	await := func(what string, so func() bool) {
		for !so() {
			if ctx.Err() != nil {
				t.Fatalf("%s: %v", what, ctx.Err())
			}
		}
	}
	for round := range 6 {
		before := failed()
		loss, err := lab.Rails()[0].Inject(fabric.Fault{Action: fabric.Drop{}})
		must("lose", err)
		await("attempts in vain", func() bool { return failed() >= before+2 })
		// Heal at another place in an attempt and the pause behind it each time.
		await("a moment", wait(ctx, time.Duration(round)*300*time.Millisecond))
		must("heal", loss.Remove())
		healed := time.Now()
		await("connected", func() bool {
			state, err := machine.ReadWord(ctx, client, path.Join(dir, "state"))
			must("state", err)
			return state == "connected"
		})
		took := time.Since(healed)
		t.Logf("connected %v after heal; %v is promised", took, promises.Reconnect)
		if limit := min(promises.Reconnect, healGoal); took > limit {
			t.Errorf("connected %v after heal, later than %v", took, limit)
		}
	}
	must("stop the initiator", initiator.Stop(ctx))
	must("stop the target", target.Stop(ctx))
}

// wait is a condition that holds when so much time has passed.
func wait(ctx context.Context, d time.Duration) func() bool {
	return func() bool {
		select {
		case <-time.After(d):
		case <-ctx.Done():
			return false
		}
		return true
	}
}
