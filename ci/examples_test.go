// SPDX-License-Identifier: Apache-2.0

// Package ci_test checks what is here for the continuous integration of others, as far as that goes without their services.
package ci_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// documents are the YAML documents of a file.
func documents(t *testing.T, file string) []map[string]any {
	t.Helper()
	content, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	var all []map[string]any
	decoder := yaml.NewDecoder(content)
	for {
		var one map[string]any
		if err := decoder.Decode(&one); err != nil {
			if len(all) == 0 || err.Error() != "EOF" {
				t.Fatalf("%s: %v", file, err)
			}
			return all
		}
		all = append(all, one)
	}
}

// at follows keys and indices into a document; what is not there fails the test.
func at[T any](t *testing.T, value any, path ...any) T {
	t.Helper()
	for i, key := range path {
		switch k := key.(type) {
		case string:
			m, _ := value.(map[string]any)
			value = m[k]
		case int:
			if list, _ := value.([]any); k < len(list) {
				value = list[k]
			} else {
				value = nil
			}
		}
		if value == nil {
			t.Fatalf("there is no %v", path[:i+1])
		}
	}
	typed, ok := value.(T)
	if !ok {
		t.Fatalf("%v is a %T, not a %T", path, value, typed)
	}
	return typed
}

// checkScript looks for mistakes in a shell script.
func checkScript(t *testing.T, script string) {
	t.Helper()
	cmd := exec.Command("shellcheck", "-s", "bash", "-")
	cmd.Stdin = strings.NewReader("#!/bin/bash\n" + script)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s\n%s", err, script, out)
	}
}

const workflow = "github/conformance.yml"

// TestWorkflow checks what GitHub would refuse, and what it would do without a word: an input that nobody declares, or one that
// goes into a script by its text.
func TestWorkflow(t *testing.T) {
	text, err := os.ReadFile(workflow)
	if err != nil {
		t.Fatal(err)
	}
	doc := documents(t, workflow)[0]
	inputs := at[map[string]any](t, doc, "on", "workflow_call", "inputs")
	for name := range inputs {
		at[string](t, inputs, name, "description")
		at[string](t, inputs, name, "type")
		if !strings.Contains(string(text), "inputs."+name) {
			t.Errorf("the input %s is not used", name)
		}
	}
	for _, used := range regexp.MustCompile(`inputs\.([a-z]+)`).FindAllStringSubmatch(string(text), -1) {
		if inputs[used[1]] == nil {
			t.Errorf("the input %s is not declared", used[1])
		}
	}
	jobs := at[map[string]any](t, doc, "jobs")
	for name := range jobs {
		at[string](t, jobs, name, "runs-on")
		at[int](t, jobs, name, "timeout-minutes")
		for _, step := range at[[]any](t, jobs, name, "steps") {
			checkStep(t, step.(map[string]any))
		}
	}
	if need := at[string](t, jobs, "report", "needs"); jobs[need] == nil {
		t.Errorf("the job report needs %s, which is not there", need)
	}
}

func checkStep(t *testing.T, step map[string]any) {
	t.Helper()
	uses, isAction := step["uses"].(string)
	script, isScript := step["run"].(string)
	switch {
	case isAction == isScript:
		t.Errorf("a step must either use an action or run a script: %v", step)
	case isAction && !regexp.MustCompile(`^[\w-]+/[\w-]+@v\d+$`).MatchString(uses):
		t.Errorf("%q is not an action with its version", uses)
	case isScript && strings.Contains(script, "${{"):
		t.Errorf("text goes into a script: %s", script)
	case isScript:
		checkScript(t, script)
	}
}

// TestWorkflowScripts runs the scripts that divide the run and put it together, with a command that tells how it is called.
func TestWorkflowScripts(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "build", "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, shard := range []string{"shard-1", "shard-2"} {
		if err := os.MkdirAll(filepath.Join(dir, "shards", shard), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	echo := []byte("#!/bin/sh\necho \"$@\"\n")
	if err := os.WriteFile(filepath.Join(dir, "build", "bin", "ibnbd-conformance"), echo, 0o755); err != nil {
		t.Fatal(err)
	}
	jobs := at[map[string]any](t, documents(t, workflow)[0], "jobs")
	for _, c := range []struct{ job, step, want string }{
		{"judge", "judge", "run --shard 2/4 --report shard-2 --target reference --mtu 1500\n"},
		{"report", "merge", "report merge --dir report shards/shard-1 shards/shard-2\n"},
	} {
		cmd := exec.Command("bash", "-e", "-c", scriptOf(t, jobs, c.job, c.step))
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "INDEX=1", "COUNT=4", "FLAGS=--target reference --mtu 1500")
		if out, err := cmd.CombinedOutput(); err != nil || string(out) != c.want {
			t.Errorf("%s: %v: %q, want %q", c.step, err, out, c.want)
		}
	}
}

func scriptOf(t *testing.T, jobs map[string]any, job, name string) string {
	t.Helper()
	for _, step := range at[[]any](t, jobs, job, "steps") {
		if step := step.(map[string]any); step["name"] == name {
			return step["run"].(string)
		}
	}
	t.Fatalf("the job %s has no step %s", job, name)
	return ""
}

