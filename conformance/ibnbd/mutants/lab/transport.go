// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/vm/agent"
)

// Files of the transport. A * stands for a session or a path.
var (
	session     = subject.RNBD.ClientSession("*")
	attempts    = path.Join(session, "max_reconnect_attempts")
	policy      = path.Join(session, "mpath_policy")
	addPath     = path.Join(session, "add_path")
	clientPath  = path.Join(session, "paths", "*")
	targetPath  = path.Join(path.Dir(path.Dir(session)), subject.RNBD.TransportServer, "*", "paths", "*")
	rdmaCounter = path.Join(clientPath, "stats", "rdma")

	reconnectCounter = path.Join(clientPath, "stats", "reconnects")
)

// sessions are those that show sessions otherwise, or let them be set otherwise.
func sessions() []row {
	return []row{
		initiator("session-without-directory", "a session has no directory", hides(session), "IBTRS-SYSFS-001"),
		initiator("attempts-without-bound", "a number of attempts above 9999 is taken, and means nothing",
			changesErrno(attempts, syscall.EINVAL, 0), "IBTRS-SYSFS-002"),
		initiator("no-attempt-is-one", "max_reconnect_attempts 0 allows one attempt",
			writes(attempts, func(text string) string {
				if strings.TrimSpace(text) == "0" {
					return "1"
				}
				return text
			}), "IBTRS-PATH-007").by("recovery makes as many attempts as it was allowed, and no more"),
		initiator("terse-policy", "mpath_policy shows a name and no more",
			shows(policy, func(line string) string { name, _, _ := strings.Cut(line, " "); return name + "\n" }), "IBTRS-SYSFS-003"),
		initiator("policy-in-lower-case", "mpath_policy refuses capital letters",
			refuses(policy, syscall.EINVAL, func(text string) bool { return text != strings.ToLower(text) }), "IBTRS-SYSFS-004"),
		initiator("any-policy", "mpath_policy takes any word, and does nothing for it",
			changesErrno(policy, syscall.EINVAL, 0), "IBTRS-SYSFS-005"),
		initiator("newline-is-a-policy", "mpath_policy takes a newline alone for round-robin",
			writes(policy, instead("\n", "rr")), "IBTRS-SYSFS-021"),
		initiator("turns-by-default", "the default policy is round-robin",
			shows(policy, always("round-robin (RR: 0)\n")), "IBTRS-MP-001"),
		initiator("policy-for-the-idle", "the policy cannot be changed once it was",
			policyOnce, "IBTRS-MP-006"),
		initiator("adds-nowhere", "add_path takes addresses that are none, and adds nothing",
			changesErrno(addPath, syscall.EINVAL, 0), "IBTRS-SYSFS-006"),
		initiator("adds-twice", "add_path takes a pair of addresses again, and adds nothing",
			changesErrno(addPath, syscall.EEXIST, 0), "IBTRS-SYSFS-007"),
		initiator("one-source", "a path from another source address is refused",
			refuses(addPath, syscall.ECONNRESET, func(pair string) bool { return strings.Contains(pair, "ip:10.0.1.") }), "IBTRS-CONN-053"),
	}
}

// policyOnce refuses all changes of the policy but the first.
func policyOnce() agent.FileHop {
	var changed atomic.Bool
	return refuses(policy, syscall.EBUSY, func(string) bool { return changed.Swap(true) })()
}

