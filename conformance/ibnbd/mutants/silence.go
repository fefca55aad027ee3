// SPDX-License-Identifier: Apache-2.0

package mutants

import (
	"context"
	"errors"
	"fmt"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/attacks"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/loopback"
	"github.com/ibnbd/ibnbd/conformance/mutant"
	"github.com/ibnbd/ibnbd/conformance/verdict/matrix"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
)

// silenceTrial is a server whose client falls silent.
type silenceTrial struct{ spoil func(b *bed) }

func deaf(name, what, clause string, spoil func(b *bed)) row {
	return row{mutant.Mutant{Name: name, What: what, Breaks: []string{clause}, Kind: matrix.Server, Trial: silenceTrial{spoil}, Slow: true}}
}

// silent are mutants of what a server does when it hears nothing.
func silent() []row {
	return []row{
		deaf("never-gives-up", "never declares a client dead", "IBTRS-HB-008", func(b *bed) { b.rules().IgnoreSilence = true }),
		deaf("gives-up-too-soon", "declares a client dead after two intervals", "IBTRS-HB-004", func(b *bed) { b.Transport.Timers.HeartbeatMisses = 2 }),
		deaf("keeps-the-device-of-the-dead", "counts a writer whose session is gone", "IBNBD-FAIL-008",
			rule(func(r *ibnbd.ServerRules) { r.KeepWriter = true })),
	}
}

func (t silenceTrial) Specs([]string) []mutant.Spec {
	return []mutant.Spec{{Name: "a client that falls silent is given up", Run: t.silence}}
}

// silence falls silent before a server of its own, whose timers are shorter than the real ones.
func (t silenceTrial) silence(ctx context.Context, on mutant.Subject) (mutant.Findings, error) {
	l, err := loopback.Start(func(cfg *ibnbd.ServerConfig) {
		cfg.Transport.Timers = slowTimers
		if on.Broken {
			t.spoil(newBed(cfg))
		}
	})
	if err != nil {
		return nil, fmt.Errorf("start a server: %w", err)
	}
	target := l.Target()
	target.Patience = on.Patience
	err = attacks.Silence{Timers: slowTimers}.Run(ctx, target)
	if closed := l.Close(); closed != nil && !on.Broken {
		err = errors.Join(err, fmt.Errorf("the server has left something behind: %w", closed))
	}
	return judged(ctx, err, on)
}
