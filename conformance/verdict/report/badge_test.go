// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// kept is the outcome of a run that has kept its profile.
func kept() *verdict.Outcome {
	return &verdict.Outcome{
		Header: verdict.Header{
			Tool: "v1.2.3", Start: time.Date(2030, 1, 2, 0, 0, 0, 0, time.UTC),
			Subjects: []verdict.Subject{{Name: "acme-1"}, {Name: "acme-1", Configuration: "depth=1"}},
		},
		Areas: []verdict.AreaOutcome{{Clauses: []verdict.ClauseOutcome{
			{ID: "A-1", Verdict: verdict.Pass, Counts: verdict.Counts{verdict.Pass: 1}}, {ID: "A-2", Verdict: verdict.Skip}, {ID: "A-3", Verdict: verdict.NotApplicable},
		}}},
		Profile: &verdict.ProfileOutcome{Name: "acme <2> & sons", Clauses: 1},
	}
}

func TestBadge(t *testing.T) {
	var out bytes.Buffer
	if err := Badge(&out, kept()); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	decoder := xml.NewDecoder(&out)
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if data, is := token.(xml.CharData); is {
			text.Write(data)
		}
	}
	for _, want := range []string{"acme <2> & sons", "1 clauses hold | 1 of 2 judged | 2030-01-02 | v1.2.3", "acme-1, acme-1 with depth=1: every clause"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is not in %q", want, text.String())
		}
	}
}

func TestNoBadge(t *testing.T) {
	for want, change := range map[string]func(*verdict.Outcome){
		"has no profile":  func(o *verdict.Outcome) { o.Profile = nil },
		"was interrupted": func(o *verdict.Outcome) { o.Interrupted = true },
		"broken (exit cod": func(o *verdict.Outcome) {
			o.Exit = verdict.Exit{Code: verdict.ExitFails, Sentence: "1 MUST clause broken"}
		},
		"does not hold": func(o *verdict.Outcome) { o.Profile.Open = []verdict.ProfileClause{{ID: "A-2", Verdict: verdict.Skip}} },
	} {
		o := kept()
		change(o)
		var out bytes.Buffer
		var none *NoBadgeError
		if err := Badge(&out, o); !errors.As(err, &none) || !strings.Contains(err.Error(), want) || out.Len() > 0 {
			t.Errorf("%v, want %q; %d bytes", err, want, out.Len())
		}
	}
}
