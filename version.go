package envdb

// VersionState says what part a materialised database plays for its
// environment.
type VersionState string

// The states of a version. Live has the name in the environment's URL; Dark is
// built but does not serve; Previous was live; Aside is a foreign database
// that stood under the live name and was moved out of the way. Baseline is the
// sealed copy of what the last mirror or seed produced, Spare a copy of it that
// waits to be made live by a reset.
const (
	Live     VersionState = "live"
	Dark     VersionState = "dark"
	Previous VersionState = "previous"
	Aside    VersionState = "aside"
	Baseline VersionState = "baseline"
	Spare    VersionState = "spare"
)

// Neutrality says whether a version can still act on the world as its source
// did.
type Neutrality string

// A copy of production is Neutralised before anyone can connect, what is Seeded
// never was anybody's; everything else is Raw.
const (
	Raw         Neutrality = "raw"
	Neutralised Neutrality = "neutralised"
	Seeded      Neutrality = "seeded"
)
