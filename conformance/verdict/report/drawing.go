// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"strings"
	"time"

	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// Size of a plot in SVG units: the area of the curves, and a line of text for each event above it.
const (
	plotWidth  = 640
	plotHeight = 90
	plotLine   = 14
)

// plot is the series and events of a result over its time.
type plot struct {
	Width, Height int
	Top, Bottom   int // of the area of the curves
	Curves        []curve
	Events        []mark
	Span          time.Duration
}

type curve struct {
	Label  string
	Points string // for the points attribute of an SVG polyline
}

type mark struct {
	X, TextY float64
	Label    string
	AtEnd    bool // the label stands left of its line
}

// newPlot draws the series and timeline of a result; nil if it has neither.
func newPlot(r verdict.ResultOutcome) *plot {
	span := plotSpan(r)
	if span == 0 {
		return nil
	}
	p := &plot{Width: plotWidth, Top: plotLine*len(r.Timeline) + 4, Span: span}
	p.Bottom = p.Top + 8
	if len(r.Series) > 0 {
		p.Bottom = p.Top + plotHeight
	}
	p.Height = p.Bottom + plotLine + 4
	x := func(at time.Duration) float64 { return (plotWidth - 4) * float64(at) / float64(span) }
	for i, e := range r.Timeline {
		p.Events = append(p.Events, mark{
			X: x(e.At), TextY: float64(plotLine*(i+1) - 2), AtEnd: x(e.At) > plotWidth/2,
			Label: strings.TrimSpace(fmt.Sprintf("%s %s %s", seconds(e.At), e.Where, e.What)),
		})
	}
	for _, s := range r.Series {
		p.Curves = append(p.Curves, p.curve(s, x))
	}
	return p
}

// plotSpan is the time of the last thing to draw.
func plotSpan(r verdict.ResultOutcome) time.Duration {
	var last time.Duration
	for _, e := range r.Timeline {
		last = max(last, e.At)
	}
	for _, s := range r.Series {
		for _, point := range s.Points {
			last = max(last, point.At)
		}
	}
	return last
}

func (p *plot) curve(s verdict.Series, x func(time.Duration) float64) curve {
	highest := 0.0
	for _, point := range s.Points {
		highest = max(highest, point.Value)
	}
	var points strings.Builder
	for _, point := range s.Points {
		y := float64(p.Bottom)
		if highest > 0 {
			y -= float64(p.Bottom-p.Top) * point.Value / highest
		}
		fmt.Fprintf(&points, "%.1f,%.1f ", x(point.At), y)
	}
	return curve{Label: fmt.Sprintf("%s, up to %.4g %s", s.Name, highest, s.Unit), Points: strings.TrimSpace(points.String())}
}
