package schedule_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/envdb/envdb/schedule"
)

// BenchmarkKeep100k decides on 100,000 restore points, a minute apart, as a
// repository has them whose expiry was off for ten weeks. The budget is 100 ms.
func BenchmarkKeep100k(b *testing.B) {
	rules := schedule.Rules{Policy: standard(b)}
	points := every(time.Minute, 100_000, newYear)
	for b.Loop() {
		rules.Keep(newYear, points)
	}
}

// BenchmarkKeep100kUnordered has them in no order.
func BenchmarkKeep100kUnordered(b *testing.B) {
	rules := schedule.Rules{Policy: standard(b)}
	points := every(time.Minute, 100_000, newYear)
	chance := rand.New(rand.NewPCG(1, 2))
	chance.Shuffle(len(points), func(i, j int) { points[i], points[j] = points[j], points[i] })
	for b.Loop() {
		rules.Keep(newYear, points)
	}
}

// BenchmarkPass decides for one environment of 50 restore points, as a pass of
// the loop does for each.
func BenchmarkPass(b *testing.B) {
	rules := schedule.Rules{Policy: standard(b)}
	points := every(time.Minute, 50, newYear)
	for b.Loop() {
		rules.Due(newYear, points)
		rules.Keep(newYear, points)
	}
}

func BenchmarkSimulatedDay(b *testing.B) {
	s := schedule.Simulation{Policy: standard(b), From: newYear, Span: 24 * time.Hour, Took: 5 * time.Second}
	for b.Loop() {
		s.Run()
	}
}