// paths are those that show paths otherwise, or steer them otherwise.
func paths() []row {
	return []row{
		initiator("paths-by-comma", "the directory of a path is named source,destination",
			names(clientPath, func(name string) string { return strings.Replace(name, "@", ",", 1) }), "IBTRS-SYSFS-008"),
		initiator("other-path-states", "a connected path is in a state named up",
			shows(path.Join(clientPath, "state"), func(state string) string { return strings.Replace(state, "connected", "up", 1) }), "IBTRS-SYSFS-009"),
		initiator("any-command", "reconnect, disconnect and remove_path take any number, and do nothing for it",
			changesErrno(path.Join(clientPath, "*"), syscall.EINVAL, 0), "IBTRS-SYSFS-010"),
		initiator("attempt-timed-out", "an attempt to connect that fails gives ETIMEDOUT",
			changesErrno(path.Join(clientPath, "reconnect"), syscall.ENOTCONN, syscall.ETIMEDOUT), "IBTRS-SYSFS-011"),
		initiator("removed-path-stays", "the directory of a path is still there when remove_path has returned",
			keeps(clientPath), "IBTRS-SYSFS-012"),
		initiator("comes-back-unasked", "a path that was disconnected connects again by itself",
			comesBack, "IBTRS-PATH-010", "IBTRS-PATH-001"),
		initiator("closed-for-good", "a path that was disconnected cannot be connected again",
			refuses(path.Join(clientPath, "reconnect"), syscall.EINVAL, anything), "IBTRS-PATH-011"),
		target("path-named-by-server", "the directory of a path on the server begins with the server's address",
			hides(targetPath), "IBTRS-SYSFS-016"),
		target("disconnect-is-busy", "a path cannot be disconnected by the server",
			refuses(path.Join(targetPath, "disconnect"), syscall.EBUSY, anything), "IBTRS-SYSFS-017"),
		target("disconnects-at-a-zero", "a path on the server is disconnected by a zero byte and a newline",
			writes(path.Join(targetPath, "disconnect"), instead("\x00\n", "1")), "IBTRS-SYSFS-021"),
		target("ports-from-nought", "hca_port counts from 0",
			shows(path.Join(targetPath, "hca_port"), always("0\n")), "IBTRS-SYSFS-018"),
		target("server-first", "src_addr on the server is its own address",
			swapped, "IBTRS-SYSFS-019"),
	}
}

// teardown are those whose paths end otherwise, or too late.
func teardown() []row {
	seen := initiator("path-never-lost", "a path is connected for ever, to those who look", looksConnected, "IBTRS-PATH-022")
	spared := initiator("spared-when-back", "a path that was lost carries nothing more when it is connected again", spares, "IBTRS-MP-011").
		by("a path that was lost and has come back carries its share again under every policy when it has lost its carrier once")
	remembered := initiator("removed-path-is-there-for-ever", "a path that was removed is there already when it is added", remembersRemoved, "IBTRS-CONN-057").
		by("a path that was removed can be added again, twenty times over")
	early := target("path-without-its-disk", "a path is gone while its disk is at work", hides(targetPath), "IBTRS-PATH-021")
	late := target("path-of-the-dead", "the path of an initiator that has lost power is kept", keeps(targetPath), "IBTRS-PATH-016")
	all := []row{seen, early, late}
	for i := range all {
		all[i].Slow = true
	}
	return append(all, spared, remembered)
}

// spares disconnects a path that is connected again after it was lost, and shows it as connected nevertheless.
func spares() agent.FileHop {
	var mu sync.Mutex
	lost, spared := make(map[string]bool), make(map[string]bool)
	return func(call agent.FileCall, ask next) (agent.FileAnswer, error) {
		a, err := ask(call)
		if err != nil || call.Op != agent.ReadFiles {
			return a, err
		}
		mu.Lock()
		defer mu.Unlock()
		for i, file := range a.Files {
			dir := path.Dir(file.Path)
			if path.Base(path.Dir(dir)) != "paths" {
				continue
			}
			switch connected := strings.TrimSpace(string(file.Bytes)) == "connected"; {
			case spared[dir]:
				a.Files[i].Bytes = []byte("connected\n")
			case !connected:
				lost[dir] = true
			case lost[dir]:
				spared[dir] = true
				if _, err := ask(agent.FileCall{Op: agent.WriteFile, Path: path.Join(dir, "disconnect"), Data: []byte("1")}); err != nil {
					return a, err
				}
			}
		}
		return a, nil
	}
}

// remembersRemoved refuses to add paths once one was removed.
func remembersRemoved() agent.FileHop {
	var removed atomic.Bool
	return func(call agent.FileCall, ask next) (agent.FileAnswer, error) {
		if call.Op != agent.WriteFile {
			return ask(call)
		}
		if adds, _ := path.Match(addPath, call.Path); adds && removed.Load() {
			return agent.FileAnswer{}, failure(call, syscall.EEXIST)
		}
		if removes, _ := path.Match(path.Join(clientPath, "remove_path"), call.Path); removes {
			removed.Store(true)
		}
		return ask(call)
	}
}

