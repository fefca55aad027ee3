// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/vm/agent"
)

// Files of the block layer. A * stands for a disk, a device or a session.
var (
	mapDevice    = subject.RNBD.MapDevice()
	clientLink   = path.Join(subject.RNBD.ClientLinks(), "*")
	diskDir      = subject.RNBD.DiskFile("*", "")
	unmapDevice  = subject.RNBD.DiskFile("*", "unmap_device")
	diskFile     = subject.RNBD.DiskFile("*", "*")
	diskState    = subject.RNBD.DiskFile("*", "state")
	diskMapping  = subject.RNBD.DiskFile("*", "mapping_path")
	exportedDisk = path.Join(subject.RNBD.ServerDevices(), "*", "block_dev")
	openSession  = subject.RNBD.ServerSession("*", "*")
	searchPath   = "/sys/module/rnbd_server/parameters/dev_search_path"
)

// mapping are those that take requests to map a device otherwise.
func mapping() []row {
	return []row{
		initiator("usage-without-addresses", "map_device does not say how addresses are written",
			shows(mapDevice, func(text string) string { before, _, _ := strings.Cut(text, "addr ::="); return before }), "IBNBD-SYSFS-001"),
		initiator("disk-without-directory", "a disk has no directory of the client",
			hides(diskDir), "IBNBD-SYSFS-002"),
		initiator("options-in-order", "map_device wants its options in one order",
			refuses(mapDevice, syscall.EINVAL, func(line string) bool { return !strings.HasPrefix(line, "sessname=") }), "IBNBD-SYSFS-003"),
		initiator("session-for-nobody", "a request without a session succeeds, and maps nothing",
			ignores(mapDevice, lacks("sessname")), "IBNBD-SYSFS-004"),
		initiator("any-option", "map_device passes over words that it does not know",
			writes(mapDevice, known), "IBNBD-SYSFS-005"),
		initiator("access-mode-of-a-guess", "an access mode that is unknown is read-write",
			writes(mapDevice, edited("access_mode", func(mode string) string {
				if slices.Contains([]string{"ro", "rw", "migration"}, mode) {
					return mode
				}
				return "rw"
			})), "IBNBD-SYSFS-006"),
		initiator("reads-by-default", "the default access mode is read-only",
			writes(mapDevice, func(line string) string {
				if lacks("access_mode")(line) {
					line += " access_mode=ro"
				}
				return line
			}), "IBNBD-SYSFS-008"),
		initiator("maps-twice", "mapping what is mapped succeeds, and does nothing",
			changesErrno(mapDevice, syscall.EEXIST, 0), "IBNBD-SYSFS-010"),
		initiator("missing-is-eio", "a device that the server does not have gives EIO",
			changesErrno(mapDevice, syscall.ENOENT, syscall.EIO), "IBNBD-SYSFS-011"),
		initiator("bad-address-is-passed-over", "a path to an address that is none is passed over, and nothing mapped",
			ignores(mapDevice, func(line string) bool {
				return value(line, "path") != "" && !strings.HasPrefix(value(line, "path"), "ip:10.")
			}),
			"IBNBD-SYSFS-012"),
		initiator("no-ipv6", "an IPv6 address gives EINVAL",
			refuses(mapDevice, syscall.EINVAL, func(line string) bool { return strings.Contains(value(line, "path"), "ip:fd") }), "IBNBD-SYSFS-013"),
		initiator("first-interface", "every path starts from the first interface",
			writes(mapDevice, edited("path", func(pair string) string { return strings.ReplaceAll(pair, "ip:10.0.1.", "ip:10.0.0.") })),
			"IBNBD-SYSFS-014"),
		initiator("too-many-paths-are-taken", "more paths than are supported are passed over, and nothing mapped",
			changesErrno(mapDevice, syscall.ENOMEM, 0), "IBNBD-SYSFS-016"),
		initiator("cuts-session-names", "a session name that is too long is cut",
			writes(mapDevice, edited("sessname", func(name string) string { return name[:min(len(name), 254)] })), "IBNBD-SYSFS-017"),
		initiator("first-path-alone", "only the first of several paths is connected",
			writes(mapDevice, firstPath), "IBNBD-SYSFS-039"),
		initiator("no-way-is-no-error", "a request without a path succeeds, and maps nothing",
			ignores(mapDevice, lacks("path")), "IBNBD-SYSFS-041"),
	}
}

