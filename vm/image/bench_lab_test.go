// SPDX-License-Identifier: Apache-2.0

//go:build lab

package image

import (
	"testing"
)

// BenchmarkBuildWarm is what a lab pays for its image when nothing changed: compiling the agent, to no effect, and looking
// at apt's lists.
func BenchmarkBuildWarm(b *testing.B) {
	spec := Config{Modules: []string{"rnbd"}}
	if _, err := Build(b.Context(), spec, func(step string) { b.Log(step) }); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := Build(b.Context(), spec, nil); err != nil {
			b.Fatal(err)
		}
	}
}