// looksConnected shows all paths as connected.
func looksConnected() agent.FileHop {
	return seen(func(files []agent.Content) []agent.Content {
		for i, file := range files {
			if path.Base(path.Dir(path.Dir(file.Path))) == "paths" {
				files[i].Bytes = []byte("connected\n")
			}
		}
		return files
	})
}

// comesBack connects a path again after it was disconnected.
func comesBack() agent.FileHop {
	return onCall(agent.WriteFile, path.Join(clientPath, "disconnect"), func(call agent.FileCall, ask next) (agent.FileAnswer, error) {
		a, err := ask(call)
		if err != nil {
			return a, err
		}
		return ask(agent.FileCall{Op: agent.WriteFile, Path: path.Join(path.Dir(call.Path), "reconnect"), Data: []byte("1")})
	})()
}

// swapped shows each address of a path in the file of the other.
func swapped() agent.FileHop {
	other := map[string]string{"src_addr": "dst_addr", "dst_addr": "src_addr"}
	return onCall(agent.ReadFile, path.Join(targetPath, "[sd][rs][ct]_addr"), func(call agent.FileCall, ask next) (agent.FileAnswer, error) {
		call.Path = path.Join(path.Dir(call.Path), other[path.Base(call.Path)])
		return ask(call)
	})()
}

// statistics are those that count otherwise.
func statistics() []row {
	return []row{
		initiator("counts-the-first-connect", "stats/reconnects counts the first connect",
			shows(reconnectCounter, always("1 0\n")), "IBTRS-SYSFS-013"),
		initiator("counts-no-reconnect", "the first number of stats/reconnects stays 0",
			shows(reconnectCounter, stays(0)), "IBTRS-SYSFS-022"),
		initiator("counts-no-failed-attempt", "the second number of stats/reconnects stays 0",
			shows(reconnectCounter, stays(1)), "IBTRS-SYSFS-023"),
		initiator("five-counters", "stats/rdma has no sixth number",
			shows(rdmaCounter, func(line string) string { return strings.Join(strings.Fields(line)[:5], " ") + "\n" }), "IBTRS-SYSFS-014"),
		initiator("counts-for-ever", "a statistics file cannot be reset",
			ignores(path.Join(clientPath, "stats", "*"), func(text string) bool { return text == "1" }), "IBTRS-SYSFS-015"),
		initiator("logs-every-failure", "the log has a line for each request that fails",
			logs(500), "IBNBD-FAIL-031").by("a thousand reads that fail because no path is left leave few lines in any log"),
		target("logs-flaps-at-length", "the log has a hundred lines for each path that is lost",
			logs(2000), "IBNBD-FAIL-034").by("twenty quick flaps of a path that the target ends leave it connected when it is told to reconnect"),
		initiator("counts-no-failover", "the sixth value of stats/rdma stays 0",
			shows(rdmaCounter, func(line string) string { return strings.Join(append(strings.Fields(line)[:5], "0"), " ") + "\n" }), "IBTRS-PATH-014"),
	}
}

// stays has a number of a line be 0 for ever.
func stays(number int) func(string) string {
	return func(line string) string {
		fields := strings.Fields(line)
		if number < len(fields) {
			fields[number] = "0"
		}
		return strings.Join(fields, " ") + "\n"
	}
}

// logs has the kernel's log have so many lines more before each that the suite writes into it.
func logs(lines int) func() agent.FileHop {
	return onCall(agent.WriteFile, "/dev/kmsg", func(call agent.FileCall, ask next) (agent.FileAnswer, error) {
		for range lines {
			if _, err := ask(agent.FileCall{Op: agent.WriteFile, Path: call.Path, Data: []byte("<6>a request has failed\n")}); err != nil {
				return agent.FileAnswer{}, err
			}
		}
		return ask(call)
	})
}