// firstPath leaves all paths out of a request but the first.
func firstPath(line string) string {
	seen := false
	return strings.Join(slices.DeleteFunc(strings.Fields(line), func(word string) bool {
		is := strings.HasPrefix(word, "path=")
		further := is && seen
		seen = seen || is
		return further
	}), " ")
}

// known leaves out of a request what is no option.
func known(line string) string {
	options := []string{"sessname", "path", "device_path", "access_mode"}
	return strings.Join(slices.DeleteFunc(strings.Fields(line), func(word string) bool {
		name, _, _ := strings.Cut(word, "=")
		return !slices.Contains(options, name)
	}), " ")
}

// devices are those that show mapped devices otherwise.
func devices() []row {
	return []row{
		initiator("link-elsewhere", "the link of a device leads past its disk",
			leads(clientLink, func(to string) string { return path.Join(path.Dir(path.Dir(to)), "disk", path.Base(to)) }), "IBNBD-SYSFS-018"),
		initiator("link-stays", "the link of a device stays when it is unmapped",
			keeps(clientLink), "IBNBD-SYSFS-019"),
		initiator("directory-without-files", "the directory of a disk has no state",
			onCall(agent.ReadFile, diskState, func(call agent.FileCall, _ next) (agent.FileAnswer, error) {
				return agent.FileAnswer{}, failure(call, syscall.ENOENT)
			}), "IBNBD-SYSFS-020"),
		initiator("unmaps-what-is-open", "a disk that is open is unmapped, as if by force",
			writes(unmapDevice, func(mode string) string { return strings.Replace(mode, "normal", "force", 1) }), "IBNBD-SYSFS-021"),
		initiator("any-unmap-mode", "unmap_device takes any word, and does nothing for it",
			changesErrno(unmapDevice, syscall.EINVAL, 0), "IBNBD-SYSFS-023"),
		initiator("newline-unmaps", "unmap_device takes a newline alone for normal",
			writes(unmapDevice, instead("\n", "normal")), "IBNBD-SYSFS-037"),
		initiator("other-states", "a mapped device is in a state named mapped",
			shows(diskState, func(state string) string { return strings.Replace(state, "open", "mapped", 1) }), "IBNBD-SYSFS-024"),
		initiator("other-mapping-path", "mapping_path shows another path than was mapped",
			shows(diskMapping, func(mapped string) string { return "/" + mapped }), "IBNBD-SYSFS-025"),
		initiator("resize-does-nothing", "a number that is written to resize does nothing",
			ignores(path.Join(diskDir, "resize"), anything), "IBNBD-SYSFS-032", "IBNBD-FAIL-033").
			by("under writes that go on an export that grows has its new part when the disk is given the new size"),
		initiator("node-stays", "the node of a disk stays when it is unmapped",
			keeps("/dev/rnbd*"), "IBNBD-SYSFS-038"),
		initiator("state-can-be-written", "a write to the file state of a disk is taken, and does nothing",
			ignores(diskState, anything), "IBNBD-SYSFS-040"),
		initiator("no-usage", "unmap_device is empty when it is read",
			shows(unmapDevice, always("")), "IBNBD-SYSFS-026"),
	}
}