func TestIndexedJob(t *testing.T) {
	docs := documents(t, "kubernetes/indexed-job.yaml")
	job, claim := docs[0], docs[1]
	for _, doc := range docs {
		at[string](t, doc, "apiVersion")
		at[string](t, doc, "metadata", "name")
	}
	if at[string](t, job, "kind") != "Job" || at[string](t, job, "spec", "completionMode") != "Indexed" {
		t.Error("the first document is no indexed job")
	}
	completions := at[int](t, job, "spec", "completions")
	pod := at[map[string]any](t, job, "spec", "template", "spec")
	if policy := at[string](t, pod, "restartPolicy"); policy != "Never" && policy != "OnFailure" {
		t.Errorf("a job's pods cannot be restarted %s", policy)
	}
	container := at[map[string]any](t, pod, "containers", 0)
	if shards := at[string](t, container, "env", 0, "value"); shards != fmt.Sprint(completions) {
		t.Errorf("%d completions, and %s shards", completions, shards)
	}
	volumes := make(map[any]bool)
	for i := range at[[]any](t, pod, "volumes") {
		volumes[at[string](t, pod, "volumes", i, "name")] = true
	}
	for i := range at[[]any](t, container, "volumeMounts") {
		if name := at[string](t, container, "volumeMounts", i, "name"); !volumes[name] {
			t.Errorf("the volume %s is not declared", name)
		}
	}
	if at[string](t, pod, "volumes", 0, "persistentVolumeClaim", "claimName") != at[string](t, claim, "metadata", "name") {
		t.Error("the claim of the pods is another")
	}
	script := at[string](t, container, "args", 0)
	checkScript(t, script)
	stub := program(t, "ibnbd-conformance", `echo "$@"`)
	cmd := exec.Command("sh", "-c", script)
	cmd.Env = append(os.Environ(), "JOB_COMPLETION_INDEX=3", "SHARDS=4", stub)
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "run --workers 1 --shard 4/4 --report /reports/shard-4\n" {
		t.Errorf("%v: %s", err, out)
	}
}

// program makes a program of a shell script, and gives a PATH on which it comes first.
func program(t *testing.T, name, script string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return "PATH=" + dir + ":" + os.Getenv("PATH")
}

// instruction is one line of a container file, with those that continue it.
var instruction = regexp.MustCompile(`(?m)^([A-Z]+) (.*)$`)

// TestContainerfile checks that what is copied and built is there, and that every stage that is named exists.
func TestContainerfile(t *testing.T) {
	text, err := os.ReadFile("container/Containerfile")
	if err != nil {
		t.Fatal(err)
	}
	stages := make(map[string]bool)
	for _, line := range instruction.FindAllStringSubmatch(string(text), -1) {
		words := strings.Fields(line[2])
		switch line[1] {
		case "FROM":
			if i := slices.Index(words, "AS"); i > 0 {
				stages[words[i+1]] = true
			}
		case "COPY":
			if from, ok := strings.CutPrefix(words[0], "--from="); ok && !stages[from] {
				t.Errorf("there is no stage %s above %q", from, line[0])
			}
		case "RUN":
			checkScript(t, line[2])
			checkPackages(t, words)
		}
	}
	for _, stage := range []string{"build", "lab", "conformance"} {
		if !stages[stage] {
			t.Errorf("there is no stage %s", stage)
		}
	}
}

// checkPackages looks whether the packages that a command names are there.
func checkPackages(t *testing.T, words []string) {
	t.Helper()
	for _, word := range words {
		if !strings.HasPrefix(word, "./") {
			continue
		}
		if _, err := os.Stat(filepath.Join("..", word, "main.go")); err != nil {
			t.Errorf("%s is no program: %v", word, err)
		}
	}
}

func TestLAVADefinition(t *testing.T) {
	doc := documents(t, "lava/conformance.yaml")[0]
	if format := at[string](t, doc, "metadata", "format"); format != "Lava-Test Test Definition 1.0" {
		t.Errorf("format %q", format)
	}
	if name := at[string](t, doc, "metadata", "name"); strings.Contains(name, " ") {
		t.Errorf("the name %q has a blank", name)
	}
	at[string](t, doc, "metadata", "description")
	var steps []string
	for i := range at[[]any](t, doc, "run", "steps") {
		steps = append(steps, at[string](t, doc, "run", "steps", i))
	}
	var params []string
	for name, value := range at[map[string]any](t, doc, "params") {
		params = append(params, fmt.Sprintf("%s='%v'", name, value))
	}
	checkScript(t, "# shellcheck disable=SC2086,SC2034\ntrue\n"+strings.Join(append(params, steps...), "\n"))
}

