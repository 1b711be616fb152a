package drill

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
)

// At says which restore point a drill takes. Its zero value is the latest.
type At struct {
	kind atKind
	// span is how far back a random moment may lie.
	span time.Duration
	// text is a point as people type it. It is read when the drill begins: t-1d
	// means another moment every day.
	text string
}

type atKind int

const (
	atPoint atKind = iota
	atOldest
	atRandom
	atEachRung
	atLongestUnproven
)

// AtForms says what an At may be.
const AtForms = `write t-1d, latest, oldest, "random 30d", each-rung, longest-unproven, a backup id or "2026-11-20 14:05"`

// ParseAt returns the At that text names. A point is read in loc, as
// envdb.ParsePoint does; one that lies ahead of now is refused.
func ParseAt(text string, now time.Time, loc *time.Location) (At, error) {
	text = strings.TrimSpace(text)
	switch text {
	case "", "latest":
		return At{}, nil
	case "oldest":
		return At{kind: atOldest}, nil
	case "each-rung":
		return At{kind: atEachRung}, nil
	case "longest-unproven":
		return At{kind: atLongestUnproven}, nil
	}
	if span, ok := strings.CutPrefix(text, "random "); ok {
		d, err := envdb.ParseDuration(strings.TrimSpace(span))
		if err != nil || d <= 0 {
			return At{}, envdb.Fail(envdb.ErrMisuse, "%q is no time to choose from", text).WithNext("write e.g. random 30d")
		}
		return At{kind: atRandom, span: d}, nil
	}
	if _, err := envdb.ParsePoint(text, now, loc); err != nil {
		problem := envdb.Fail(envdb.ErrMisuse, "%w", err)
		return At{}, problem.WithNext(AtForms)
	}
	return At{text: text}, nil
}

// String returns a as ParseAt reads it.
func (a At) String() string {
	switch a.kind {
	case atOldest:
		return "oldest"
	case atRandom:
		return "random " + envdb.FormatDuration(a.span)
	case atEachRung:
		return "each-rung"
	case atLongestUnproven:
		return "longest-unproven"
	}
	if a.text == "" {
		return "latest"
	}
	return a.text
}

// Choosing is what a choice is made from.
type Choosing struct {
	Backups []backup.Backup
	// Rungs are the intervals of the ladder, if there is one.
	Rungs []time.Duration
	// Before is how many drills of this name there were: each-rung goes round.
	Before int
	Now    time.Time
	// Zone is where a point without an offset is read.
	Zone *time.Location
	// Seed decides a random choice, so that it can be made again.
	Seed uint64
}

// Choice is the point that a drill asks for, and why.
type Choice struct {
	Point envdb.Point
	Why   string
}

// Choose returns what a drill asks for. Which backup answers it is
// restore.Resolve's to say; only oldest and longest-unproven name one.
func (a At) Choose(c Choosing) (Choice, error) {
	switch a.kind {
	case atOldest:
		return a.byAge(c, func(backup.Backup) bool { return true }, "the oldest backup that can be restored")
	case atLongestUnproven:
		if choice, err := a.byAge(c, func(b backup.Backup) bool { return !b.Proven }, "the oldest backup that no drill has proven"); err == nil {
			return choice, nil
		}
		return Choice{Point: envdb.Latest(), Why: "every backup is proven; so the newest"}, nil
	case atRandom:
		return a.random(c)
	case atEachRung:
		if len(c.Rungs) == 0 {
			return Choice{}, envdb.Fail(envdb.ErrMisuse, "each-rung needs a ladder, and the environment has none").WithNext(AtForms)
		}
		rung := c.Rungs[c.Before%len(c.Rungs)]
		return Choice{
			Point: envdb.At(c.Now.Add(-rung)),
			Why:   fmt.Sprintf("rung %s, the %d. of %d", envdb.FormatDuration(rung), c.Before%len(c.Rungs)+1, len(c.Rungs)),
		}, nil
	}
	point, err := envdb.ParsePoint(a.String(), c.Now, c.Zone)
	return Choice{Point: point, Why: "as asked"}, err
}

func (a At) byAge(c Choosing, fits func(backup.Backup) bool, why string) (Choice, error) {
	var best *backup.Backup
	for i := range c.Backups {
		b := &c.Backups[i]
		if b.Usable() && fits(*b) && (best == nil || b.Manifest.Point.Before(best.Manifest.Point)) {
			best = b
		}
	}
	if best == nil {
		return Choice{}, envdb.Fail(envdb.ErrNotFound, "there is no backup that could be restored").WithState("nothing was changed").WithNext("take one with envdb backup, or see what is wrong with each: envdb backups")
	}
	return Choice{Point: envdb.AtBackup(best.ID()), Why: why}, nil
}

// random returns a moment within the span that something can answer.
func (a At) random(c Choosing) (Choice, error) {
	usable := slices.DeleteFunc(slices.Clone(c.Backups), func(b backup.Backup) bool { return !b.Usable() })
	if len(usable) == 0 {
		return a.byAge(c, func(backup.Backup) bool { return true }, "")
	}
	oldest := slices.MinFunc(usable, func(x, y backup.Backup) int { return x.Manifest.Point.Compare(y.Manifest.Point) }).Manifest.Point
	span := min(a.span, c.Now.Sub(oldest))
	back := time.Duration(0)
	if span > 0 {
		back = time.Duration(rand.New(rand.NewPCG(c.Seed, 0)).Int64N(int64(span))).Truncate(time.Second)
	}
	return Choice{
		Point: envdb.At(c.Now.Add(-back)),
		Why:   fmt.Sprintf("a random moment of the last %s (seed %d)", envdb.FormatDuration(span.Truncate(time.Second)), c.Seed),
	}, nil
}
