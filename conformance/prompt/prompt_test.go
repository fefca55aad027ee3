// SPDX-License-Identifier: Apache-2.0

package prompt

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ibnbd/ibnbd/vm/fabric"
)

// desk is a host that is this machine, and remembers what was done to it.
type desk struct {
	name string
	done *[]string
}

func (d desk) Name() string  { return d.name }
func (d desk) About() string { return "is here" }

func (d desk) Shell(ctx context.Context, command string, stdin io.Reader, stdout io.Writer) error {
	cmd := exec.CommandContext(ctx, "sh")
	if command != "" {
		cmd = exec.CommandContext(ctx, "sh", "-c", command)
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, stdout
	cmd.Env = append(cmd.Environ(), "DESK="+d.name)
	return cmd.Run()
}

func (d desk) Load(_ context.Context, module string, params ...string) error {
	*d.done = append(*d.done, strings.Join(append([]string{d.name, "load", module}, params...), " "))
	return nil
}

func (d desk) KernelLog(_ context.Context, n int) ([]string, error) {
	return slices.Repeat([]string{"a line"}, n), nil
}

func (d desk) Do(_ context.Context, action string) error {
	*d.done = append(*d.done, d.name+" "+action)
	return nil
}

// recording is one of a single rail.
type recording struct{ *fabric.Recording }

func (r recording) Paths() []string { return []string{r.Path()} }

// newBench makes a bench of two desks and a wire with one rail, on which a station of each name sits.
func newBench(t *testing.T) (b *Console, out *bytes.Buffer, done *[]string, stations map[string]*fabric.Station) {
	t.Helper()
	wire, err := fabric.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { wire.Close() })
	rail, err := wire.AddRail("rail0")
	if err != nil {
		t.Fatal(err)
	}
	stations = make(map[string]*fabric.Station)
	for _, name := range []string{"server", "client"} {
		if stations[name], err = rail.Attach(name, fabric.DefaultQueue); err != nil {
			t.Fatal(err)
		}
	}
	out, done = &bytes.Buffer{}, &[]string{}
	return &Console{
		Hosts: []Host{desk{"server", done}, desk{"client", done}}, Fabric: wire, Out: out,
		Record: func(dir, note string) (Recording, error) {
			r, err := rail.Record(filepath.Join(dir, "rail0.pcapng"), note)
			return recording{r}, err
		},
		Reset: func(context.Context) error { *done = append(*done, "reset"); return wire.Reset() },
	}, out, done, stations
}

func TestLines(t *testing.T) {
	b, out, done, _ := newBench(t)
	dir := filepath.Join(t.TempDir(), "packets")
	script := `# hosts and what runs on them
hosts
on server echo "I am $DESK"

shell client
x=from
echo "$x a shell on $DESK"
exit
load server rnbd-server a=1
log client 2
capture start ` + dir + `
wait 1ms
capture stop
hang client
resume client
reset
quit
no line behind quit is read
`
	if err := b.Run(t.Context(), strings.NewReader(script)); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want := "server: is here\nclient: is here\nI am server\nfrom a shell on client\na line\na line\nrecorded: " + filepath.Join(dir, "rail0.pcapng") + "\n"
	if out.String() != want {
		t.Errorf("output:\n%s\nwant:\n%s", out, want)
	}
	if !slices.Equal(*done, []string{"server load rnbd-server a=1", "client hang", "client resume", "reset"}) {
		t.Errorf("done: %q", *done)
	}
}

// frame is an Ethernet frame to everybody.
func frame() []byte { return append(bytes.Repeat([]byte{0xFF}, 6), make([]byte, 54)...) }

// arrives says whether a frame that the server sends comes to the client, and not only the one behind it from another.
func arrives(t *testing.T, stations map[string]*fabric.Station) bool {
	t.Helper()
	if err := stations["server"].Send(frame()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := stations["client"].Receive(ctx, make([]byte, fabric.MaxFrame))
	return err == nil
}

func TestFaultsByHand(t *testing.T) {
	b, out, _, stations := newBench(t)
	do := func(line string) {
		t.Helper()
		if err := b.line(t.Context(), line); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
	}
	if !arrives(t, stations) {
		t.Fatal("nothing arrives on a whole wire")
	}
	do("fault add rail0 drop from server")
	if arrives(t, stations) {
		t.Error("what is dropped arrives")
	}
	do("fault list")
	do("fault remove 1")
	if !arrives(t, stations) {
		t.Error("after the fault was removed, nothing arrives")
	}
	do("fault add all drop to client not-roce")
	do("fault clear")
	if !arrives(t, stations) {
		t.Error("after all faults were removed, nothing arrives")
	}
	do("events 2")
	do("fault help")
	for _, want := range []string{"fault 1: ", "matched 1, applied 1", "ended", "such as: fault add rail0 drop"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in:\n%s", want, out)
		}
	}
}

