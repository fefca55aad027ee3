// SPDX-License-Identifier: Apache-2.0

package provocations_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ibnbd/ibnbd/conformance/srp/loopback"
	"github.com/ibnbd/ibnbd/conformance/srp/provocations"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/finding"
	"github.com/ibnbd/ibnbd/reference/srp"
)

// named is the provocation of a name.
func named(t *testing.T, name string) provocations.Provocation {
	t.Helper()
	all := provocations.All()
	i := slices.IndexFunc(all, func(c provocations.Provocation) bool { return c.Name == name })
	if i < 0 {
		t.Fatalf("there is no provocation %q", name)
	}
	return all[i]
}

// numberless is an initiator whose errors have no number that is known.
type numberless struct{ provocations.Initiator }

func (i numberless) Add(ctx context.Context, login string, t provocations.Times) (provocations.Disk, error) {
	d, err := i.Initiator.Add(ctx, login, t)
	if err != nil {
		return nil, unnumbered(err)
	}
	return numberlessDisk{d}, nil
}

type numberlessDisk struct{ provocations.Disk }

func (d numberlessDisk) Read(ctx context.Context, offset int64, size int) ([]byte, error) {
	b, err := d.Disk.Read(ctx, offset, size)
	return b, unnumbered(err)
}

func (d numberlessDisk) Write(ctx context.Context, offset int64, data []byte) error {
	return unnumbered(d.Disk.Write(ctx, offset, data))
}

func unnumbered(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%v: %w", err, provocations.ErrNoNumber)
}

// TestWithoutNumbers: where a number decides, a clause is left undecided without one; what is broken is broken nevertheless.
func TestWithoutNumbers(t *testing.T) {
	for name, want := range map[string]struct {
		rules  srp.InitiatorRules
		broken string // undecided if empty
	}{
		"fast_io_fail_tmo is 1 s":                  {},
		"sense data stands behind response data":   {},
		"sense data is longer than the response":   {},
		"a target rejects twelve logins":           {srp.InitiatorRules{KeepOffline: true}, "SRP-STATE-006"},
		"a target is back before fast_io_fail_tmo": {srp.InitiatorRules{RefuseBlocked: true}, "SRP-STATE-015"},
	} {
		t.Run(name, func(t *testing.T) {
			err := runAs(t, named(t, name), func(s *loopback.InitiatorSettings) { s.Rules = want.rules },
				func(i provocations.Initiator) provocations.Initiator { return numberless{i} })
			f := finding.Of(err)
			if want.broken == "" && (f.Undecided == nil || f.Undecided.Reason != verdict.NoHook) {
				t.Errorf("it ends with %v, it must be undecided", err)
			}
			if want.broken != "" && !breaks(f, want.broken) {
				t.Errorf("it ends with %v, it must have broken %s", err, want.broken)
			}
		})
	}
}

func breaks(f finding.Finding, clause string) bool {
	return slices.ContainsFunc(f.Broken, func(v *finding.Violation) bool { return v.Clause == clause })
}

// TestWaitsForAttempt: an attempt that ends by itself excuses nobody who waits for it.
func TestWaitsForAttempt(t *testing.T) {
	for name, want := range map[string]struct {
		rules  srp.InitiatorRules
		broken string
	}{
		"a login is not answered while fast_io_fail_tmo passes": {srp.InitiatorRules{WaitForAttempt: true}, "SRP-TMO-010"},
		"a port is deleted while its login is not answered":     {srp.InitiatorRules{NoCancel: true}, "SRP-RECON-018"},
	} {
		t.Run(name, func(t *testing.T) {
			err := run(t, named(t, name), func(s *loopback.InitiatorSettings) { s.Rules = want.rules })
			if !breaks(finding.Of(err), want.broken) {
				t.Errorf("it ends with %v, it must have broken %s", err, want.broken)
			}
		})
	}
}

