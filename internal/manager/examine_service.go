package manager

import (
	"context"
	"strings"
	"time"

	"github.com/envdb/envdb"
)

// Prober is a store that is a service, and can be asked what it does.
type Prober interface {
	// Probe tries what the service can do. One without a place is no service.
	// With an error it returns what it found out before, if anything.
	Probe(ctx context.Context) (Service, error)
}

// Service is what a store's service can do, as tried out.
type Service struct {
	// Place names the service and the place in it for people.
	Place     string
	Abilities []Ability
	// Skew is how far this machine's clock is ahead of the service's.
	Skew time.Duration
}

// Ability is one thing that a service was tried for.
type Ability struct {
	Name       string
	Tried, Can bool
	// Needed says that envdb does not work without it.
	Needed bool
	Detail string
}

// consequences say what it means that a service cannot do something, and what
// to do about it.
var consequences = map[string]struct{ means, next string }{
	"write":                 {"no backup can be taken, and no run recorded, with these credentials", "give them s3:PutObject below the prefix: docs/threat-model.md has the policy"},
	"read after write":      {"leases and manifests would be read as they were before", "use another service"},
	"list after write":      {"a backup could be taken for lost, and an older one used", "use another service, or give these credentials s3:ListBucket"},
	"byte ranges":           {"a restore would read whole packs for each piece", "use another service"},
	"conditional create":    {"two machines could both believe that they hold a lease", "let one machine write, and name it as store.single_writer; or use a service with conditional writes"},
	"conditional replace":   {"two machines could both believe that they hold a lease", "let one machine write, and name it as store.single_writer; or use a service with conditional writes"},
	"conditional race":      {"two machines could both believe that they hold a lease", "let one machine write, and name it as store.single_writer; or use a service with conditional writes"},
	"multipart":             {"no pack can be stored", "give these credentials s3:PutObject and s3:AbortMultipartUpload below the prefix, or use another service"},
	"delete":                {"leases stay until they run out, and what failed backups left stays for good", "give these credentials s3:DeleteObject below the prefix: docs/threat-model.md has the policy"},
	"metadata":              {"a write whose answer is lost may be reported as failed though it was done", ""},
	"conditional multipart": {"nothing, as long as envdb alone writes below the prefix: its large objects have one writer each", ""},
	"checksums":             {"what is damaged on the way is found when it is read back or verified, not when it is written", ""},
	"clock":                 {"requests are refused", "set this machine's clock: timedatectl set-ntp true"},
}

// Skews of the clock: restore points carry moments, so a small one is a nuisance.
const (
	noticeableSkew = 5 * time.Second
	harmfulSkew    = time.Minute
)

// examineService says what the service behind the store can and cannot do. It
// reports whether it was reached, and whether it can do what envdb needs.
func examineService(ctx context.Context, store envdb.Store, d *Diagnosis) (reached, usable bool) {
	prober, ok := store.(Prober)
	if !ok {
		return true, true
	}
	s, err := prober.Probe(ctx)
	if err != nil && len(s.Abilities) == 0 {
		d.trouble("store", err)
		return false, false
	}
	if s.Place == "" {
		return true, true
	}
	d.add("store", Fine, "%s", s.Place)
	usable = s.examineAbilities(d)
	if err != nil && usable {
		d.trouble("store", err) // else it is one more word for what was said
	}
	examineSkew(s.Skew, d)
	return true, usable
}

// examineAbilities reports whether the service can do what envdb needs.
func (s Service) examineAbilities(d *Diagnosis) bool {
	var can []string
	usable := true
	for _, a := range s.Abilities {
		switch {
		case a.Can && a.Detail != "":
			can = append(can, a.Name+" ("+a.Detail+")")
		case a.Can:
			can = append(can, a.Name)
		default:
			a.add(d)
			usable = usable && !(a.Needed && a.Tried)
		}
	}
	if len(can) > 0 {
		d.add("store", Fine, "it can: %s", strings.Join(can, ", "))
	}
	return usable
}

// add says what it means that a service cannot do something.
func (a Ability) add(d *Diagnosis) {
	c := consequences[a.Name]
	var f *Finding
	switch {
	case !a.Tried:
		f = d.add("store", Caution, "%s: not known: %s", a.Name, a.Detail)
	case a.Needed || a.Name == "clock":
		f = d.add("store", Trouble, "%s: no: %s (%s)", a.Name, c.means, a.Detail)
	case c.next != "":
		f = d.add("store", Caution, "%s: no: %s (%s)", a.Name, c.means, a.Detail)
	default:
		f = d.add("store", Fine, "%s: no: %s (%s)", a.Name, c.means, a.Detail)
	}
	if a.Tried {
		f.Next = c.next
	}
}

// examineSkew compares this machine's clock with the service's.
func examineSkew(skew time.Duration, d *Diagnosis) {
	words := "ahead of"
	if skew < 0 {
		words = "behind"
	}
	switch {
	case skew.Abs() <= noticeableSkew:
		return
	case skew.Abs() <= harmfulSkew:
		d.add("store", Caution, "this machine's clock is %s %s the service's: points typed as a time miss by as much", skew.Abs(), words).Next = "timedatectl set-ntp true"
	default:
		d.add("store", Trouble, "this machine's clock is %s %s the service's: points typed as a time miss by as much, and the service soon refuses it", skew.Abs(), words).Next = "timedatectl set-ntp true"
	}
}
