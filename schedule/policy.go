package schedule

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/envdb/envdb"
)

// Policy is a ladder, how many slots each of its rungs keeps, and the share of
// the time that backups may take. It can only be made valid. The zero Policy
// has no ladder: nothing is ever due, and nothing expires.
type Policy struct {
	ladder  Ladder
	slots   []int
	maxDuty float64
}

// NewPolicy returns the policy of a ladder. A maxDuty of 0 is DefaultMaxDuty.
func NewPolicy(ladder Ladder, keep Keep, maxDuty float64) (Policy, error) {
	ladder, err := NewLadder(ladder...)
	if err != nil {
		return Policy{}, err
	}
	if err := keep.Check(ladder); err != nil {
		return Policy{}, err
	}
	if maxDuty == 0 {
		maxDuty = DefaultMaxDuty
	}
	if !(maxDuty > 0 && maxDuty <= 1) {
		return Policy{}, envdb.Fail(envdb.ErrMisuse, "max_duty is %g, which is no share of the time", maxDuty).
			WithNext("write a share above 0%% and up to 100%%, e.g. 25%%")
	}
	return Policy{ladder: slices.Clone(ladder), slots: keep.Slots(ladder), maxDuty: maxDuty}, nil
}

// IsZero reports whether there is no ladder.
func (p Policy) IsZero() bool { return len(p.ladder) == 0 }

// Ladder returns the rungs, finest first.
func (p Policy) Ladder() Ladder { return slices.Clone(p.ladder) }

// Slots returns how many occupied slots each rung keeps.
func (p Policy) Slots() []int { return slices.Clone(p.slots) }

// MaxDuty returns the share of the time that backups may take.
func (p Policy) MaxDuty() float64 { return p.maxDuty }

// Equal reports whether both policies decide alike.
func (p Policy) Equal(q Policy) bool {
	return slices.Equal(p.ladder, q.ladder) && slices.Equal(p.slots, q.slots) && p.maxDuty == q.maxDuty
}

// policyText is how a policy is stored: with numbers instead of auto, so that
// it says the same whatever a later envdb takes auto for.
type policyText struct {
	Ladder  string  `json:"ladder"`
	Slots   []int   `json:"slots"`
	MaxDuty float64 `json:"max_duty"`
}

// MarshalJSON implements json.Marshaler. The zero Policy is null.
func (p Policy) MarshalJSON() ([]byte, error) {
	if p.IsZero() {
		return []byte("null"), nil
	}
	return json.Marshal(policyText{Ladder: p.ladder.String(), Slots: p.slots, MaxDuty: p.maxDuty})
}

// UnmarshalJSON implements json.Unmarshaler. What is no valid policy is an
// error.
func (p *Policy) UnmarshalJSON(text []byte) error {
	if string(text) == "null" {
		*p = Policy{}
		return nil
	}
	var t policyText
	if err := json.Unmarshal(text, &t); err != nil {
		return err
	}
	ladder, err := ParseLadder(t.Ladder)
	if err != nil {
		return err
	}
	if len(t.Slots) != len(ladder) {
		return envdb.Fail(envdb.ErrMisuse, "the policy has %d numbers for the %d rungs of %s", len(t.Slots), len(ladder), ladder)
	}
	keep := Keep{Rungs: map[time.Duration]int{}}
	for i, rung := range ladder {
		keep.Rungs[rung] = t.Slots[i]
	}
	policy, err := NewPolicy(ladder, keep, t.MaxDuty)
	if err != nil {
		return err
	}
	*p = policy
	return nil
}