func TestParseFault(t *testing.T) {
	for words, want := range map[string]string{
		"drop": "drop",
		"drop from server to client roce every 3 after 1s for 10s": "drop (from server and to client and roce), every 3, after 1s, for 10s",
		"delay 50ms arp":            "delay 50ms in order (arp or nd)",
		"duplicate 2 nth 1,3":       "duplicate x2, nth 1,3",
		"reorder 4 qp 0x11":         "reorder behind 4 (to qp 0x11)",
		"corrupt 12 chance 0.5":     "corrupt transport byte 12 bit 0, chance 0.5 seed 1",
		"carrier at server for 30s": "carrier loss at server, for 30s",
		"drop first 5 not-roce":     "drop (not roce), first 5",
	} {
		if f, err := ParseFault(strings.Fields(words)); err != nil || f.String() != want {
			t.Errorf("%q is %q, %v; want %q", words, f, err, want)
		}
	}
	for words, want := range map[string]string{
		"":                     "a fault begins with drop, delay",
		"lose":                 `"lose" is none of drop, delay`,
		"drop drop":            `"drop" is none of from, to`,
		"delay":                "delay needs TIME",
		"delay soon":           `"soon" is no time`,
		"delay -1s":            `"-1s" is no time`,
		"drop from":            "from needs HOST",
		"drop nth 1,x":         `"x" is no number`,
		"drop chance 2":        `"2" is no probability`,
		"drop at server":       "'at' belongs to carrier",
		"duplicate 9999999999": `"9999999999" is no number`,
	} {
		if _, err := ParseFault(strings.Fields(words)); err == nil || !strings.Contains(err.Error(), want) || !Usage(err) {
			t.Errorf("%q gives %v, want %q", words, err, want)
		}
	}
}

func TestWrongLines(t *testing.T) {
	b, _, _, _ := newBench(t)
	for line, want := range map[string]string{
		"dance":                `"dance" is no command`,
		"on server":            "on takes a host and a command",
		"on nobody true":       `there is no host "nobody"; hosts are server, client`,
		"shell":                "shell takes a host",
		"load server":          "load takes a host and a module",
		"log":                  "log takes a host",
		"log server many":      `"many" is no number of lines`,
		"capture":              "capture takes start DIRECTORY, or stop",
		"capture stop":         "there is no recording",
		"wait":                 "wait takes a duration",
		"wait long":            `"long" is no duration`,
		"reboot":               "reboot takes a host",
		"kill nobody":          `there is no host "nobody"`,
		"fault add":            "fault takes add RAIL FAULT",
		"fault add rail9 drop": `there is no rail "rail9"; rails are rail0, and all`,
		"fault remove 1":       "there is no fault 1: there are 0",
		"events 0":             `"0" is no number of lines`,
	} {
		if err := b.line(t.Context(), line); err == nil || !strings.Contains(err.Error(), want) || !Usage(err) {
			t.Errorf("%q gives %v, want %q", line, err, want)
		}
	}
}

// TestErrorInAFile ends the run and names the line; to a person it is told, and the next line is read.
func TestErrorInAFile(t *testing.T) {
	const script = "hosts\non server exit 3\non client echo next"
	b, out, _, _ := newBench(t)
	err := b.Run(t.Context(), strings.NewReader(script))
	var exit *exec.ExitError
	if !errors.As(err, &exit) || !strings.HasPrefix(err.Error(), "line 2 (on server exit 3): ") || strings.Contains(out.String(), "next") {
		t.Errorf("error %v, output:\n%s", err, out)
	}
	b, out, _, _ = newBench(t)
	b.Prompt = true
	if err := b.Run(t.Context(), strings.NewReader(script)); err != nil || !strings.HasSuffix(out.String(), "lab> exit status 3\nlab> next\nlab> ") {
		t.Errorf("error %v, output:\n%s", err, out)
	}
}

func TestEndOfTheContext(t *testing.T) {
	b, _, _, _ := newBench(t)
	ctx, cancel := context.WithCancel(t.Context())
	in, feed := io.Pipe() // never ends by itself
	defer feed.Close()
	cancel()
	if err := b.Run(ctx, in); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}
