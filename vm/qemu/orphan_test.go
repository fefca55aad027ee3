// SPDX-License-Identifier: Apache-2.0

package qemu_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ibnbd/ibnbd/vm/qemu"
)

// parentDir tells the test program to be a parent of a machine, in that directory, instead of running tests.
const parentDir = "QEMU_TEST_PARENT_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(parentDir); dir != "" {
		beParent(dir)
		return
	}
	os.Exit(m.Run())
}

// beParent starts a machine, lets many threads come and go, says the machine's process id and waits for its own end.
func beParent(dir string) {
	m, err := qemu.Start(context.Background(), qemu.Config{Name: "m", Dir: dir, Memory: 32})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(runtime.LockOSThread) // a goroutine that ends locked takes its thread with it
	}
	wg.Wait()
	runtime.GC()
	select {
	case <-m.Done():
		fmt.Println("the machine died with a thread that was not its parent:", m.Err())
		os.Exit(1)
	default:
	}
	fmt.Println(m.PID())
	select {}
}

// TestNoMachineOutlivesItsParent ends a parent by signals that it cannot or does not handle, and sees its QEMU go.
func TestNoMachineOutlivesItsParent(t *testing.T) {
	for _, signal := range []unix.Signal{unix.SIGKILL, unix.SIGINT, unix.SIGTERM, unix.SIGSEGV} {
		t.Run(signal.String(), func(t *testing.T) {
			parent := exec.Command(os.Args[0])
			parent.Env = append(os.Environ(), parentDir+"="+shortDir(t))
			out, err := parent.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := parent.Start(); err != nil {
				t.Fatal(err)
			}
			line, _ := bufio.NewReader(out).ReadString('\n')
			pid, err := strconv.Atoi(strings.TrimSpace(line))
			if err != nil {
				_ = parent.Process.Kill()
				t.Fatalf("the parent says %q", line)
			}
			child, err := unix.PidfdOpen(pid, 0)
			if err != nil {
				t.Fatalf("QEMU is not there before its parent's end: %v", err)
			}
			defer unix.Close(child)
			if err := parent.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			_ = parent.Wait()
			if !exits(child, 10*time.Second) {
				_ = unix.Kill(pid, unix.SIGKILL)
				t.Errorf("QEMU (process %d) outlived its parent", pid)
			}
		})
	}
}

// exits says whether the process behind a pidfd ends within a time.
func exits(pidfd int, within time.Duration) bool {
	deadline := time.Now().Add(within)
	for {
		fds := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, max(0, int(time.Until(deadline).Milliseconds())))
		if err != unix.EINTR {
			return n == 1
		}
	}
}

func itoa(n int) string { return strconv.Itoa(n) }
