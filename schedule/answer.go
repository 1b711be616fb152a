package schedule

import (
	"time"

	"github.com/envdb/envdb"
)

// Answer is what one gets who asks for the state of some time ago.
type Answer struct {
	Asked time.Duration
	// Point is empty if no restore point is old enough.
	Point envdb.BackupID
	// Age is how old the state is: Asked, or more.
	Age time.Duration
}

// Answers returns what one would get who asks at now for the state of one
// interval ago, for each rung. Points may have any order.
func (p Policy) Answers(now time.Time, points []RestorePoint) []Answer {
	answers := make([]Answer, len(p.ladder))
	for i, rung := range p.ladder {
		answers[i] = answer(now, rung, points)
	}
	return answers
}

func answer(now time.Time, asked time.Duration, points []RestorePoint) Answer {
	moment := now.Add(-asked)
	i := newest(points, func(p *RestorePoint) bool { return p.represents(now) && !p.At.After(moment) })
	if i < 0 {
		return Answer{Asked: asked}
	}
	behind := max(0, moment.Sub(points[i].exactUntil(now)))
	return Answer{Asked: asked, Point: points[i].ID, Age: asked + behind}
}
