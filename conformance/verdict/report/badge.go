// SPDX-License-Identifier: Apache-2.0

package report

import (
	"embed"
	"fmt"
	"html/template"
	"io"
	"strings"

	"github.com/ibnbd/ibnbd/conformance/verdict"
)

//go:embed badge.svg.tmpl
var badges embed.FS

// badge is badge.svg.tmpl. The template package escapes for HTML, whose rules for text hold in SVG as well.
var badge = template.Must(template.ParseFS(badges, "badge.svg.tmpl"))

// badgeView is what the badge shows.
type badgeView struct {
	Left, Right, Title string
	Split, Width       int // columns in pixels
}

// Width of the letters of the badge and of the space around a text, in pixels.
const letterWidth, letterSpace = 7, 10

// NoBadgeError says why a run has no badge.
type NoBadgeError struct{ Why string }

// Error is the sentence for the user.
func (e *NoBadgeError) Error() string { return "no badge: " + e.Why }

// Badge writes an SVG image which says that the run has kept its profile: for which subject, by which version of the suite, when, and how
// many of the clauses that apply were judged. The error is a *NoBadgeError unless every clause of the profile was seen to hold in a
// run that holds as a whole.
func Badge(w io.Writer, o *verdict.Outcome) error {
	if why := badgeless(o); why != "" {
		return &NoBadgeError{why}
	}
	var subjects []string
	for _, s := range o.Header.Subjects {
		name := s.Name
		if s.Configuration != "" {
			name += " with " + s.Configuration
		}
		subjects = append(subjects, name)
	}
	decided, applicable := o.Judged()
	v := badgeView{
		Left: o.Profile.Name,
		Right: fmt.Sprintf("%d clauses hold | %d of %d judged | %s | %s", o.Profile.Clauses, decided, applicable,
			o.Header.Start.UTC().Format("2006-01-02"), o.Header.Tool),
		Title: fmt.Sprintf("%s: every clause of profile %q holds (%d), %d of %d applicable clauses judged on %s by version %s of ibnbd-conformance",
			strings.Join(subjects, ", "), o.Profile.Name, o.Profile.Clauses, decided, applicable, o.Header.Start.UTC().Format("2006-01-02"), o.Header.Tool),
	}
	v.Split = widthOf(v.Left)
	v.Width = v.Split + widthOf(v.Right)
	if err := badge.Execute(w, v); err != nil {
		return fmt.Errorf("write badge: %w", err)
	}
	return nil
}

func widthOf(text string) int { return letterWidth*len([]rune(text)) + letterSpace }

// LeftText is the width of the text on the left.
func (v badgeView) LeftText() int { return v.Split - letterSpace }

// RightText is the width of the text on the right.
func (v badgeView) RightText() int { return v.Width - v.Split - letterSpace }

// RightWidth is the width of the field on the right.
func (v badgeView) RightWidth() int { return v.Width - v.Split }

// LeftAt is where the text on the left begins.
func (v badgeView) LeftAt() int { return letterSpace / 2 }

// RightAt is where the text on the right begins.
func (v badgeView) RightAt() int { return v.Split + letterSpace/2 }

// badgeless is why a run has no badge, "" if it has one.
func badgeless(o *verdict.Outcome) string {
	switch {
	case o.Profile == nil:
		return "the run has no profile that says which clauses must hold"
	case o.Interrupted:
		return "the run was interrupted"
	case o.Exit.Code != verdict.ExitHolds:
		return fmt.Sprintf("the run does not hold: %s (exit code %d)", o.Exit.Sentence, o.Exit.Code)
	case !o.Profile.Holds():
		return fmt.Sprintf("profile %q does not hold", o.Profile.Name)
	}
	return ""
}
