// SPDX-License-Identifier: Apache-2.0

package ci_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// git runs git in a directory, as nobody in particular and without anybody's configuration.
func git(t *testing.T, dir string, env []string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = append(append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null", "GIT_AUTHOR_NAME=n",
		"GIT_AUTHOR_EMAIL=n@example.org", "GIT_COMMITTER_NAME=n", "GIT_COMMITTER_EMAIL=n@example.org"), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// TestBisect finds the commit that broke a driver in a small history, in which one commit cannot be built. A script that looks at the
// source stands in for the run.
func TestBisect(t *testing.T) {
	script, err := filepath.Abs("bisect")
	if err != nil {
		t.Fatal(err)
	}
	judge := filepath.Join(t.TempDir(), "judge")
	const looks = "#!/bin/sh\n[ \"$*\" = 'run --quiet --module-source .' ] || exit 2\n" +
		"grep -q syntax driver.c && exit 3\ngrep -q bug driver.c && exit 1\nexit 0\n"
	if err := os.WriteFile(judge, []byte(looks), 0o755); err != nil {
		t.Fatal(err)
	}
	env := []string{"IBNBD_CONFORMANCE=" + judge}
	dir := t.TempDir()
	git(t, dir, nil, "init", "-q")
	for _, state := range []string{"good", "better", "syntax", "best", "bug", "bug, polished", "syntax bug", "bug, documented"} {
		if err := os.WriteFile(filepath.Join(dir, "driver.c"), []byte(state+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		git(t, dir, nil, "add", "driver.c")
		git(t, dir, nil, "commit", "-q", "-m", "driver: "+state)
	}
	git(t, dir, nil, "bisect", "start", "HEAD", "HEAD~7")
	found := git(t, dir, env, "bisect", "run", script, "--module-source", ".")
	if !strings.Contains(found, "is the first bad commit") || !strings.Contains(git(t, dir, nil, "log", "-1", "--format=%s", "refs/bisect/bad"), "driver: bug\n") {
		t.Errorf("git bisect found another commit:\n%s", found)
	}
}

// TestBisectStopsAtWrongUsage: wrong flags are no reason to call a commit bad, or to skip all.
func TestBisectStopsAtWrongUsage(t *testing.T) {
	cmd := exec.Command("./bisect", "--no-such-flag")
	judge := filepath.Join(t.TempDir(), "judge")
	if err := os.WriteFile(judge, []byte("#!/bin/sh\nexit 2\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(os.Environ(), "IBNBD_CONFORMANCE="+judge)
	if err := cmd.Run(); cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != 128 {
		t.Errorf("%v, want exit code 128", err)
	}
}
