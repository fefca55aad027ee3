// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"errors"
	"io/fs"
	"strings"
	"syscall"
	"testing"

	"github.com/ibnbd/ibnbd/vm/agent"
)

// guest has one file, and remembers what was written to it.
type guest struct {
	call   agent.FileCall
	answer agent.FileAnswer
	err    error

	asked []agent.FileCall
}

func (g *guest) ask(call agent.FileCall) (agent.FileAnswer, error) {
	g.asked = append(g.asked, call)
	return g.answer, g.err
}

// TestHops asks about a file through each hop.
func TestHops(t *testing.T) {
	const file = "/sys/x/file"
	write := func(text string) agent.FileCall {
		return agent.FileCall{Op: agent.WriteFile, Path: file, Data: []byte(text)}
	}
	call := func(op agent.FileOp) agent.FileCall { return agent.FileCall{Op: op, Path: file} }
	refused := failure(write(""), syscall.EINVAL)
	none := failure(call(agent.Lstat), syscall.ENOENT)
	isBad := func(text string) bool { return text == "bad" }
	for _, c := range []struct {
		name    string
		hop     func() agent.FileHop
		guest   guest
		want    agent.FileAnswer
		errno   syscall.Errno
		written string // what the guest was asked to write; "-" for nothing
	}{
		{"shows", shows("/sys/*/file", strings.ToUpper), guest{call: call(agent.ReadFile), answer: agent.FileAnswer{Data: []byte("up")}}, agent.FileAnswer{Data: []byte("UP")}, 0, ""},
		{"shows another file", shows("/sys/*/other", strings.ToUpper), guest{call: call(agent.ReadFile), answer: agent.FileAnswer{Data: []byte("up")}}, agent.FileAnswer{Data: []byte("up")}, 0, ""},
		{"shows no file below", shows("/sys/*", strings.ToUpper), guest{call: call(agent.ReadFile), answer: agent.FileAnswer{Data: []byte("up")}}, agent.FileAnswer{Data: []byte("up")}, 0, ""},
		{"writes", writes(file, strings.ToUpper), guest{call: write("go")}, agent.FileAnswer{}, 0, "GO"},
		{"refuses", refuses(file, syscall.EBUSY, isBad), guest{call: write("bad")}, agent.FileAnswer{}, syscall.EBUSY, "-"},
		{"refuses no other", refuses(file, syscall.EBUSY, isBad), guest{call: write("good")}, agent.FileAnswer{}, 0, "good"},
		{"swallows", swallows(file, isBad), guest{call: write("bad"), err: refused}, agent.FileAnswer{}, 0, "-"},
		{"swallows no other", swallows(file, isBad), guest{call: write("good")}, agent.FileAnswer{}, 0, "good"},
		{"excuses", excuses(file, syscall.EINVAL, 0), guest{call: write("bad"), err: refused}, agent.FileAnswer{}, 0, "bad"},
		{"excuses by another errno", excuses(file, syscall.EINVAL, syscall.EIO), guest{call: write("bad"), err: refused}, agent.FileAnswer{}, syscall.EIO, "bad"},
		{"excuses no other errno", excuses(file, syscall.EEXIST, 0), guest{call: write("bad"), err: refused}, agent.FileAnswer{}, syscall.EINVAL, "bad"},
		{"hides", hides(file), guest{call: call(agent.Lstat)}, agent.FileAnswer{}, syscall.ENOENT, "-"},
		{"keeps", keeps(file), guest{call: call(agent.Lstat), err: none}, agent.FileAnswer{Info: agent.FileInfo{Name: "file"}}, 0, "-"},
		{"permits", permits(file, 0o644), guest{call: call(agent.Stat)}, agent.FileAnswer{Info: agent.FileInfo{Mode: 0o644}}, 0, ""},
		{"leads", leads(file, strings.ToUpper), guest{call: call(agent.Readlink), answer: agent.FileAnswer{Target: "to"}}, agent.FileAnswer{Target: "TO"}, 0, ""},
		{"names", names(file, strings.ToUpper), guest{call: call(agent.Glob), answer: agent.FileAnswer{Names: []string{"/a/b"}}}, agent.FileAnswer{Names: []string{"/a/B"}}, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := c.hop()(c.guest.call, c.guest.ask)
			var path *fs.PathError
			if c.errno == 0 && err != nil || c.errno != 0 && (!errors.Is(err, c.errno) || !errors.As(err, &path)) {
				t.Errorf("error %v, must be %v", err, c.errno)
			}
			if string(got.Data) != string(c.want.Data) || got.Info != c.want.Info || got.Target != c.want.Target || strings.Join(got.Names, " ") != strings.Join(c.want.Names, " ") {
				t.Errorf("answer %+v, must be %+v", got, c.want)
			}
			switch {
			case c.written == "-" && len(c.guest.asked) > 0:
				t.Errorf("the guest was asked for %+v", c.guest.asked)
			case c.written != "-" && (len(c.guest.asked) != 1 || string(c.guest.asked[0].Data) != c.written):
				t.Errorf("the guest was asked for %+v, must be %q", c.guest.asked, c.written)
			}
		})
	}
}

// TestRequests edits requests to map a device.
func TestRequests(t *testing.T) {
	const line = "sessname=s path=ip:10.0.1.2@ip:10.0.1.1  device_path= colour=red rw"
	if !lacks("device_path")(line) || !lacks("access_mode")(line) || lacks("sessname")(line) {
		t.Errorf("%q has a session, no device and no access mode", line)
	}
	if got := value(line, "path"); got != "ip:10.0.1.2@ip:10.0.1.1" {
		t.Errorf("path %q", got)
	}
	if got := edited("sessname", strings.ToUpper)("a=b sessname=s  c"); got != "a=b sessname=S c" {
		t.Errorf("edited %q", got)
	}
	if got := known(line); got != "sessname=s path=ip:10.0.1.2@ip:10.0.1.1 device_path=" {
		t.Errorf("known options %q", got)
	}
}

// TestNamed finds mutants, and none that there is not.
func TestNamed(t *testing.T) {
	for _, m := range All() {
		found, known := Named(m.Name)
		alters := m.Target != nil || m.Initiator != nil || m.TargetPrograms != nil || m.InitiatorPrograms != nil || m.Wire != nil
		if !known || found.What != m.What || alters == m.Found {
			t.Errorf("%s: found %q, and it must alter something, or have been found", m.Name, found.What)
		}
	}
	if _, known := Named("nobody"); known {
		t.Error("there is a mutant named nobody")
	}
}
