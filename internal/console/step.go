package console

import (
	"fmt"
	"strings"
	"time"

	"github.com/envdb/envdb"
)

// step is what a screen knows of a step.
type step struct {
	name        string
	done, total int64
	unit        string
	began       time.Time
	shown       time.Time
	ended       bool
}

// update takes over the counts; reports of several goroutines may overtake
// each other.
func (s *step) update(p envdb.Progress) {
	s.done, s.total, s.unit = max(s.done, p.Done), max(s.total, p.Total), p.Unit
}

func (s *step) whole() bool { return s.total > 0 && s.done >= s.total }

// amount returns a count in the step's unit.
func (s *step) amount(n int64) string {
	switch s.unit {
	case "bytes":
		return Bytes(n)
	case "":
		return Count(n)
	}
	return Count(n) + " " + s.unit
}

// status says how far the step is: part, amounts, rate, and the time left.
func (s *step) status(now time.Time) string {
	var parts []string
	switch {
	case s.total > 0:
		parts = append(parts, fmt.Sprintf("%d%%, %s of %s", s.percent(), s.amount(s.done), s.amount(s.total)))
	case s.done > 0:
		parts = append(parts, s.amount(s.done))
	}
	if rate := s.rate(now); rate != "" {
		parts = append(parts, rate)
	}
	if left := s.left(now); left != "" {
		parts = append(parts, left)
	}
	if len(parts) == 0 {
		return "running for " + Duration(now.Sub(s.began))
	}
	return strings.Join(parts, ", ")
}

// summary says what the step did once it has ended.
func (s *step) summary(now time.Time) string {
	took := Duration(now.Sub(s.began))
	switch {
	case s.done == 0:
		return took
	case !now.After(s.began):
		return s.amount(s.done)
	}
	if rate := s.rate(now); rate != "" && s.unit == "bytes" {
		return fmt.Sprintf("%s in %s, %s", s.amount(s.done), took, rate)
	}
	return fmt.Sprintf("%s in %s", s.amount(s.done), took)
}

func (s *step) percent() int64 {
	if s.total <= 0 {
		return 0
	}
	return min(int64(float64(s.done)/float64(s.total)*100), 100)
}

// rate is told once there is a second to tell it of.
func (s *step) rate(now time.Time) string {
	took := now.Sub(s.began)
	if s.done == 0 || took < time.Second {
		return ""
	}
	return s.amount(int64(float64(s.done)/took.Seconds())) + "/s"
}

// left is told when there is something to judge by.
func (s *step) left(now time.Time) string {
	took := now.Sub(s.began)
	if s.done <= 0 || s.total <= s.done || took < 2*time.Second {
		return ""
	}
	left := time.Duration(float64(took) * (float64(s.total-s.done) / float64(s.done)))
	return Duration(left.Round(time.Second)) + " left"
}
