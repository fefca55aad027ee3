// SPDX-License-Identifier: Apache-2.0

package fio

import (
	"strings"
	"testing"
)

func TestBandwidth(t *testing.T) {
	for _, c := range []struct {
		report string
		want   int64
		err    string
	}{
		{report: `{"jobs": [{"read": {"bw_bytes": 4096}, "write": {"bw_bytes": 512}}]}`, want: 4608},
		{report: `{"jobs": []}`, err: "0 jobs"},
		{report: `fio: no such device`, err: "fio's report"},
	} {
		got, err := bandwidth([]byte(c.report))
		if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("bandwidth(%s) = %d, %v; want %d and an error with %q", c.report, got, err, c.want, c.err)
		}
	}
}

func TestShare(t *testing.T) {
	if got := Share([]int64{90, 10, 300}, []int64{100, 100, 100}); got != 0.9 {
		t.Errorf("the median of 0.9, 0.1 and 3 is %v", got)
	}
}
