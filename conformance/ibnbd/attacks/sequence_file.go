// SPDX-License-Identifier: Apache-2.0

package attacks

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/finding"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
)

// RandomSequences is the name of the attack that draws at random, and that runs a saved sequence again.
const RandomSequences = "random sequences of sessions, paths, devices and I/O"

// A saved sequence says what it is, and by which rules its steps are to be read.
const (
	sequenceFormat  = "ibnbd-conformance sequence"
	sequenceVersion = 1 // of the steps: one more whenever one of them does something else
	sequenceFile    = "sequence.json"
)

// savedSequence is a file with a sequence that has broken a clause.
type savedSequence struct {
	Format  string      `json:"format"`
	Version int         `json:"version"`
	Seed    uint64      `json:"seed"`   // that it was drawn from
	Broken  string      `json:"broken"` // clause
	Steps   []savedStep `json:"steps"`
}

// savedStep is a step, with the words and numbers that it is read by.
type savedStep struct {
	Does   string `json:"does"`
	Client int    `json:"client"`
	Path   int    `json:"path"`
	Device int    `json:"device"`
	Access string `json:"access"`
	Block  int    `json:"block"`
}

// accessModes are those that steps open devices with.
var accessModes = []ibnbd.AccessMode{ibnbd.ReadOnly, ibnbd.ReadWrite, ibnbd.Migration}

// attach adds the file with a sequence to the error of the clause that it has broken.
func attach(seed uint64, steps []step, broken error) error {
	var v *tester.Violation
	if !errors.As(broken, &v) {
		return broken
	}
	s := savedSequence{Format: sequenceFormat, Version: sequenceVersion, Seed: seed, Broken: v.Clause}
	for _, step := range steps {
		s.Steps = append(s.Steps, savedStep{
			Does: verbs[step.verb].name, Client: step.client, Path: step.rail, Device: step.device, Access: step.mode.String(), Block: step.place,
		})
	}
	content, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		return errors.Join(broken, err)
	}
	return &finding.Attached{Err: broken, Name: sequenceFile, Note: "the sequence, which --replay runs again", Content: append(content, '\n')}
}

// CheckSequence refuses what is not a sequence that can be run again.
func CheckSequence(saved []byte) error {
	_, _, err := parseSequence(saved)
	return err
}

// parseSequence gives the steps of a saved sequence, and the clause that it has broken.
func parseSequence(saved []byte) (steps []step, broken string, err error) {
	var s savedSequence
	if err := json.Unmarshal(saved, &s); err != nil || s.Format != sequenceFormat {
		return nil, "", fmt.Errorf("it is no saved sequence: its format must be %q", sequenceFormat)
	}
	if s.Version != sequenceVersion {
		return nil, "", fmt.Errorf("its version is %d, and this program runs sequences of version %d", s.Version, sequenceVersion)
	}
	decoder := json.NewDecoder(bytes.NewReader(saved))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&s); err != nil {
		return nil, "", fmt.Errorf("it cannot be read: %w", err)
	}
	if clauses := append([]string{Survival}, sequenceClauses...); !slices.Contains(clauses, s.Broken) {
		return nil, "", fmt.Errorf("broken %q is not one of %s", s.Broken, strings.Join(clauses, ", "))
	}
	if len(s.Steps) == 0 {
		return nil, "", errors.New("it has no steps")
	}
	for i, saved := range s.Steps {
		step, err := saved.step()
		if err != nil {
			return nil, "", fmt.Errorf("step %d: %w", i+1, err)
		}
		steps = append(steps, step)
	}
	return steps, s.Broken, nil
}

// step reads a step.
func (s savedStep) step() (step, error) {
	verb := slices.IndexFunc(verbs, func(v verb) bool { return v.name == s.Does })
	if verb < 0 {
		var known []string
		for _, v := range verbs {
			known = append(known, v.name)
		}
		return step{}, fmt.Errorf("does %q is not one of %s", s.Does, strings.Join(known, ", "))
	}
	mode := slices.IndexFunc(accessModes, func(m ibnbd.AccessMode) bool { return m.String() == s.Access })
	if mode < 0 {
		return step{}, fmt.Errorf("access %q is not one of %v", s.Access, accessModes)
	}
	for _, n := range []struct {
		name      string
		is, count int
	}{{"client", s.Client, sequenceClients}, {"path", s.Path, 2}, {"device", s.Device, 2}, {"block", s.Block, sequenceBlocks}} {
		if n.is < 0 || n.is >= n.count {
			return step{}, fmt.Errorf("%s %d is outside 0 to %d", n.name, n.is, n.count-1)
		}
	}
	return step{verb: verb, client: s.Client, rail: s.Path, device: s.Device, mode: accessModes[mode], place: s.Block}, nil
}

// replays is how often a saved sequence is run: a target ends a session in its own time, and what a sequence finds can depend on that.
const replays = 5

// replay runs a saved sequence. Where it goes well, the clause that it had broken holds in it, and nothing is said of the others.
func replay(ctx context.Context, t *tester.Tester, saved []byte) error {
	steps, broken, err := parseSequence(saved)
	if err != nil {
		return err
	}
	for range replays {
		if done, err := runSteps(ctx, t, steps); err != nil {
			return fmt.Errorf("a saved sequence, in step %d of %d: %w", len(done), len(steps), err)
		}
	}
	others := slices.DeleteFunc(slices.Clone(sequenceClauses), func(id string) bool { return id == broken })
	return &finding.Undecided{
		Reason: verdict.NotSelected, Survived: true, Only: others, Text: "a saved sequence was run again, for " + broken,
	}
}
