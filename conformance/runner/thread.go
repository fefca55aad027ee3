// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"os/exec"
	"runtime"
	"sync"
	"syscall"
)

// thread runs jobs on one thread of the operating system that never ends.
type thread struct{ jobs chan func() }

// forkThread is the thread from which all workers are started.
var forkThread = sync.OnceValue(func() thread {
	t := thread{jobs: make(chan func())}
	go t.serve()
	return t
})

func (t thread) serve() {
	runtime.LockOSThread()
	for job := range t.jobs {
		job()
	}
}

// startBound starts a command that the kernel kills when this process dies, however it dies. The kernel watches the thread
// that forked, not the process, so the fork happens on a thread that lives as long.
func startBound(cmd *exec.Cmd) error {
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	result := make(chan error)
	forkThread().jobs <- func() { result <- cmd.Start() }
	return <-result
}
