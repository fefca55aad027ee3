// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/specreport"
	"github.com/ibnbd/ibnbd/vm"
	"github.com/ibnbd/ibnbd/vm/agent"
)

// evidence is what is kept of one spec. Packets are always recorded, since nobody knows beforehand which spec will fail; what
// a passed spec has left is removed.
type evidence struct {
	dir        string // below the directory of the report
	reportDir  string
	recording  *vm.Recording
	kernelFrom map[*vm.Host]vm.Mark
}

// EvidenceDir is where the evidence of all specs is, below the directory of the report.
const EvidenceDir = "evidence"

// gather begins the evidence of a spec.
func gather(ctx context.Context, reportDir, spec string, lab *vm.Lab, hosts ...*vm.Host) (*evidence, error) {
	e := &evidence{reportDir: reportDir, dir: EvidenceOf(spec), kernelFrom: make(map[*vm.Host]vm.Mark)}
	// What an earlier run with the same report left must not be taken for this one's.
	if err := os.RemoveAll(e.path("")); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(e.path(""), 0o755); err != nil {
		return nil, err
	}
	var err error
	if e.recording, err = lab.Record(e.path(""), spec); err != nil {
		return nil, err
	}
	for _, h := range hosts {
		mark, err := h.KernelLog().Mark(ctx, spec)
		if err != nil {
			return nil, errors.Join(err, e.stop())
		}
		e.kernelFrom[h] = mark
	}
	return e, nil
}

// EvidenceOf is where the evidence of a spec is, below the directory of the report.
func EvidenceOf(spec string) string { return filepath.Join(EvidenceDir, fileName(spec)) }

// fileName makes a directory name out of a spec's: short enough for any file system, and still to be recognised. A name that has to be
// cut ends in a hash of the whole, because specs may differ at their ends alone.
func fileName(spec string) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_':
			return r
		default:
			return '-'
		}
	}, spec)
	const longest = 120
	if len(name) <= longest {
		return name
	}
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(spec)) // which never fails
	end := fmt.Sprintf("-%08x", hash.Sum32())
	return name[:longest-len(end)] + end
}

func (e *evidence) path(file string) string { return filepath.Join(e.reportDir, e.dir, file) }

// stop ends the recording.
func (e *evidence) stop() error { return e.recording.Close() }

// drop removes everything.
func (e *evidence) drop() error { return os.RemoveAll(e.path("")) }

// keepLogs adds what the subjects have said.
func (e *evidence) keepLogs(logs map[string][]byte) error {
	var errs []error
	for name, text := range logs {
		e.show(verdict.OtherFile, name, "what the program under test said")
		errs = append(errs, os.WriteFile(e.path(name), text, 0o644))
	}
	return errors.Join(errs...)
}

// keep adds the kernel logs and names all files for the record of the spec.
func (e *evidence) keep(hosts ...*vm.Host) error {
	for _, file := range e.recording.Paths() {
		e.show(verdict.Packets, filepath.Base(file), "")
	}
	var errs []error
	for _, h := range hosts {
		errs = append(errs, e.keepKernelLog(h))
	}
	return errors.Join(errs...)
}

func (e *evidence) show(kind verdict.EvidenceKind, file, note string) {
	specreport.Showed(verdict.Evidence{Kind: kind, Path: filepath.ToSlash(filepath.Join(e.dir, file)), Note: note})
}

func (e *evidence) keepKernelLog(h *vm.Host) error {
	file := h.Name() + ".kernel.log"
	var text strings.Builder
	records, err := h.KernelLog().Since(e.kernelFrom[h])
	if err != nil {
		fmt.Fprintln(&text, "not whole:", err)
	}
	for _, record := range records {
		fmt.Fprintf(&text, "%s boot %d %s\n", record.At.Format(time.RFC3339Nano), record.Boot, record)
	}
	e.show(verdict.KernelLog, file, "")
	return os.WriteFile(e.path(file), []byte(text.String()), 0o644)
}

// snapshot prints every readable file of sysfs directories, given by a pattern each, with the file's name in each line. Of the
// kernel's NBD devices only those that are connected say something.
func snapshot(dirs []string) string {
	return `for d in ` + strings.Join(dirs, " ") + `; do [ -e "$d" ] || continue; ` +
		`case $d in */nbd*) [ -e "$d/pid" ] || continue;; esac; ` +
		`find -H "$d" -type f -perm -444 | sort | xargs -r grep -H "" 2>&1; done; true`
}

// rdmaPorts are what the kernel says of RDMA devices: the state of each port, and what it counted there.
var rdmaPorts = []string{"/sys/class/infiniband/*/ports/*/hw_counters", "/sys/class/infiniband/*/ports/*/state"}

// keepSysfs keeps what the subjects and the RDMA devices show in sysfs now.
func (e *evidence) keepSysfs(ctx context.Context, hosts ...*vm.Host) error {
	for _, h := range hosts {
		if dead(h) {
			continue
		}
		result, err := h.Agent().Run(ctx, agent.Command{Path: "sh", Args: []string{"-c", snapshot(slices.Concat(env.protocol.SysfsDirs, rdmaPorts))}})
		if err != nil {
			return fmt.Errorf("snapshot of sysfs on %s: %w", h.Name(), err)
		}
		file := h.Name() + ".sysfs.txt"
		e.show(verdict.SysfsTree, file, "")
		if err := os.WriteFile(e.path(file), result.Stdout, 0o644); err != nil {
			return err
		}
	}
	return nil
}
