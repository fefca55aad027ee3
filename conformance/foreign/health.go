// SPDX-License-Identifier: Apache-2.0

package foreign

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// health is what is known of a subject's readiness for the next spec. A fault that keeps ordinary requests from being served is one
// finding, however many specs it keeps from what they are about.
type health struct {
	serves  func(context.Context) error // looks whether the subject serves an ordinary peer
	restart func(context.Context) error // has the hook restart it, and waits until it serves
	clause  string                      // that says that the subject serves
	names   []string                    // of exports: a fault is the same on each

	first   []failedRequest // each ordinary request that went wrong in its own way, and behind which spec
	unready int             // how many specs were kept from what they are about
	dead    error           // why nothing is tried any more; nil if it is
}

// failedRequest is an ordinary request that went wrong.
type failedRequest struct{ spec, what string }

// How much of one fault is enough.
const (
	few  = 3       // specs that it keeps from what they are about, before the subject is left alone for a while
	most = 2 * few // such specs, before the run ends
)

// calm is how long a subject is left alone that does not serve, and that nobody restarts.
var calm = 10 * time.Second

// after notes what a spec has found, has the subject brought back if it does not serve any more, and gives the results as they are
// to be reported.
func (h *health) after(ctx context.Context, results []verdict.Result) []verdict.Result {
	unready := slices.ContainsFunc(results, isUnready)
	if unready {
		h.unready++
		results = h.trace(results)
	}
	if unready || failed(results) {
		h.revive(ctx, results[0].Spec, unready)
	}
	if h.dead == nil && h.unready >= most {
		h.dead = fmt.Errorf("ordinary requests went wrong in %d specs", h.unready)
	}
	return results
}

// isUnready says whether a result is one of an ordinary request that went wrong.
func isUnready(r verdict.Result) bool {
	return r.Reason == verdict.NotReady || r.Reason == verdict.LeftBehind || r.Reason == verdict.AssertionFailed || r.Reason == verdict.SpecTimedOut
}

// trace leads what a spec could not try back to the first spec in which the same request went wrong. That one alone is a failure.
func (h *health) trace(results []verdict.Result) []verdict.Result {
	what := results[slices.IndexFunc(results, isUnready)].Message
	if i := h.known(what); i >= 0 {
		for j := range results {
			if r := &results[j]; isUnready(*r) {
				r.Verdict, r.Reason = verdict.Inconclusive, verdict.NotReady
				r.Message += fmt.Sprintf("; this went wrong first in %q", h.first[i].spec)
			}
		}
		return results
	}
	h.first = append(h.first, failedRequest{results[0].Spec, what})
	if !failed(results) && h.clause != "" {
		root := results[0]
		root.Clause, root.Verdict, root.Reason, root.Message = h.clause, verdict.Fail, verdict.AssertionFailed, what
		results = append(results, root)
	}
	return results
}

// known is the index of an ordinary request that went wrong in the same way before, on any export; -1 if there is none. Errors are
// wrapped: the last two parts of their text are the request and what became of it.
func (h *health) known(what string) int {
	what = h.plain(what)
	return slices.IndexFunc(h.first, func(f failedRequest) bool {
		before := h.plain(f.what)
		return strings.HasSuffix(what, before) || strings.HasSuffix(before, what) || lastParts(what) == lastParts(before)
	})
}

// plain is a text in which no export has a name.
func (h *health) plain(text string) string {
	words := strings.Split(text, " ")
	for i, word := range words {
		if name := strings.TrimRight(word, ":"); slices.Contains(h.names, name) {
			words[i] = "*" + word[len(name):]
		}
	}
	return strings.Join(words, " ")
}

// lastParts are the last two parts of a text that has colons between its parts.
func lastParts(text string) string {
	parts := strings.Split(text, ": ")
	return strings.Join(parts[max(0, len(parts)-2):], ": ")
}

// revive brings a subject back that does not serve behind a spec, if that is possible. Where nobody can restart it, it may still do
// what the next specs need, until some of them say otherwise.
func (h *health) revive(ctx context.Context, spec string, unready bool) {
	err := h.serves(ctx)
	if err == nil {
		return
	}
	if h.known(err.Error()) < 0 {
		h.first = append(h.first, failedRequest{spec, err.Error()}) // a broken clause has done this, and is found already
	}
	restarted := h.restart(ctx)
	if restarted == nil || unready && h.unready < few && errors.Is(restarted, ErrNotSupported) {
		return
	}
	if errors.Is(restarted, ErrNotSupported) && await(ctx, calm, h.serves) == nil {
		return
	}
	h.dead = fmt.Errorf("%w (%w)", err, restarted)
}

// missing is why no spec can run any more, as the reason of a SKIP and in words; "" if they can.
func (h *health) missing() (verdict.Reason, string) {
	switch {
	case h.dead == nil:
		return "", ""
	case errors.Is(h.dead, ErrNotSupported):
		return verdict.NoHook, fmt.Sprintf("it does not serve any more: %v", h.dead)
	}
	return verdict.NotReached, fmt.Sprintf("it does not serve any more: %v", h.dead)
}

// await asks until something succeeds, or its time is over.
func await(ctx context.Context, limit time.Duration, succeeds func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	const between = 200 * time.Millisecond // two questions
	again := time.NewTicker(between)
	defer again.Stop()
	for {
		err := succeeds(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("it does not serve within %s: %w", limit, err)
		case <-again.C:
		}
	}
}