// exports are those of the target that show its exports otherwise.
func exports() []row {
	return []row{
		target("export-of-another-disk", "block_dev leads to another disk",
			leads(exportedDisk, func(to string) string { return path.Join(path.Dir(to), "loop0") }), "IBNBD-SYSFS-027"),
		target("never-read-only", "read_only shows 0 for all sessions",
			shows(path.Join(openSession, "read_only"), always("0\n")), "IBNBD-SYSFS-028"),
		target("absolute-mapping-path", "mapping_path shows the path with the search path in front",
			shows(path.Join(openSession, "mapping_path"), func(mapped string) string { return "/" + mapped }), "IBNBD-SYSFS-029"),
		target("no-usage-of-target", "force_close is empty when it is read",
			shows(path.Join(openSession, "force_close"), always("")), "IBNBD-SYSFS-026"),
		target("mapping-path-can-be-written", "a write to the file mapping_path of a session is taken, and does nothing",
			ignores(path.Join(openSession, "mapping_path"), anything), "IBNBD-SYSFS-040"),
		target("export-keeps-sessions", "the directory of a session stays below an export that it has unmapped",
			keeps(openSession), "IBNBD-SYSFS-030"),
		target("force-close-does-nothing", "1 is taken by force_close, and does nothing",
			ignores(path.Join(openSession, "force_close"), func(text string) bool { return text == "1" }), "IBNBD-SYSFS-034"),
		target("closes-at-a-page", "force_close takes any text of a page or more for 1",
			writes(path.Join(openSession, "force_close"), func(text string) string {
				if len(text) >= 4096 {
					return "1"
				}
				return text
			}), "IBNBD-SYSFS-037"),
		target("search-path-can-be-changed", "dev_search_path can be written while the module is loaded",
			permits(searchPath, 0o644), "IBNBD-SYSFS-031"),
		target("any-parameter", "a module passes over a queue depth that is out of range", boundless, "IBTRS-SYSFS-020"),
	}
}

// boundless loads modules without the parameters that are out of range.
func boundless() agent.FileHop {
	return onCall(agent.LoadModule, "rtrs-server", func(call agent.FileCall, ask next) (agent.FileAnswer, error) {
		call.Params = slices.DeleteFunc(slices.Clone(call.Params), func(param string) bool {
			depth, is := strings.CutPrefix(param, "sess_queue_depth=")
			n, err := strconv.Atoi(depth)
			return is && (err != nil || n < 1 || n > 1<<13)
		})
		return ask(call)
	})()
}

// refusals are those whose map_device says otherwise why a target does not let a device be mapped, or does not map what it
// lets.
func refusals() []row {
	return []row{
		initiator("no-block-device-is-enoent", "what is no block device gives ENOENT",
			changesErrno(mapDevice, syscall.ENOTBLK, syscall.ENOENT), "IBNBD-OPEN-004"),
		initiator("too-long-is-mapped", "a full path that is too long seems to be mapped",
			changesErrno(mapDevice, syscall.EINVAL, 0), "IBNBD-OPEN-006"),
		initiator("read-only-device-is-eperm", "opening a read-only device for writing gives EPERM",
			changesErrno(mapDevice, syscall.EACCES, syscall.EPERM), "IBNBD-OPEN-036"),
		initiator("read-only-device-is-mapped", "a read-only device seems to be mapped for writing",
			changesErrno(mapDevice, syscall.EACCES, 0), "IBNBD-OPEN-015"),
		initiator("maps-for-writing", "a device that is to be mapped read-only is mapped for writing",
			writes(mapDevice, edited("access_mode", func(string) string { return "rw" })), "IBNBD-OPEN-028"),
		initiator("search-path-and-no-more", "a device path that begins with a slash is not found below the search path",
			refuses(mapDevice, syscall.ENOENT, func(line string) bool { return strings.HasPrefix(value(line, "device_path"), "/") }), "IBNBD-OPEN-016"),
		initiator("one-name-space", "%SESSNAME% is a directory of that name",
			refuses(mapDevice, syscall.ENOENT, anything), "IBNBD-OPEN-017"),
		initiator("another-name-another-device", "a second writer by another name is told that the device is busy",
			changesErrno(mapDevice, syscall.EPERM, syscall.EBUSY), "IBNBD-OPEN-024"),
	}
}

