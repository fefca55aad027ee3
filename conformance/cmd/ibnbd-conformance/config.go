// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/ibnbd/ibnbd/conformance/clauses"
)

const configHelp = `--config names a YAML file with flags, to be kept beside the code of a target or an initiator; flags of the command line come before
it. Each key is the name of a flag, and a flag that may be given several times has a list:

  target: ip:10.0.0.66
  export: [ram0, ram1]
  allow-data-loss: [ram0, ram1]
  allow-outage: true
  control: ./hook            # this and other files: relative to the directory of the file
  configure: [queue-depth=512, queue-depth=1]
  profile: release.yaml

--profile names a YAML file with what must be seen to hold: clauses, or areas, which stand for their MUST clauses that apply:

  name: acme storage 2
  hold: [IBNBD-OPEN, IBTRS-HB-010]
  except:
    IBNBD-OPEN-022: needs what this target does not have`

// notInConfig are flags that make no sense in a file.
var notInConfig = []string{"config", "help"}

// filesInConfig are flags whose values are files, and the command whose first word is one.
var filesInConfig = []string{"baseline", "profile", "report", "control", "replay"}

// readConfig gives the flags that are not on the command line the values of a file; "" for none.
func readConfig(flags *pflag.FlagSet, name string) error {
	if name == "" {
		return nil
	}
	file, err := os.Open(name)
	if err != nil {
		return usagef("--config: %w", err)
	}
	defer file.Close()
	document, err := oneDocument(file)
	if err != nil {
		return usagef("--config %s: %w", name, err)
	}
	c := config{flags: flags, dir: filepath.Dir(name), typed: make(map[string]bool), lines: make(map[string]int)}
	flags.Visit(func(f *pflag.Flag) { c.typed[f.Name] = true })
	for i := 0; i+1 < len(document.Content); i += 2 {
		key, value := document.Content[i], document.Content[i+1]
		if err := c.set(key, value); err != nil {
			return usagef("--config %s: line %d: %w", name, key.Line, err)
		}
	}
	return nil
}

// oneDocument reads the mapping that a file consists of.
func oneDocument(r io.Reader) (*yaml.Node, error) {
	decoder := yaml.NewDecoder(r)
	var document, more yaml.Node
	switch err := decoder.Decode(&document); {
	case errors.Is(err, io.EOF):
		return nil, errors.New("it has no flag")
	case err != nil:
		return nil, err
	}
	if err := decoder.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, errors.New("it has more than one document")
	}
	if root := document.Content[0]; root.Kind == yaml.MappingNode {
		return root, nil
	}
	return nil, errors.New("line 1: it is no list of flags, a line NAME: VALUE for each")
}

// config is a configuration file that is being read.
type config struct {
	flags *pflag.FlagSet
	dir   string          // of the file
	typed map[string]bool // flags of the command line
	lines map[string]int  // of the keys so far
}

// set gives one flag its value.
func (c *config) set(key, value *yaml.Node) error {
	name := key.Value
	flag := c.flags.Lookup(name)
	if flag == nil || slices.Contains(notInConfig, name) {
		return fmt.Errorf("%q is not a flag that can stand in a file%s", name, c.suggestion(name))
	}
	if line := c.lines[name]; line != 0 {
		return fmt.Errorf("%s stands in line %d already", name, line)
	}
	c.lines[name] = key.Line
	values, err := c.values(flag, value)
	if err != nil || c.typed[name] {
		return err
	}
	for i := range values {
		values[i] = c.resolve(name, values[i])
	}
	if list, ok := flag.Value.(pflag.SliceValue); ok {
		flag.Changed = true
		err = list.Replace(values)
	} else {
		err = c.flags.Set(name, values[0])
	}
	if err != nil {
		return fmt.Errorf("%s: %q is not of the kind %s", name, strings.Join(values, ", "), flag.Value.Type())
	}
	return nil
}

// values are those of a flag: one, or any number if it may be given several times.
func (c *config) values(flag *pflag.Flag, value *yaml.Node) ([]string, error) {
	_, several := flag.Value.(pflag.SliceValue)
	nodes := []*yaml.Node{value}
	switch {
	case value.Kind == yaml.SequenceNode && several:
		nodes = value.Content
	case value.Kind == yaml.SequenceNode:
		return nil, fmt.Errorf("%s takes one value, and has a list", flag.Name)
	}
	var all []string
	for _, node := range nodes {
		if node.Kind != yaml.ScalarNode || node.Tag == "!!null" {
			return nil, fmt.Errorf("%s has no value that is a word or a number", flag.Name)
		}
		all = append(all, node.Value)
	}
	return all, nil
}

// resolve makes the name of a file one that is relative to the directory of the configuration. A command is a file if it has a slash,
// and otherwise a program that the shell would find; the baseline that comes with the program has a name that is none.
func (c *config) resolve(flag, value string) string {
	if !slices.Contains(filesInConfig, flag) || value == "" || filepath.IsAbs(value) || flag == "baseline" && value == "none" {
		return value
	}
	if flag != "control" {
		return filepath.Join(c.dir, value)
	}
	command, rest, _ := strings.Cut(value, " ")
	if !strings.Contains(command, "/") {
		return value
	}
	absolute, err := filepath.Abs(filepath.Join(c.dir, command))
	if err != nil {
		return value
	}
	return strings.TrimSpace(absolute + " " + rest)
}

func (c *config) suggestion(name string) string {
	var names []string
	c.flags.VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	if closest := clauses.Closest(strings.TrimLeft(name, "-"), names); closest != "" {
		return "; did you mean " + closest + "?"
	}
	return "; 'ibnbd-conformance run --help' lists them"
}
