// SPDX-License-Identifier: Apache-2.0

package verdict

import (
	"fmt"
	"strconv"
	"strings"
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