// Names of specs about what goes and comes back.
var (
	restarted = []string{"failover on server restarted with one path: I/O fails within the bound, and everything comes back after heal"}
	crashed   = []string{"a target whose initiator loses power keeps its name and its device from others until it has noticed, and then gives them away"}
	unloaded  = []string{"the modules close everything on both sides when the client's are unloaded"}
	atWork    = []string{"a target whose disk is at work does nothing twice when it closes the path"}
)

// returning are those whose disks, names or requests do not come back as they should.
func returning() []row {
	return []row{
		initiator("gives-disks-up", "a disk that is closed does not come back, but goes away", vanishes(1), "IBNBD-FAIL-001").by(restarted...),
		initiator("goes-with-its-target", "a disk goes away instead of being closed when the target's modules are unloaded", vanishes(0), "IBNBD-FAIL-011").by(restarted...),
		initiator("unloads-alone", "disks are still there when the modules have been unloaded", remembersDisks, "IBNBD-FAIL-012").by(unloaded...),
		initiator("another-name-for-the-dead", "the name of a session that the target still has gives another session", otherName, "IBNBD-FAIL-007").by(crashed...),
		target("does-it-twice", "the disk writes once more what came while the path was being closed", writesMore, "IBTRS-PATH-027").by(atWork...),
	}
}

// vanishes has a disk not be there when it was seen to be closed so many times.
func vanishes(looks int) func() agent.FileHop {
	return func() agent.FileHop {
		var closed atomic.Int64
		return seen(func(files []agent.Content) []agent.Content {
			return slices.DeleteFunc(files, func(f agent.Content) bool {
				is, _ := path.Match(diskState, f.Path)
				if is && strings.TrimSpace(string(f.Bytes)) == "closed" {
					closed.Add(1)
				}
				return is && closed.Load() > int64(looks)
			})
		})
	}
}

// remembersDisks lists the links of disks, and shows what they lead to, also when they have gone.
func remembersDisks() agent.FileHop {
	var mu sync.Mutex
	known := make(map[string]agent.FileAnswer) // by path: of links and of files
	var links []string
	return func(call agent.FileCall, ask next) (agent.FileAnswer, error) {
		a, err := ask(call)
		mu.Lock()
		defer mu.Unlock()
		link, _ := path.Match(clientLink, call.Path)
		file, _ := path.Match(diskFile, call.Path)
		before, was := known[call.Path]
		switch {
		case call.Op == agent.Glob && call.Path == clientLink:
			return agent.FileAnswer{Names: slices.Clone(links)}, err
		case !(call.Op == agent.Readlink && link || call.Op == agent.ReadFile && file):
			return a, err
		case err != nil && was:
			return before, nil
		case err != nil:
			return a, err
		case link && !was:
			links = append(links, call.Path)
		}
		known[call.Path] = a
		return a, nil
	}
}

// otherName gives a session whose name was used before another one.
func otherName() agent.FileHop {
	var mu sync.Mutex
	used := make(map[string]bool)
	renamed := make(map[string]string)
	return func(call agent.FileCall, ask next) (agent.FileAnswer, error) {
		mu.Lock()
		if call.Op == agent.WriteFile && call.Path == mapDevice {
			name := value(string(call.Data), "sessname")
			if used[name] {
				renamed[name] = name + "-again"
				call.Data = []byte(edited("sessname", func(string) string { return renamed[name] })(string(call.Data)))
			}
			used[name] = true
		}
		if call.Op == agent.Readlink {
			for name, other := range renamed {
				if device, is := strings.CutSuffix(call.Path, "@"+name); is {
					call.Path = device + "@" + other
				}
			}
		}
		mu.Unlock()
		return ask(call)
	}
}

// writesMore counts two writes more than there were, from the second look on.
func writesMore() agent.FileHop {
	const writes = 4 // of the fields of the file
	var looked atomic.Bool
	return shows("/sys/block/*/stat", func(line string) string {
		fields := strings.Fields(line)
		if len(fields) <= writes || !looked.Swap(true) {
			return line
		}
		if n, err := strconv.Atoi(fields[writes]); err == nil {
			fields[writes] = strconv.Itoa(n + 2)
		}
		return strings.Join(fields, " ") + "\n"
	})()
}
