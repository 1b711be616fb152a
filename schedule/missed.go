package schedule

import (
	"fmt"
	"time"

	"github.com/envdb/envdb"
)

// Missed says what happens to a turn that did not begin when it should have,
// because no daemon ran or the environment was busy.
type Missed string

const (
	// RunOnce makes up for the last missed turn, as soon as it can. It is what
	// the zero value means.
	RunOnce Missed = "run-once"
	// Skip waits for the next turn.
	Skip Missed = "skip"
)

// ParseMissed reads run-once or skip; nothing is run-once.
func ParseMissed(s string) (Missed, error) {
	switch m := Missed(s); m {
	case "":
		return RunOnce, nil
	case RunOnce, Skip:
		return m, nil
	}
	return "", envdb.Fail(envdb.ErrMisuse, "missed is %q", s).WithNext("write run-once or skip")
}

// onTime is how late a turn may begin and not count as missed: the loop looks
// four times in it.
const onTime = time.Minute

func (m Missed) check() error {
	if _, err := ParseMissed(string(m)); err != nil {
		return fmt.Errorf("missed: %w", err)
	}
	return nil
}
