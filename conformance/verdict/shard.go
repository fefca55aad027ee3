// SPDX-License-Identifier: Apache-2.0

package verdict

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Shard is one of several parts into which a run was divided, each for a machine of its own.
type Shard struct {
	Index int `json:"index"` // from 1
	Count int `json:"count"`
}

// MostShards is how many parts a run may have.
const MostShards = 1000

// ParseShard reads INDEX/COUNT, such as 2/5.
func ParseShard(text string) (Shard, error) {
	index, count, slash := strings.Cut(text, "/")
	i, err1 := strconv.Atoi(index)
	n, err2 := strconv.Atoi(count)
	if !slash || err1 != nil || err2 != nil || i < 1 || n < i || n > MostShards {
		return Shard{}, fmt.Errorf("%q is not of the form INDEX/COUNT with 1 <= INDEX <= COUNT <= %d", text, MostShards)
	}
	return Shard{i, n}, nil
}

// String gives the form that ParseShard reads.
func (s Shard) String() string { return fmt.Sprintf("%d/%d", s.Index, s.Count) }

// Merge makes one run of the shards of a run: of the same subjects, by the same selection. missing are the indices of shards
// that are not there; without them, or when one of them was interrupted, the whole counts as interrupted.
func Merge(shards []Run) (run Run, missing []int, err error) {
	if len(shards) == 0 {
		return Run{}, nil, errors.New("there is nothing to merge")
	}
	first := shards[0].Header
	if first.Shard == nil {
		return Run{}, nil, errors.New("run 1 is no shard of a run")
	}
	there := make([]bool, first.Shard.Count+1)
	run.Header, run.Header.Shard = first, nil
	whole := true
	for i, shard := range shards {
		if err := sameRun(first, shard.Header); err != nil {
			return Run{}, nil, fmt.Errorf("run %d is not of the same run as run 1: %w", i+1, err)
		}
		index := shard.Header.Shard.Index
		if there[index] {
			return Run{}, nil, fmt.Errorf("shard %s is there twice", shard.Header.Shard)
		}
		there[index] = true
		whole = whole && !shard.Interrupted()
		run.add(shard)
	}
	for index := 1; index < len(there); index++ {
		if !there[index] {
			missing = append(missing, index)
		}
	}
	if !whole || len(missing) > 0 {
		run.End = time.Time{}
	}
	return run, missing, nil
}

// add takes the results of a shard over.
func (run *Run) add(shard Run) {
	run.Results = append(run.Results, shard.Results...)
	run.Torn = run.Torn || shard.Torn
	if shard.Header.Start.Before(run.Header.Start) {
		run.Header.Start = shard.Header.Start
	}
	if shard.End.After(run.End) {
		run.End = shard.End
	}
}

// sameRun says what tells two headers of the shards of one run apart, if anything.
func sameRun(a, b Header) error {
	name := func(s Subject) string { return fmt.Sprintf("%s %s (%s)", s.Role, s.Name, s.Dialect) }
	switch {
	case b.Shard == nil:
		return errors.New("it is no shard")
	case a.Shard.Count != b.Shard.Count:
		return fmt.Errorf("it is a shard of %d, not of %d", b.Shard.Count, a.Shard.Count)
	case a.Selection != b.Selection:
		return fmt.Errorf("its selection is %q, not %q", b.Selection, a.Selection)
	case a.Tool != b.Tool:
		return fmt.Errorf("it was made by version %s of the program, not by %s", b.Tool, a.Tool)
	case !slices.EqualFunc(a.Subjects, b.Subjects, func(x, y Subject) bool { return name(x) == name(y) }):
		return errors.New("its subjects are others")
	case !slices.Equal(a.Baseline, b.Baseline):
		return errors.New("its baseline is another")
	}
	return nil
}
