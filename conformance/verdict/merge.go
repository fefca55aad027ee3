// SPDX-License-Identifier: Apache-2.0

package verdict

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"
)

// Merge makes one run of its parts: shards, runs of one subject in several configurations, or both. All have the same subjects and
// the same selection. missing names the shards that are not there; without them, or when a part was interrupted, the whole
// counts as interrupted. What no part could judge in its configuration is judged where another one could.
func Merge(parts []Run) (run Run, missing []string, err error) {
	if len(parts) == 0 {
		return Run{}, nil, errors.New("there is nothing to merge")
	}
	first := parts[0].Header
	if first.Shard == nil && !first.configured() {
		return Run{}, nil, errors.New("run 1 is no shard of a run, and its subject has no configuration that tells it from others")
	}
	run.Header, run.Header.Shard = first, nil
	run.Header.Subjects, run.Header.Specs = nil, make(map[string][]string)
	there := make(map[string][]bool) // shards by configuration
	whole := true
	for i, part := range parts {
		if err := sameRun(first, part.Header); err != nil {
			return Run{}, nil, fmt.Errorf("run %d is not of the same run as run 1: %w", i+1, err)
		}
		if err := mark(there, part.Header); err != nil {
			return Run{}, nil, err
		}
		whole = whole && !part.Interrupted()
		run.add(part)
	}
	missing = absent(there)
	if !whole || len(missing) > 0 {
		run.End = time.Time{}
	}
	return run, missing, nil
}

// mark notes which shard a part is, in each of its configurations.
func mark(there map[string][]bool, h Header) error {
	shard := Shard{Index: 1, Count: 1}
	if h.Shard != nil {
		shard = *h.Shard
	}
	for _, configuration := range h.configurations() {
		if there[configuration] == nil {
			there[configuration] = make([]bool, shard.Count)
		}
		switch marks := there[configuration]; {
		case !marks[shard.Index-1]:
			marks[shard.Index-1] = true
		case h.Shard == nil:
			return fmt.Errorf("the configuration %s is there twice", configuration)
		default:
			return fmt.Errorf("%s is there twice", shardName(shard, configuration))
		}
	}
	return nil
}

// absent names the shards that are not there.
func absent(there map[string][]bool) (names []string) {
	for configuration, marks := range there {
		for i, marked := range marks {
			if !marked {
				names = append(names, shardName(Shard{Index: i + 1, Count: len(marks)}, configuration))
			}
		}
	}
	slices.Sort(names)
	return names
}

func shardName(s Shard, configuration string) string {
	if configuration == "" {
		return "shard " + s.String()
	}
	return fmt.Sprintf("shard %s of %s", s, configuration)
}

// configurations are those of the subjects, each once; one without a name where there is none.
func (h Header) configurations() []string {
	var all []string
	for _, s := range h.Subjects {
		if s.Configuration != "" && !slices.Contains(all, s.Configuration) {
			all = append(all, s.Configuration)
		}
	}
	if len(all) == 0 {
		return []string{""}
	}
	return all
}

func (h Header) configured() bool { return h.configurations()[0] != "" }

// add takes the results of a part over.
func (run *Run) add(part Run) {
	run.Results = append(run.Results, part.Results...)
	run.Torn = run.Torn || part.Torn
	if part.Header.Start.Before(run.Header.Start) {
		run.Header.Start = part.Header.Start
	}
	if part.End.After(run.End) {
		run.End = part.End
	}
	for _, s := range part.Header.Subjects {
		if !slices.ContainsFunc(run.Header.Subjects, func(known Subject) bool {
			return s.identity() == known.identity() && s.Configuration == known.Configuration
		}) {
			run.Header.Subjects = append(run.Header.Subjects, s)
		}
	}
	for clause, specs := range part.Header.Specs {
		for _, spec := range specs {
			if known := run.Header.Specs[clause]; !slices.Contains(known, spec) {
				run.Header.Specs[clause] = append(known[:len(known):len(known)], spec)
			}
		}
	}
}

// identity tells subjects apart, whatever they are configured with.
func (s Subject) identity() string { return fmt.Sprintf("%s %s (%s)", s.Role, s.Name, s.Dialect) }

// identities are those of the subjects of a run, each once.
func (h Header) identities() []string {
	var all []string
	for _, s := range h.Subjects {
		all = append(all, s.identity())
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// sameRun says what tells two headers of the parts of one run apart, if anything.
func sameRun(a, b Header) error {
	switch {
	case (a.Shard == nil) != (b.Shard == nil):
		return fmt.Errorf("one of them is a shard (%s), and the other is not", cmp.Or(a.Shard, b.Shard).String())
	case a.Shard != nil && a.Shard.Count != b.Shard.Count:
		return fmt.Errorf("it is a shard of %d, not of %d", b.Shard.Count, a.Shard.Count)
	case a.configured() != b.configured():
		return errors.New("one of them has a configuration, and the other has none")
	case a.Selection != b.Selection:
		return fmt.Errorf("its selection is %q, not %q", b.Selection, a.Selection)
	case a.Tool != b.Tool:
		return fmt.Errorf("it was made by version %s of the program, not by %s", b.Tool, a.Tool)
	case !slices.Equal(a.identities(), b.identities()):
		return errors.New("its subjects are others")
	case !slices.Equal(a.Baseline, b.Baseline):
		return errors.New("its baseline is another")
	case !reflect.DeepEqual(a.Profile, b.Profile):
		return errors.New("its profile is another")
	}
	return nil
}