// TestOneChannel: an initiator that makes one channel is not judged by what is about several.
func TestOneChannel(t *testing.T) {
	count := regexp.MustCompile(",ch_count=[0-9]+")
	tested := 0
	for _, c := range provocations.All() {
		if !slices.ContainsFunc(c.Clauses, func(id string) bool { return id == "SRP-CH-004" || id == "SRP-CH-005" || id == "SRP-CH-006" }) {
			continue
		}
		tested++
		t.Run(c.Name, func(t *testing.T) {
			err := run(t, c, func(s *loopback.InitiatorSettings) {
				s.Login = func(text string) (srp.LoginString, error) {
					return srp.ParseLoginString(count.ReplaceAllString(text, ""))
				}
			})
			if !errors.Is(err, provocations.ErrFewChannels) || len(finding.Of(err).Broken) > 0 {
				t.Errorf("it ends with %v, it must be undecided", err)
			}
		})
	}
	if tested != 3 {
		t.Errorf("%d provocations are about several channels, 3 were known", tested)
	}
}

// stubborn is an initiator whose reads cannot be given up.
type stubborn struct{ provocations.Initiator }

func (i stubborn) Add(ctx context.Context, login string, t provocations.Times) (provocations.Disk, error) {
	d, err := i.Initiator.Add(ctx, login, t)
	return stubbornDisk{d}, err
}

type stubbornDisk struct{ provocations.Disk }

func (d stubbornDisk) Read(ctx context.Context, offset int64, size int) ([]byte, error) {
	return d.Disk.Read(context.WithoutCancel(ctx), offset, size)
}

func TestNothingGivenUp(t *testing.T) {
	err := runAs(t, named(t, "data comes late for a read that was given up"), nil,
		func(i provocations.Initiator) provocations.Initiator { return stubborn{i} })
	if !errors.Is(err, provocations.ErrNoAbort) || len(finding.Of(err).Broken) > 0 {
		t.Errorf("it ends with %v, it must be undecided", err)
	}
}

// absent is an initiator that does not come to the second target.
type absent struct {
	provocations.Initiator
	adds *int
}

var errAbsent = errors.New("it stays away")

func (i absent) Add(ctx context.Context, login string, t provocations.Times) (provocations.Disk, error) {
	if *i.adds++; *i.adds == 2 {
		return nil, errAbsent
	}
	return i.Initiator.Add(ctx, login, t)
}

// TestNoLogin: who does not come to a target has not refused its answer.
func TestNoLogin(t *testing.T) {
	tested := 0
	for _, c := range provocations.All() {
		if !slices.Contains(c.Clauses, "SRP-LOGIN-025") {
			continue
		}
		tested++
		err := runAs(t, c, nil, func(i provocations.Initiator) provocations.Initiator { return absent{i, new(int)} })
		if finding.Of(err).Unready == nil || !errors.Is(err, errAbsent) {
			t.Errorf("%s: it ends with %v, an ordinary login has gone wrong", c.Name, err)
		}
	}
	if tested == 0 {
		t.Error("no provocation answers with a small limit")
	}
}

// TestTimeOver: what has not come when the time of the spec is over is laid to none of its clauses.
func TestTimeOver(t *testing.T) {
	c := named(t, "a target disconnects and is there again")
	synctest.Test(t, func(t *testing.T) {
		i, err := loopback.StartInitiator(c.Needs(), func(s *loopback.InitiatorSettings) { s.Rules.NoReconnect = true })
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		claims := finding.Claims{Clauses: append([]string{provocations.Survival}, c.Clauses...), Survival: provocations.Survival}
		for _, r := range finding.Judge(provocations.Execute(ctx, i.Setup(), c), claims, ctx.Err() != nil) {
			want := verdict.NotReady
			if r.Clause == provocations.Survival {
				want = verdict.SpecTimedOut
			}
			if r.Reason != want {
				t.Errorf("%s: %s %s, must be %s: %s", r.Clause, r.Verdict, r.Reason, want, r.Message)
			}
		}
		if err := i.Close(); err != nil {
			t.Error(err)
		}
	})
}

// curious is an initiator whose machine looks at a new disk after a while.
type curious struct{ provocations.Initiator }

func (i curious) Add(ctx context.Context, login string, t provocations.Times) (provocations.Disk, error) {
	d, err := i.Initiator.Add(ctx, login, t)
	if err == nil {
		time.AfterFunc(2*time.Second, func() { _, _ = d.Read(ctx, 0, 4096) })
	}
	return d, err
}

func TestNewDiskIsLookedAt(t *testing.T) {
	err := runAs(t, named(t, "nothing is asked for a while"), nil, func(i provocations.Initiator) provocations.Initiator { return curious{i} })
	if err != nil {
		t.Error(err)
	}
}
