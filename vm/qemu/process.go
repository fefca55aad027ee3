// SPDX-License-Identifier: Apache-2.0

package qemu

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// process is a child that cannot outlive this process.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when the child is gone and reaped
	err  error         // what Wait said; valid once done is closed
}

// spawn starts cmd as the child of a thread that lives exactly as long as the child.
//
// PR_SET_PDEATHSIG fires when the thread that forked dies, not the process, and Go ends threads as it likes. So one goroutine
// locks itself to a thread, forks there, and stays until the child is reaped. When the process dies, by whatever signal, all
// its threads die, and the kernel kills the child. The child gets a process group of its own, so that Ctrl-C reaches only
// the parent, which may then collect evidence and stop its machines in order.
func spawn(cmd *exec.Cmd) (*process, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	p := &process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// kill ends the child at once and waits until it is gone.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // an error means that it is gone already
	<-p.done
}

// describeExit says how the child ended.
func (p *process) describeExit() string {
	var exit *exec.ExitError
	switch {
	case p.err == nil:
		return "exit status 0"
	case errors.As(p.err, &exit):
		return exit.String()
	}
	return p.err.Error()
}

// socketPair returns two ends of a connection: one for this process, one to pass to the child.
func socketPair() (ours, theirs *os.File, err error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make a socket pair: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), "monitor"), os.NewFile(uintptr(fds[1]), "monitor-qemu"), nil
}
