// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
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
		{"ignores", ignores(file, isBad), guest{call: write("bad"), err: refused}, agent.FileAnswer{}, 0, "-"},
		{"ignores no other", ignores(file, isBad), guest{call: write("good")}, agent.FileAnswer{}, 0, "good"},
		{"changes the errno", changesErrno(file, syscall.EINVAL, 0), guest{call: write("bad"), err: refused}, agent.FileAnswer{}, 0, "bad"},
		{"changes the errno by another errno", changesErrno(file, syscall.EINVAL, syscall.EIO), guest{call: write("bad"), err: refused}, agent.FileAnswer{}, syscall.EIO, "bad"},
		{"changes the errno no other errno", changesErrno(file, syscall.EEXIST, 0), guest{call: write("bad"), err: refused}, agent.FileAnswer{}, syscall.EINVAL, "bad"},
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

// TestTables checks that each mutant alters something or was found, and what it is held against.
func TestTables(t *testing.T) {
	for _, r := range rows() {
		if alters := r.Target != nil || r.Initiator != nil || r.Programs != nil || r.Wire != nil; alters == r.Found {
			t.Errorf("%s must alter something, or have been found", r.Name)
		}
	}
	for _, m := range Mutants() {
		found := slices.ContainsFunc(found(), func(r row) bool { return r.Name == m.Name })
		if elsewhere := m.Lab.Control != m.Lab.Pair; elsewhere != found {
			t.Errorf("%s of %s is held against %s", m.Name, m.Lab.Pair, m.Lab.Control)
		}
	}
}

// named finds a row.
func named(t *testing.T, name string) row {
	t.Helper()
	all := rows()
	i := slices.IndexFunc(all, func(r row) bool { return r.Name == name })
	if i < 0 {
		t.Fatalf("there is no mutant %s", name)
	}
	return all[i]
}

// TestVanishing looks at a disk that is closed and opened again, through hops that have it gone after so many looks.
func TestVanishing(t *testing.T) {
	file := subject.RNBD.DiskFile("rnbd0", "state")
	look := func(hop agent.FileHop, state string) int {
		g := guest{answer: agent.FileAnswer{Files: []agent.Content{{Path: file, Bytes: []byte(state + "\n")}, {Path: "/sys/other", Bytes: []byte("closed\n")}}}}
		a, err := hop(agent.FileCall{Op: agent.ReadFiles}, g.ask)
		if err != nil {
			t.Fatal(err)
		}
		return len(a.Files)
	}
	for looks, want := range map[int][]int{0: {2, 1, 1, 1}, 1: {2, 2, 1, 1}} {
		hop := vanishes(looks)()
		for i, state := range []string{"open", "closed", "closed", "open"} {
			if got := look(hop, state); got != want[i] {
				t.Errorf("after %d looks: %d files at look %d, want %d", looks, got, i, want[i])
			}
		}
	}
}

// TestRememberedDisks looks for a disk before and after it has gone.
func TestRememberedDisks(t *testing.T) {
	hop := remembersDisks()
	link := strings.Replace(clientLink, "*", "dev!one@s", 1)
	file := subject.RNBD.DiskFile("rnbd0", "session")
	there := guest{answer: agent.FileAnswer{Target: "../rnbd0", Data: []byte("s\n")}}
	gone := guest{err: syscall.ENOENT}
	for _, call := range []agent.FileCall{{Op: agent.Readlink, Path: link}, {Op: agent.ReadFile, Path: file}} {
		before, err1 := hop(call, there.ask)
		after, err2 := hop(call, gone.ask)
		if err1 != nil || err2 != nil || before.Target != after.Target || string(before.Data) != string(after.Data) {
			t.Errorf("%s %s: %+v, %v; then %+v, %v", call.Op, call.Path, before, err1, after, err2)
		}
	}
	if a, err := hop(agent.FileCall{Op: agent.Glob, Path: clientLink}, there.ask); err != nil || len(a.Names) != 1 || a.Names[0] != link {
		t.Errorf("disks %v, %v", a.Names, err)
	}
	other := agent.FileCall{Op: agent.ReadFile, Path: "/sys/other"}
	if _, err := hop(other, there.ask); err != nil {
		t.Error(err)
	}
	if _, err := hop(other, gone.ask); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("a file that is no disk's is remembered: %v", err)
	}
}

