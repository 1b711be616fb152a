package drill

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"math"
	"slices"
	"time"

	"github.com/envdb/envdb"
)

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"clock": clock, "show": show, "share": share, "throughput": throughput,
}).Parse(pageText))

// HTML returns the report as one page that needs nothing else: no script, no
// font, no image from anywhere.
func (r *Report) HTML() ([]byte, error) {
	var w bytes.Buffer
	err := page.Execute(&w, struct {
		*Report
		Bars   []bar
		Legend []bar
		Trend  *lineChart
		Ladder *ladderChart
		Hash   string
	}{r, r.bars(), r.legend(), r.trendChart(), r.ladderChart(), orNone(r.Previous)})
	return w.Bytes(), err
}

// The charts are this wide; what follows are their insides.
const (
	chartWidth = 1000.0
	chartLeft  = 70.0
	chartRight = 20.0
)

// bar is a phase in the bar of phases.
type bar struct {
	Phase
	X, Width float64
	Share    float64
	Class    string
	Label    bool // there is room for its name
}

// bars lays the phases out along the time they took together. What a phase's
// parts explain of it is shown as its parts.
func (r *Report) bars() []bar {
	inner := chartWidth
	var all []bar
	x := 0.0
	for _, p := range r.leaves() {
		width := inner * share(p.Took, r.Elapsed) / 100
		all = append(all, bar{Phase: p, X: x, Width: width, Share: share(p.Took, r.Elapsed), Class: fmt.Sprintf("p%d", len(all)%8), Label: width > 12*float64(len(p.Name))})
		x += width
	}
	return all
}

// leaves are the phases without those that others are parts of; what the parts
// leave unexplained stays with the parent's name.
func (r *Report) leaves() []Phase {
	var all []Phase
	for _, p := range r.Phases {
		if p.Parent != "" {
			continue
		}
		rest := p
		var parts []Phase
		for _, part := range r.Phases {
			if part.Parent == p.Name {
				parts = append(parts, part)
				rest.Took -= part.Took
			}
		}
		all = append(all, parts...)
		if rest.Took > 0 && (len(parts) == 0 || share(rest.Took, r.Elapsed) > 0.5) {
			if len(parts) > 0 {
				rest.Name, rest.Bytes, rest.Rows = "rest of "+p.Name, 0, 0
			}
			all = append(all, rest)
		}
	}
	return all
}

// legend lists the phases, the longest first; what is short is one line.
func (r *Report) legend() []bar {
	all := r.bars()
	slices.SortStableFunc(all, func(a, b bar) int { return int(b.Took - a.Took) })
	var shown []bar
	others := bar{Class: "others"}
	count := 0
	for _, b := range all {
		if b.Share >= 1 {
			shown = append(shown, b)
			continue
		}
		count++
		others.Took, others.Share = others.Took+b.Took, others.Share+b.Share
	}
	if count > 0 {
		others.Name = plural(count, "other")
		shown = append(shown, others)
	}
	return shown
}

// lineChart is RTO over time against its objective.
type lineChart struct {
	Points  []dot
	Path    string
	Limit   float64 // y, or 0
	LimitAs string
	Ticks   []tick
	Bottom  float64
	From    string
	Until   string
	Warning string
}

type dot struct {
	X, Y  float64
	Class string
	Title string
}

type tick struct {
	At    float64
	Label string
}

const lineHeight, lineTop, lineBottom = 220.0, 15.0, 190.0

