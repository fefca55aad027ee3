// SPDX-License-Identifier: Apache-2.0

package agent_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ibnbd/ibnbd/vm/agent"
)

func shell(script string) agent.Command {
	return agent.Command{Path: "sh", Args: []string{"-c", script}}
}

// awaitDeath waits until a process that is no child of ours is gone, or a zombie that nobody has reaped yet.
func awaitDeath(t *testing.T, pid int) {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(patience.Milliseconds()))
	if n != 1 {
		t.Fatalf("process %d still runs (%v)", pid, err)
	}
}

func TestRunTellsHowAProgramEnded(t *testing.T) {
	client := newClient(t)
	type ending struct {
		Code           int
		Signal         syscall.Signal
		Stdout, Stderr string
		Err            string
	}
	for name, test := range map[string]struct {
		command agent.Command
		want    ending
	}{
		"well":       {shell("echo out; echo err >&2"), ending{Stdout: "out\n", Stderr: "err\n"}},
		"badly":      {shell("echo why >&2; exit 7"), ending{Code: 7, Stderr: "why\n", Err: "exit status 7: why"}},
		"by signal":  {shell("kill -TERM $$"), ending{Code: -1, Signal: syscall.SIGTERM, Err: "ended by signal terminated"}},
		"env":        {agent.Command{Path: "sh", Args: []string{"-c", "echo $A"}, Env: []string{"A=b c"}}, ending{Stdout: "b c\n"}},
		"dir":        {agent.Command{Path: "pwd", Dir: "/usr"}, ending{Stdout: "/usr\n"}},
		"no stdin":   {agent.Command{Path: "cat"}, ending{}},
		"with stdin": {agent.Command{Path: "cat", Stdin: strings.NewReader("input")}, ending{Stdout: "input"}},
	} {
		t.Run(name, func(t *testing.T) {
			result, err := client.Run(testContext(t), test.command)
			if err != nil {
				t.Fatal(err)
			}
			got := ending{Code: result.ExitCode, Signal: result.Signal, Stdout: string(result.Stdout), Stderr: string(result.Stderr)}
			if err := result.Err(); err != nil {
				got.Err = err.Error()
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestRunWhatIsNotThere(t *testing.T) {
	client := newClient(t)
	if _, err := client.Run(testContext(t), agent.Command{Path: "/no/such/program"}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("by path: %v, want ENOENT", err)
	}
	if _, err := client.Run(testContext(t), agent.Command{Path: "no-such-program"}); err == nil ||
		!strings.Contains(err.Error(), "no-such-program") {
		t.Errorf("by name: %v, want an error that names it", err)
	}
	if _, err := client.Run(testContext(t), agent.Command{Path: os.DevNull}); !errors.Is(err, syscall.EACCES) {
		t.Errorf("not a program: %v, want EACCES", err)
	}
}

func TestOutputFailsWithTheProgram(t *testing.T) {
	client := newClient(t)
	out, err := client.Output(testContext(t), "echo", "hello")
	if err != nil || out != "hello\n" {
		t.Errorf("got %q, %v", out, err)
	}
	if _, err := client.Output(testContext(t), "sh", "-c", "echo broken >&2; exit 3"); err == nil ||
		!strings.Contains(err.Error(), "exit status 3: broken") {
		t.Errorf("error %v does not say how and why", err)
	}
}

// startGroup starts a program with a child of its own and returns the child's id.
func startGroup(ctx context.Context, t *testing.T, client *agent.Client, timeout time.Duration) (*agent.Process, int) {
	t.Helper()
	r, w := io.Pipe()
	command := shell("sleep 1000 & echo $!; wait")
	command.Stdout, command.Timeout = w, timeout
	process, err := client.Start(ctx, command)
	if err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	child, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	return process, child
}

func TestTimeoutKillsTheGroup(t *testing.T) {
	process, child := startGroup(testContext(t), t, newClient(t), 200*time.Millisecond)
	result, err := process.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if !result.TimedOut || result.Signal != syscall.SIGKILL {
		t.Errorf("got %+v, want killed by its timeout", result)
	}
	awaitDeath(t, child)
}

func TestKillKillsTheGroup(t *testing.T) {
	process, child := startGroup(testContext(t), t, newClient(t), 0)
	if err := process.Kill(); err != nil {
		t.Fatal(err)
	}
	result, err := process.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if result.Signal != syscall.SIGKILL || result.TimedOut {
		t.Errorf("got %+v, want killed", result)
	}
	awaitDeath(t, child)
	if err := process.Kill(); err != nil {
		t.Errorf("killing the dead: %v", err)
	}
}

func TestCancelKillsTheGroup(t *testing.T) {
	why := errors.New("had enough")
	ctx, cancel := context.WithCancelCause(testContext(t))
	process, child := startGroup(ctx, t, newClient(t), 0)
	cancel(why)
	if _, err := process.Wait(); !errors.Is(err, why) {
		t.Errorf("error %v, want %v", err, why)
	}
	awaitDeath(t, process.PID)
	awaitDeath(t, child)
}

func TestCloseKillsWhatRuns(t *testing.T) {
	client := newClient(t)
	process, child := startGroup(testContext(t), t, client, 0)
	client.Close()
	if _, err := process.Wait(); !errors.Is(err, agent.ErrLost) {
		t.Errorf("error %v, want %v", err, agent.ErrLost)
	}
	awaitDeath(t, child)
}

func TestSignalReachesTheProgram(t *testing.T) {
	client := newClient(t)
	r, w := io.Pipe()
	command := shell("trap 'echo caught; exit 5' USR1; echo ready; while :; do sleep 0.01; done")
	command.Stdout = w
	process, err := client.Start(testContext(t), command)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(r)
	lines.Scan()
	if err := process.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	lines.Scan()
	if got := lines.Text(); got != "caught" {
		t.Errorf("the program said %q", got)
	}
	if result, err := process.Wait(); err != nil || result.ExitCode != 5 {
		t.Errorf("ended with %+v, %v", result, err)
	}
}

func TestOrphansDoNotHoldUpTheEnd(t *testing.T) {
	client := newClient(t)
	result, err := client.Run(testContext(t), shell("sleep 1000 & echo $!"))
	if err != nil {
		t.Fatal(err)
	}
	if result.Duration > patience/2 {
		t.Errorf("it took %v to notice the end of a program whose child lives on", result.Duration)
	}
	child, err := strconv.Atoi(strings.TrimSpace(string(result.Stdout)))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(child, syscall.SIGKILL); err != nil {
		t.Errorf("the child that was left behind on purpose: %v", err)
	}
}

func TestOutputOfAnyLengthArrivesWhole(t *testing.T) {
	client := newClient(t)
	const size = 32 << 20
	sum := sha256.New()
	result, err := client.Run(testContext(t), agent.Command{Path: "head", Args: []string{"-c", fmt.Sprint(size), "/dev/zero"}, Stdout: sum})
	if err != nil || result.Err() != nil {
		t.Fatal(err, result)
	}
	want := sha256.Sum256(make([]byte, size))
	if !bytes.Equal(sum.Sum(nil), want[:]) {
		t.Error("the output is not what was printed")
	}
}

func TestManyStreamsAtOnce(t *testing.T) {
	client := newClient(t)
	ctx := testContext(t)
	hang, err := client.Start(ctx, agent.Command{Path: "sleep", Args: []string{"1000"}})
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := range 64 {
		all.Go(func() {
			input := strings.Repeat(fmt.Sprintln("stream", i), 5000)
			result, err := client.Run(ctx, agent.Command{Path: "cat", Stdin: strings.NewReader(input)})
			if err != nil {
				t.Error(err)
				return
			}
			if string(result.Stdout) != input {
				t.Errorf("stream %d: %d bytes came back of %d", i, len(result.Stdout), len(input))
			}
		})
	}
	all.Wait()
	select {
	case <-hang.Done():
		t.Error("a program ended that should still run")
	default:
	}
}