// TestOtherName maps twice in a session of one name, and once in one whose name only begins the same.
func TestOtherName(t *testing.T) {
	hop, g := otherName(), guest{}
	for _, c := range []struct{ name, want, link string }{
		{"s1", "s1", "x@s1"}, {"s10", "s10", "x@s10"}, {"s1", "s1-again", "x@s1-again"},
	} {
		for _, call := range []agent.FileCall{
			{Op: agent.WriteFile, Path: mapDevice, Data: []byte("sessname=" + c.name + " device_path=x")}, {Op: agent.Readlink, Path: "x@" + c.name},
		} {
			if _, err := hop(call, g.ask); err != nil {
				t.Fatal(err)
			}
		}
		asked := g.asked[len(g.asked)-2:]
		if got := value(string(asked[0].Data), "sessname"); got != c.want || asked[1].Path != c.link {
			t.Errorf("session %s: %s and %s, want %s and %s", c.name, got, asked[1].Path, c.want, c.link)
		}
	}
}

// TestMoreWrites reads the statistics of a disk, and a line that is too short to be one.
func TestMoreWrites(t *testing.T) {
	hop := writesMore()
	for i, c := range []struct{ line, want string }{{"1 2 3 4 5 6\n", "1 2 3 4 5 6\n"}, {"1 2 3 4 5 6\n", "1 2 3 4 7 6\n"}, {"1 2\n", "1 2\n"}} {
		g := guest{answer: agent.FileAnswer{Data: []byte(c.line)}}
		if a, err := hop(agent.FileCall{Op: agent.ReadFile, Path: "/sys/block/nullb0/stat"}, g.ask); err != nil || string(a.Data) != c.want {
			t.Errorf("look %d: %q, %v; want %q", i, a.Data, err, c.want)
		}
	}
}

// TestSpared looks at a path that is lost and comes back.
func TestSpared(t *testing.T) {
	file := subject.RNBD.ClientPath("s", subject.PathAddr{}) + "/state"
	hop := spares()
	var asked []agent.FileCall
	for i, c := range []struct{ state, want string }{
		{"connected\n", "connected\n"}, {"disconnected\n", "disconnected\n"}, {"connected\n", "connected\n"}, {"disconnected\n", "connected\n"},
	} {
		g := guest{answer: agent.FileAnswer{Files: []agent.Content{{Path: file, Bytes: []byte(c.state)}}}}
		a, err := hop(agent.FileCall{Op: agent.ReadFiles}, g.ask)
		if err != nil || string(a.Files[0].Bytes) != c.want {
			t.Errorf("look %d: %q, %v; want %q", i, a.Files[0].Bytes, err, c.want)
		}
		asked = append(asked, g.asked[1:]...)
	}
	if len(asked) != 1 || asked[0].Op != agent.WriteFile || !strings.HasSuffix(asked[0].Path, "/disconnect") || string(asked[0].Data) != "1" {
		t.Errorf("the guest was also asked for %+v", asked)
	}
}

// TestRememberedRemoval adds paths before one is removed, and after.
func TestRememberedRemoval(t *testing.T) {
	hop, g := remembersRemoved(), guest{}
	adds := agent.FileCall{Op: agent.WriteFile, Path: subject.RNBD.ClientSession("s") + "/add_path"}
	removes := agent.FileCall{Op: agent.WriteFile, Path: subject.RNBD.ClientPath("s", subject.PathAddr{}) + "/remove_path"}
	for i, c := range []struct {
		call agent.FileCall
		want error
	}{{adds, nil}, {removes, nil}, {adds, syscall.EEXIST}, {removes, nil}} {
		if _, err := hop(c.call, g.ask); !errors.Is(err, c.want) {
			t.Errorf("call %d: %v, want %v", i, err, c.want)
		}
	}
}

// TestLogs writes into the log, and into another file.
func TestLogs(t *testing.T) {
	for file, want := range map[string]int{"/dev/kmsg": 4, "/dev/null": 1} {
		g := guest{}
		if _, err := logs(3)()(agent.FileCall{Op: agent.WriteFile, Path: file}, g.ask); err != nil || len(g.asked) != want {
			t.Errorf("%s: %d calls, %v; want %d", file, len(g.asked), err, want)
		}
	}
}
