// SPDX-License-Identifier: Apache-2.0

package agent_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/ibnbd/ibnbd/vm/agent"
)

// TestAlteredFiles has a hop see every operation on files, turn what is asked and what is answered into something else, and go away.
func TestAlteredFiles(t *testing.T) {
	client, ctx, dir := newClient(t), testContext(t), t.TempDir()
	for name, content := range map[string]string{"one": "1", "two": "2"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	one, link := filepath.Join(dir, "one"), filepath.Join(dir, "link")
	if err := os.Symlink("one", link); err != nil {
		t.Fatal(err)
	}
	seen := make(map[agent.FileOp]bool)
	client.AlterFiles(func(call agent.FileCall, next func(agent.FileCall) (agent.FileAnswer, error)) (agent.FileAnswer, error) {
		seen[call.Op] = true
		call.Path = strings.Replace(call.Path, "one", "two", 1)
		a, err := next(call)
		a.Data = append(a.Data, '!')
		return a, err
	})
	if got, err := client.ReadFile(ctx, one); err != nil || string(got) != "2!" {
		t.Errorf("read %q, %v", got, err)
	}
	if err := client.WriteFile(ctx, one, []byte("3")); err != nil {
		t.Error(err)
	}
	if info, err := client.Stat(ctx, one); err != nil || info.Name != "two" {
		t.Errorf("stat %+v, %v", info, err)
	}
	if there, err := client.Exists(ctx, one); err != nil || !there {
		t.Errorf("exists %v, %v", there, err)
	}
	if infos, err := client.ReadDir(ctx, dir); err != nil || len(infos) != 3 {
		t.Errorf("directory %+v, %v", infos, err)
	}
	if to, err := client.Readlink(ctx, link); err != nil || to != "one" {
		t.Errorf("link to %q, %v", to, err)
	}
	if names, err := client.Glob(ctx, filepath.Join(dir, "o*")); err != nil || len(names) != 1 {
		t.Errorf("names %v, %v", names, err)
	}
	if files, err := client.ReadFiles(ctx, one); err != nil || len(files) != 1 || string(files[0].Bytes) != "1" {
		t.Errorf("files %+v, %v", files, err)
	}
	if len(seen) != 8 {
		t.Errorf("the hop has seen %v", seen)
	}

	client.AlterFiles(func(agent.FileCall, func(agent.FileCall) (agent.FileAnswer, error)) (agent.FileAnswer, error) {
		return agent.FileAnswer{}, syscall.EPERM
	})
	if _, err := client.ReadFile(ctx, one); !errors.Is(err, syscall.EPERM) {
		t.Errorf("read behind a hop that refuses: %v", err)
	}
	client.AlterFiles(nil)
	for name, want := range map[string]string{"one": "1", "two": "3"} {
		if got, err := client.ReadFile(ctx, filepath.Join(dir, name)); err != nil || string(got) != want {
			t.Errorf("%s holds %q, %v; must be %q", name, got, err, want)
		}
	}
}

// TestAlteredPrograms has a hop start another program, and go away.
func TestAlteredPrograms(t *testing.T) {
	client, ctx := newClient(t), testContext(t)
	said := func() string {
		text, err := client.Output(ctx, "echo", "one")
		if err != nil {
			t.Error(err)
		}
		return text
	}
	client.AlterPrograms(func(command agent.Command) agent.Command {
		command.Args = append(slices.Clone(command.Args), "two")
		return command
	})
	if got := said(); got != "one two\n" {
		t.Errorf("behind a hop: %q", got)
	}
	client.AlterPrograms(nil)
	if got := said(); got != "one\n" {
		t.Errorf("without the hop: %q", got)
	}
}
