// SPDX-License-Identifier: Apache-2.0

package soft

import (
	"bytes"
	"errors"
	"net/netip"
	"sync"
	"testing"

	"github.com/ibnbd/ibnbd/reference/rdma"
)

// aloneQPN is a queue pair that does not exist; the memory table only compares it.
const aloneQPN = 17

// alone is a memory table with a region of one page and a window.
type alone struct {
	t      testing.TB
	mem    *memory
	region *region
	window *window
}

func newAlone(t testing.TB) *alone {
	t.Helper()
	link, err := NewHub().Attach(netip.MustParseAddr("10.0.0.1"), 0)
	if err != nil {
		t.Fatal(err)
	}
	d, err := Open(link, Config{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := d.Register(4096, rdma.LocalWrite|rdma.RemoteWrite|rdma.RemoteRead|rdma.WindowBind)
	if err != nil {
		t.Fatal(err)
	}
	w, err := d.NewWindow()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(w.Close(), r.Close(), d.Close()); err != nil {
			t.Error(err)
		}
	})
	return &alone{t, &d.mem, r.(*region), w.(*window)}
}

// bind opens a part of the region and gives the key.
func (a *alone) bind(offset, length int) uint32 {
	key := a.window.advance()
	err := a.mem.bind(a.window, key, aloneQPN, a.region, &rdma.Bind{Offset: offset, Length: length, Access: rdma.RemoteWrite})
	if err != nil {
		a.t.Fatal(err)
	}
	return key
}

func (a *alone) invalidate() {
	if err := a.mem.invalidate(a.window, aloneQPN); err != nil {
		a.t.Fatal(err)
	}
}

// TestAGrantDoesNotOutliveItsKey holds what a key opened while the window is bound again so often that the same key comes
// again, for another part of the region.
func TestAGrantDoesNotOutliveItsKey(t *testing.T) {
	a := newAlone(t)
	key := a.bind(0, 64)
	old := a.mem.find(key)
	if err := old.write(a.region.addr, []byte("right")); err != nil {
		t.Fatal(err)
	}
	const keys = 256 // of a window, before the first one comes again
	for range keys {
		a.invalidate()
		a.bind(1024, 64)
	}
	if again := a.mem.find(key); !again.holds() || again.addr == old.addr {
		t.Fatalf("key %#x does not come again: %+v", key, again)
	}
	if err := old.check(aloneQPN, a.region.addr, 5, rdma.RemoteWrite, &Rules{}); !errors.Is(err, errAccess) {
		t.Errorf("check of what the key opened before: %v", err)
	}
	if err := old.write(a.region.addr, []byte("wrong")); !errors.Is(err, errAccess) {
		t.Errorf("writing to what the key opened before: %v", err)
	}
	if err := old.read(a.region.addr, make([]byte, 5)); !errors.Is(err, errAccess) {
		t.Errorf("reading what the key opened before: %v", err)
	}
	if _, err := old.atomic(a.region.addr, func(uint64) uint64 { return 0 }); !errors.Is(err, errAccess) {
		t.Errorf("an atomic on what the key opened before: %v", err)
	}
	if got := string(a.region.Bytes()[:5]); got != "right" {
		t.Errorf("the memory holds %q", got)
	}
}

// TestNothingLandsAfterAKeyIsTakenBack writes by every key that it finds, all over what the key opens, while the owner
// takes the key back and looks whether the memory is at rest.
func TestNothingLandsAfterAKeyIsTakenBack(t *testing.T) {
	a := newAlone(t)
	var writer sync.WaitGroup
	keys := make(chan uint32)
	writer.Go(func() {
		data := make([]byte, 4096)
		for key := range keys {
			g := a.mem.find(key)
			for i := byte(1); ; i++ {
				for k := range data {
					data[k] = i
				}
				if g.write(a.region.addr, data) != nil {
					break
				}
			}
		}
	})
	before, after := make([]byte, 4096), make([]byte, 4096)
	for range 2000 {
		keys <- a.bind(0, 4096)
		for a.region.load(0, before) == nil && before[0] == 0 {
			// nothing has come yet
		}
		a.invalidate()
		must(t, a.region.load(0, before))
		must(t, a.region.load(0, after))
		if before[0] != before[4095] || !bytes.Equal(before, after) {
			t.Fatalf("the memory changes after the key was taken back: %d...%d, then %d...%d", before[0], before[4095], after[0], after[4095])
		}
		must(t, a.region.store(0, make([]byte, 4096)))
	}
	close(keys)
	writer.Wait()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestBindingAWindowDoesNotAllocate binds a window and takes its key back, as a storage protocol does for every request.
func TestBindingAWindowDoesNotAllocate(t *testing.T) {
	a := newAlone(t)
	n := testing.AllocsPerRun(1000, func() {
		a.bind(0, 4096)
		a.invalidate()
	})
	if n != 0 {
		t.Errorf("a bind allocates %v times", n)
	}
}
