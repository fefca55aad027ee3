// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ibnbd/ibnbd/reference/cmd/internal/program"
)

// tree is a sysfs in which a client has mapped a device. Files have contents, links end in -> and what they point to.
type tree map[string]string

func (t tree) make(tt *testing.T) string {
	tt.Helper()
	root := tt.TempDir()
	for name, text := range t {
		name = filepath.Join(root, name)
		err := os.MkdirAll(filepath.Dir(name), 0o755)
		if to, link := strings.CutPrefix(text, "-> "); err == nil && link {
			err = os.Symlink(to, name)
		} else if err == nil {
			err = os.WriteFile(name, []byte(text), 0o644)
		}
		if err != nil {
			tt.Fatal(err)
		}
	}
	return root
}

// add puts a client of a family into the tree, which has mapped dev/sda in session gold as a disk.
func (t tree) add(family, transport, diskDir, disk, link string) tree {
	block, session := "class/"+family+"-client/ctl/", "class/"+transport+"-client/gold/"
	t[block+"map_device"] = ""
	t[block+"devices/"+link] = "-> ../../../../block/" + disk
	for file, text := range map[string]string{
		"unmap_device": "", "mapping_path": "dev/sda\n", "session": "gold\n", "state": "open\n", "access_mode": "rw\n",
	} {
		t["block/"+disk+"/"+diskDir+"/"+file] = text
	}
	t["block/"+disk+"/size"] = "2048\n"
	t["block/"+disk+"/queue/logical_block_size"] = "512\n"
	t["block/"+disk+"/queue/max_hw_sectors_kb"] = "124\n"
	t[session+"mpath_policy"] = "round-robin (RR: 0)\n"
	t[session+"max_reconnect_attempts"] = "-1\n"
	for file, text := range map[string]string{
		"state": "connected\n", "cur_latency": "1500000 ns\n", "stats/rdma": "11 12 13 14 15 16\n", "stats/reconnects": "17 18\n",
	} {
		t[session+"paths/ip:10.0.0.2@ip:10.0.0.1/"+file] = text
	}
	return t
}

func ours() tree {
	t := tree{}.add("ibnbd", "ibtrs", "ibnbd_client", "ibnbd0", "dev!sda")
	for file, text := range map[string]string{"worst_stall_ms": "1855\n", "worst_error_ms": "1856\n", "worst_reconnect_ms": "9000\n"} {
		t["class/ibtrs-client/gold/timers/"+file] = text
	}
	return t
}

// twice is a sysfs in which dev/sda is mapped in two sessions of one client.
func twice() tree {
	t := ours()
	t["class/ibnbd-client/ctl/devices/dev!sda@lead"] = "-> ../../../../block/ibnbd1"
	for name, text := range ours() {
		if file, ok := strings.CutPrefix(name, "block/ibnbd0/"); ok {
			t["block/ibnbd1/"+file] = text
		}
	}
	t["block/ibnbd1/ibnbd_client/session"] = "lead\n"
	return t
}

// both is a sysfs in which this project's client and that of mainline have mapped dev/sda.
func both() tree {
	t := mainline()
	for name, text := range ours() {
		t[name] = text
	}
	return t
}

func mainline() tree { return tree{}.add("rnbd", "rtrs", "rnbd", "rnbd3", "dev!sda@gold") }

// run runs the program on a tree.
func run(root string, args ...string) (code int, out, stderr string) {
	var o, e bytes.Buffer
	c := newCommand()
	c.SetOut(&o)
	if len(args) > 0 && args[0] == "__complete" {
		args = append([]string{args[0], args[1], "--sysfs", root}, args[2:]...)
	} else {
		args = append(args, "--sysfs", root)
	}
	code = program.Main(c, args, &e)
	return code, o.String(), e.String()
}

