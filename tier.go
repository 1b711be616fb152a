package envdb

import "strings"

// Tier says what an environment is for, and with it what may be done to it.
type Tier string

// The tiers. Production is protected whatever the configuration says.
const (
	Production     Tier = "production"
	ProductionCopy Tier = "production-copy"
	Test           Tier = "test"
	Staging        Tier = "staging"
	QA             Tier = "qa"
	Release        Tier = "release"
	Dev            Tier = "dev"
)

// Tiers lists every tier, in the order in which documentation names them.
func Tiers() []Tier {
	return []Tier{Production, ProductionCopy, Test, Staging, QA, Release, Dev}
}

// ParseTier returns the tier named s. The error lists the tiers there are.
func ParseTier(s string) (Tier, error) {
	names := make([]string, 0, len(Tiers()))
	for _, t := range Tiers() {
		if string(t) == s {
			return t, nil
		}
		names = append(names, string(t))
	}
	return "", Fail(ErrMisuse, "unknown tier %q", s).WithNext("use one of %s", strings.Join(names, ", "))
}

// Known reports whether t is one of the tiers.
func (t Tier) Known() bool {
	_, err := ParseTier(string(t))
	return err == nil
}
