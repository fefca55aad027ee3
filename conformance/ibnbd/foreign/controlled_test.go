// SPDX-License-Identifier: Apache-2.0

package foreign

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ibnbd/ibnbd/conformance/foreign"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/provocations"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// control gives a disk whose hook is a script. The script sees the action in $1, and its arguments behind that.
func control(t *testing.T, script string) (*controlledDisk, *error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "hook")
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	lacking := new(error)
	i := &ControlledInitiator{hook: foreign.Hook{file}, giveUp: func(err error) { *lacking = err }}
	return i.disk("nbd0"), lacking
}

func TestControlledDisk(t *testing.T) {
	d, _ := control(t, `echo "$*" >>"$0.log"
case $1 in
read) printf 12345678;;
write) cat >>"$0.log"; tail -n 1 "$0.log" >&2; exit 1;;
size) echo 4096;;
state) [ "$(grep -c state "$0.log")" -lt 3 ] && echo closed || echo open;;
map) echo "node of $2";;
esac`)
	ctx := t.Context()
	if b, err := d.Read(ctx, 512, 8); err != nil || string(b) != "12345678" {
		t.Errorf("read: %q, %v", b, err)
	}
	if b, err := d.Read(ctx, 512, 9); err == nil {
		t.Errorf("a read that is too short: %q", b)
	}
	if err := d.Write(ctx, 512, []byte("ENOSPC\n")); ibtrs.ErrnoOf(err) != ibtrs.ENOSPC || errors.Is(err, provocations.ErrNoNumber) {
		t.Errorf("a write that fails with what it was given: %v", err)
	}
	if err := d.Write(ctx, 512, []byte("no idea\n")); !errors.Is(err, provocations.ErrNoNumber) {
		t.Errorf("a write that fails without a number: %v", err)
	}
	if size, err := d.Size(ctx); err != nil || size != 4096 {
		t.Errorf("size: %d, %v", size, err)
	}
	if err := d.AwaitState(ctx, "open"); err != nil {
		t.Errorf("state: %v", err)
	}
	if _, err := d.initiator.Map(ctx, netip.MustParseAddr("10.0.0.1")); err == nil || !strings.Contains(err.Error(), "must say one word") {
		t.Errorf("a node of several words: %v", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	if err := d.AwaitState(ctx, "closed"); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "it is open") {
		t.Errorf("a state that does not come: %v", err)
	}
}

func TestHookThatLacksAnAction(t *testing.T) {
	d, lacking := control(t, "[ $1 = unmap ] || exit 127")
	if err := d.Reconnect(t.Context()); !errors.Is(err, foreign.ErrNotSupported) || *lacking == nil {
		t.Errorf("%v, and the spec is given up by %v", err, *lacking)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.Unmap(over); err != nil {
		t.Errorf("a disk stays mapped when its spec is given up: %v", err)
	}
}
