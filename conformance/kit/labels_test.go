// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"reflect"
	"testing"
	"time"

	"github.com/onsi/ginkgo/v2"
)

func TestTakes(t *testing.T) {
	for name, c := range map[string]struct {
		longFirst string
		want      []any
	}{
		"in any order":   {"", []any{ginkgo.Label("takes:55s")}},
		"the long first": {"yes", []any{ginkgo.Label("takes:55s"), ginkgo.SpecPriority(55)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(LongFirst, c.longFirst)
			got := Takes(55)
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("Takes(55) = %v, want %v", got, c.want)
			}
			if takes := TakesOf(got[0].(ginkgo.Labels)); takes != 55*time.Second {
				t.Errorf("TakesOf() = %s", takes)
			}
		})
	}
}