// TestLAVAReport gives a report of every verdict, and expects a test case for each clause.
func TestLAVAReport(t *testing.T) {
	cmd := exec.Command("lava/report", "../conformance/verdict/report/testdata/every-verdict/report.ktap")
	cmd.Env = append(os.Environ(), program(t, "lava-test-case", `echo "$@"`))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	want := `TEST-DISK-001 --result skip
TEST-WIRE-001 --result pass
TEST-WIRE-002 --result fail
TEST-WIRE-003 --result unknown
TEST-WIRE-004 --result unknown
TEST-WIRE-005 --result skip
TEST-WIRE-006 --result fail
TEST-WIRE-007 --result fail
TEST-WIRE-008 --result skip
TEST-WIRE-009 --result skip
TEST-WIRE-010 --result skip
TEST-WIRE-011 --result skip
`
	if string(out) != want {
		t.Errorf("got:\n%s\nwant:\n%s", out, want)
	}
}

// check stands for the script of that name of blktests, as far as the group ibnbd asks for it: it reads the group and a test,
// asks both what they require, runs the test, and compares its output.
const check = `
declare -a SKIP_REASONS
. "tests/${TEST_NAME%/*}/rc"
group_requires
. "tests/$TEST_NAME"
[[ -n $DESCRIPTION ]] || echo "no description"
if declare -fF requires >/dev/null; then requires; fi
mkdir -p "$RESULTS_DIR/${TEST_NAME%/*}"
FULL="$RESULTS_DIR/$TEST_NAME.full"
if ((${#SKIP_REASONS[@]} == 0)); then
	test >"$RESULTS_DIR/$TEST_NAME.out" 2>&1
fi
if ((${#SKIP_REASONS[@]})); then
	printf 'not run: %s\n' "${SKIP_REASONS[@]}"
else
	diff "tests/$TEST_NAME.out" "$RESULTS_DIR/$TEST_NAME.out" && echo passed
fi
`

// commonRC stands for the helpers of blktests.
const commonRC = `_have_program() {
	command -v "$1" >/dev/null || SKIP_REASONS+=("$1 is not available")
}
`

// blktests is a directory like that of blktests, with the group ibnbd and the programs of this checkout.
type blktests struct{ dir, path string }

func newBlktests(t *testing.T) blktests {
	t.Helper()
	b := blktests{dir: t.TempDir()}
	programs := filepath.Join(b.dir, "programs")
	build := exec.Command("go", "build", "-o", programs+"/", "../conformance/cmd/ibnbd-conformance", "../reference/cmd/ibnbd-server")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	b.path = "PATH=" + programs + ":" + os.Getenv("PATH")
	if err := os.CopyFS(b.dir, os.DirFS("blktests")); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(b.dir, "common"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(b.dir, "common", "rc"), []byte(commonRC), 0o644); err != nil {
		t.Fatal(err)
	}
	return b
}

// serve starts a target on an address.
func (b blktests) serve(t *testing.T, address string) {
	t.Helper()
	server := exec.CommandContext(t.Context(), filepath.Join(b.dir, "programs", "ibnbd-server"), "--listen", address,
		"--export", "ram0=mem:4M", "--export", "ram1=mem:4M", "--control", filepath.Join(b.dir, "socket"))
	log, err := server.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	said := make([]byte, 64<<10)
	for n := 0; !bytes.Contains(said[:n], []byte("listening")); {
		more, err := log.Read(said[n:])
		if n += more; err != nil {
			t.Fatalf("%v: %s", err, said[:n])
		}
	}
	go func() { // a full pipe would stop it
		for err := error(nil); err == nil; {
			_, err = log.Read(said)
		}
	}()
}

// check runs one test.
func (b blktests) check(t *testing.T, name string, env ...string) string {
	t.Helper()
	cmd := exec.Command("bash", "-c", check)
	cmd.Dir = b.dir
	cmd.Env = append(append(os.Environ(), b.path, "TEST_NAME="+name, "RESULTS_DIR="+filepath.Join(b.dir, "results")), env...)
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState.ExitCode() > 1 {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

func TestBlktestsGroup(t *testing.T) {
	b := newBlktests(t)
	const target, source = "127.77.5.2", "127.77.5.1"
	b.serve(t, target)
	env := []string{"IBNBD_TARGET=" + target, "IBNBD_EXPORT=ram0,ram1", "IBNBD_FLAGS=--source " + source}
	for _, name := range []string{"ibnbd/001", "ibnbd/002", "ibnbd/003"} {
		if got := b.check(t, name, env...); got != "passed\n" {
			t.Errorf("%s: %s", name, got)
		}
		if _, err := os.Stat(filepath.Join(b.dir, "results", name+"-report", "report.html")); err != nil {
			t.Error(err)
		}
	}
	if got := b.check(t, "ibnbd/001"); !strings.HasPrefix(got, "not run: IBNBD_TARGET and IBNBD_EXPORT do not name") {
		t.Errorf("without a target: %s", got)
	}
	env[0] = "IBNBD_TARGET=127.77.5.3"
	if got := b.check(t, "ibnbd/001", append(env, "IBNBD_FLAGS=--patience 200ms --source "+source)...); !strings.Contains(got, "> ibnbd-conformance ended with status 3: ") {
		t.Errorf("with a target that is not there: %s", got)
	}
}
