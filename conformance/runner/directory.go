// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/ibnbd/ibnbd/conformance/kit"
	"github.com/ibnbd/ibnbd/conformance/verdict/report"
	"github.com/ibnbd/ibnbd/vm"
)

// machinesDir is where the consoles and kernel logs of the labs go, below the directory of the report; one for each worker.
const machinesDir = "machines"

// programsDir is where the programs of the reference are, below the directory of the report.
const programsDir = "programs"

// logName is the name of what a worker prints, below the directory of the report.
func logName(worker int) string { return fmt.Sprintf("worker-%d.log", worker) }

// occupy makes the directory of the report, keeps other runs out of it until release is called, and clears away what an
// earlier run has left there, so that nothing of that is taken for this run's; replaced says whether there was any. The lock is one of the kernel, on the
// directory itself: it ends with the process.
func occupy(name string) (release func(), replaced bool, err error) {
	if err := os.MkdirAll(name, 0o755); err != nil {
		return nil, false, refused(name, err)
	}
	if err := unix.Access(name, unix.W_OK|unix.X_OK); err != nil {
		return nil, false, refused(name, err)
	}
	dir, err := os.Open(name)
	if err != nil {
		return nil, false, refused(name, err)
	}
	switch err := unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB); {
	case errors.Is(err, unix.EWOULDBLOCK):
		dir.Close()
		return nil, false, refused(name, errors.New("another run is writing its report there"))
	case err != nil:
		dir.Close()
		return nil, false, refused(name, err)
	}
	if replaced, err = clearAway(name); err != nil {
		dir.Close()
		return nil, false, refused(name, err)
	}
	return func() { dir.Close() }, replaced, nil
}

func refused(name string, err error) error {
	return &vm.EnvironmentError{What: "cannot write the report to " + name, Err: err, Do: "choose another directory with --report"}
}

// clearAway removes what a run leaves in its directory. A directory without a journal is not one of ours, and is left alone.
func clearAway(dir string) (cleared bool, err error) {
	journal := filepath.Join(dir, report.JournalFile)
	if _, err := os.Lstat(journal); err != nil {
		return false, nil
	}
	left := []string{filepath.Join(dir, machinesDir), filepath.Join(dir, programsDir), filepath.Join(dir, kit.EvidenceDir)}
	for _, format := range report.Formats() {
		if format.File != "" {
			left = append(left, filepath.Join(dir, format.File))
		}
	}
	logs, err := filepath.Glob(filepath.Join(dir, "worker-*.log"))
	errs := []error{err}
	for _, name := range append(left, logs...) {
		errs = append(errs, os.RemoveAll(name))
	}
	// The journal goes last: it is what says that the rest is ours.
	return true, errors.Join(append(errs, os.Remove(journal))...)
}