func read(t *testing.T, parts ...string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(parts...))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestKernelShows(t *testing.T) {
	for name, c := range map[string]struct {
		tree tree
		args string
		want []string
	}{
		"list":               {ours(), "list --kernel", []string{"gold", "dev/sda", "open", "1048576", "rw", "/dev/ibnbd0"}},
		"list of mainline":   {mainline(), "list --kernel dev/sda", []string{"dev/sda", "/dev/rnbd3"}},
		"stat":               {ours(), "stat --kernel", []string{"in the kernel's client ibnbd", "round-robin", "1.855s", "1.856s", "9s", "11", "16", "17", "18", "1.5ms"}},
		"stat of mainline":   {mainline(), "stat --kernel=rnbd", []string{"in the kernel's client rnbd", "connected", "1.5ms"}},
		"stat as JSON":       {ours(), "stat --kernel --json", []string{`"kernel_client": "ibnbd"`, `"max_io_bytes": 126976`, `"block_bytes": 512`, `"limit_ns": 1855000000`}},
		"complete a device":  {ours(), "__complete unmap --kernel de", []string{"dev/sda\n:4"}},
		"complete a session": {ours(), "__complete unmap --kernel --session g", []string{"gold\n:4"}},
		"complete in map":    {mainline(), "__complete map --kernel --session g", []string{"gold\n:4"}},
		"complete others":    {ours(), "__complete list --kernel x", []string{"\n:4"}},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, stderr := run(c.tree.make(t), strings.Fields(c.args)...)
			if code != 0 {
				t.Fatalf("exit code %d: %s", code, stderr)
			}
			for _, want := range c.want {
				if !strings.Contains("\n"+out, want) {
					t.Errorf("%q is not in\n%s", want, out)
				}
			}
		})
	}
}

func TestKernelObeys(t *testing.T) {
	for name, c := range map[string]struct {
		tree             tree
		args, file, want string
	}{
		"map": {
			ours(), "map --kernel --session gold -p 10.0.0.2@10.0.0.1 --path 10.0.1.1 --io-mode fileio --access ro dev/sda", "class/ibnbd-client/ctl/map_device",
			"sessname=gold dest_port=1234 path=ip:10.0.0.2,ip:10.0.0.1 path=ip:10.0.1.1 device_path=dev/sda access_mode=ro io_mode=fileio",
		},
		"map with mainline": {
			mainline(), "map --kernel --session gold --path fd00::1 --port 99 dev/sda", "class/rnbd-client/ctl/map_device",
			"sessname=gold dest_port=99 path=ip:fd00::1 device_path=dev/sda access_mode=rw",
		},
		"map with mainline of two": {
			both(), "map --kernel=rnbd --session gold dev/sda", "class/rnbd-client/ctl/map_device",
			"sessname=gold dest_port=1234 device_path=dev/sda access_mode=rw",
		},
		"leave the policy of a session that is there": {
			ours(), "map --kernel --session gold --policy min-latency dev/sda", "class/ibtrs-client/gold/mpath_policy", "round-robin (RR: 0)\n",
		},
		"unmap":                        {ours(), "unmap --kernel dev/sda", "block/ibnbd0/ibnbd_client/unmap_device", "normal"},
		"unmap by force":               {mainline(), "unmap --kernel -f dev/sda", "block/rnbd3/rnbd/unmap_device", "force"},
		"unmap in session":             {ours(), "unmap --kernel --session gold dev/sda", "block/ibnbd0/ibnbd_client/unmap_device", "normal"},
		"unmap in that session of two": {twice(), "unmap --kernel --session lead dev/sda", "block/ibnbd1/ibnbd_client/unmap_device", "normal"},
		"unmap only of one":            {both(), "unmap --kernel=ibnbd dev/sda", "block/rnbd3/rnbd/unmap_device", ""},
	} {
		t.Run(name, func(t *testing.T) {
			root := c.tree.make(t)
			code, _, stderr := run(root, strings.Fields(c.args)...)
			if code != 0 {
				t.Fatalf("exit code %d: %s", code, stderr)
			}
			if got := read(t, root, c.file); got != c.want {
				t.Errorf("%s is %q, want %q", c.file, got, c.want)
			}
		})
	}
}

func TestKernelRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		tree tree
		args []string
		code int
		want string
	}{
		"no client":         {tree{}, []string{"list", "--kernel"}, 1, "none of the modules ibnbd_client, rnbd_client is loaded"},
		"not that client":   {ours(), []string{"list", "--kernel=rnbd"}, 1, "rnbd_client is not loaded"},
		"no such family":    {ours(), []string{"list", "--kernel=scsi"}, 2, `"scsi" is none of`},
		"URI":               {ours(), []string{"list", "--kernel", "--uri"}, 2, "--uri"},
		"no such device":    {ours(), []string{"unmap", "--kernel", "dev/sdb"}, 1, `"dev/sdb" is not mapped`},
		"no such session":   {ours(), []string{"unmap", "--kernel", "--session", "lead", "dev/sda"}, 1, `"dev/sda" is not mapped`},
		"two sessions":      {twice(), []string{"unmap", "--kernel", "dev/sda"}, 2, "/dev/ibnbd0 (session gold, client ibnbd) or /dev/ibnbd1 (session lead, client ibnbd)"},
		"two clients":       {both(), []string{"unmap", "--kernel", "--session", "gold", "dev/sda"}, 2, "/dev/ibnbd0 (session gold, client ibnbd) or /dev/rnbd3 (session gold, client rnbd)"},
		"a second device":   {ours(), []string{"map", "--kernel", "--session", "gold", "dev/sda", "dev/sdb"}, 1, "is gone again: no such device; still mapped: dev/sda as /dev/ibnbd0"},
		"no policy file":    {without(ours(), "class/ibtrs-client/gold/"), []string{"map", "--kernel", "--session", "gold", "--policy", "min-latency", "dev/sda"}, 1, "still mapped: dev/sda as /dev/ibnbd0"},
		"map rnbd":          {both(), []string{"map", "--kernel", "rnbd", "dev/sda"}, 2, "write --kernel=rnbd"},
		"unmap ibnbd":       {both(), []string{"unmap", "--kernel", "ibnbd", "dev/sda"}, 2, "write --kernel=ibnbd"},
		"list any":          {both(), []string{"list", "--kernel", "any"}, 2, "write --kernel=any"},
		"stat rnbd":         {both(), []string{"stat", "--kernel", "rnbd"}, 2, "write --kernel=rnbd"},
		"not a device rnbd": {ours(), []string{"unmap", "--kernel=ibnbd", "rnbd"}, 1, `"rnbd" is not mapped`},
		"a blank in a path": {ours(), []string{"map", "--kernel", "--path", "fe80::1%e th0", "dev/sda"}, 2, "fe80::1%e th0"},
		"a blank":           {ours(), []string{"map", "--kernel", "dev/s da"}, 2, `"dev/s da" has a blank`},
		"file mode":         {mainline(), []string{"map", "--kernel", "--io-mode", "fileio", "dev/sda"}, 2, "--io-mode fileio"},
		"a timer":           {ours(), []string{"map", "--kernel", "--heartbeat-interval", "1s", "dev/sda"}, 2, "--heartbeat-interval"},
		"a path":            {ours(), []string{"map", "--kernel", "--path", "ten", "dev/sda"}, 2, `"ten"`},
		"a policy":          {ours(), []string{"map", "--kernel", "--policy", "any", "dev/sda"}, 2, `"any"`},
		"a broken file":     {with(ours(), "block/ibnbd0/size", "many\n"), []string{"list", "--kernel"}, 1, "block/ibnbd0/size"},
		"few statistics":    {with(ours(), "class/ibtrs-client/gold/paths/ip:10.0.0.2@ip:10.0.0.1/stats/rdma", "1 2\n"), []string{"stat", "--kernel"}, 1, "fewer than 6"},
	} {
		t.Run(name, func(t *testing.T) {
			code, _, stderr := run(c.tree.make(t), c.args...)
			if code != c.code || !strings.Contains(stderr, c.want) {
				t.Errorf("exit code %d, want %d; %q is not in %s", code, c.code, c.want, stderr)
			}
		})
	}
}

func with(t tree, name, text string) tree {
	t[name] = text
	return t
}

func without(t tree, dir string) tree {
	maps.DeleteFunc(t, func(name, _ string) bool { return strings.HasPrefix(name, dir) })
	return t
}

// TestKernelLosesADevice lists what is left when a device goes while it is read.
func TestKernelLosesADevice(t *testing.T) {
	tr := ours()
	delete(tr, "block/ibnbd0/queue/max_hw_sectors_kb")
	code, out, stderr := run(tr.make(t), "list", "--kernel")
	if code != 0 || strings.Contains(out, "dev/sda") {
		t.Errorf("exit code %d, %s: %s", code, stderr, out)
	}
}