func (r *Report) trendChart() *lineChart {
	all := append(slices.Clone(r.Past), Past{Number: r.Number, At: r.Started, Outcome: r.Outcome, RTO: r.Measured.RTO})
	all = slices.DeleteFunc(all, func(p Past) bool { return p.RTO <= 0 })
	if len(all) < 2 {
		return nil
	}
	slices.SortFunc(all, func(a, b Past) int { return a.At.Compare(b.At) })
	first, last := all[0].At, all[len(all)-1].At
	top := r.Objectives.RTO
	for _, p := range all {
		top = max(top, p.RTO)
	}
	top += top / 10
	span := max(last.Sub(first), time.Second)
	x := func(t time.Time) float64 {
		return chartLeft + (chartWidth-chartLeft-chartRight)*float64(t.Sub(first))/float64(span)
	}
	y := func(d time.Duration) float64 {
		return lineBottom - (lineBottom-lineTop)*float64(d)/float64(top)
	}
	c := &lineChart{Bottom: lineBottom, From: first.UTC().Format("2006-01-02 15:04"), Until: last.UTC().Format("2006-01-02 15:04"), Warning: r.Trend.Warning()}
	for i, p := range all {
		d := dot{X: x(p.At), Y: y(p.RTO), Class: string(p.Outcome), Title: fmt.Sprintf("drill %d, %s: %s, %s", p.Number, clock(p.At), show(p.RTO), p.Outcome)}
		c.Points = append(c.Points, d)
		command := "L"
		if i == 0 {
			command = "M"
		}
		c.Path += fmt.Sprintf("%s%.1f %.1f ", command, d.X, d.Y)
	}
	if r.Objectives.RTO > 0 {
		c.Limit, c.LimitAs = y(r.Objectives.RTO), "objective "+show(r.Objectives.RTO)
	}
	for i := range 5 {
		d := top * time.Duration(i) / 4
		c.Ticks = append(c.Ticks, tick{y(d), show(d.Round(max(time.Millisecond, top/100)))})
	}
	return c
}

// ladderChart is what could be restored, by age on a logarithmic axis.
type ladderChart struct {
	Points []ladderDot
	Ticks  []tick
	Asked  float64 // x of the moment that was asked for, or 0
	Count  string
	Oldest string
}

type ladderDot struct {
	X, Width float64
	Class    string
	Title    string
}

func (r *Report) ladderChart() *ladderChart {
	if len(r.Ladder) == 0 {
		return nil
	}
	now := r.Started
	oldest := now
	for _, p := range r.Ladder {
		if p.At.Before(oldest) {
			oldest = p.At
		}
	}
	least, most := math.Log(30), math.Log(max(120, now.Sub(oldest).Seconds()*1.1))
	x := func(t time.Time) float64 {
		age := math.Log(max(30, now.Sub(t).Seconds()))
		return chartWidth - chartRight - (chartWidth-chartLeft-chartRight)*(age-least)/(most-least)
	}
	c := &ladderChart{Count: plural(len(r.Ladder), "restore point"), Oldest: show(now.Sub(oldest))}
	points := slices.Clone(r.Ladder)
	slices.SortStableFunc(points, func(a, b LadderPoint) int { // the chosen one is drawn over the others
		switch {
		case a.Chosen == b.Chosen:
			return 0
		case a.Chosen:
			return 1
		}
		return -1
	})
	for _, p := range points {
		d := ladderDot{X: x(p.At), Class: "point", Title: fmt.Sprintf("%s: %s, %s old", p.Backup, clock(p.At), show(now.Sub(p.At)))}
		if p.Until.After(p.At) {
			d.Width = x(p.Until) - d.X
			d.Title += ", unchanged until " + clock(p.Until)
		}
		if p.Proven {
			d.Class = "proven"
			d.Title += ", proven"
		}
		if p.Chosen {
			d.Class = "chosen"
			d.Title += ": the one that was restored"
		}
		c.Points = append(c.Points, d)
	}
	for _, age := range []time.Duration{time.Minute, 10 * time.Minute, time.Hour, 6 * time.Hour, envdb.Day, 7 * envdb.Day, 30 * envdb.Day, 365 * envdb.Day} {
		if math.Log(age.Seconds()) <= most {
			c.Ticks = append(c.Ticks, tick{x(now.Add(-age)), envdb.FormatDuration(age)})
		}
	}
	if !r.Asked.IsZero() {
		c.Asked = x(r.Asked)
	}
	return c
}
