package manager

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/ledger"
	"github.com/envdb/envdb/internal/logical"
	"github.com/envdb/envdb/schedule"
)

// examineDaemons says which daemons share the store, and whether they agree.
func (m *Manager) examineDaemons(ctx context.Context, d *Diagnosis) {
	all, err := m.ledger.Daemons(ctx)
	if err != nil {
		d.trouble("daemon", err)
		return
	}
	var alive []ledger.Daemon
	for _, one := range all {
		if one.Life == "dead" {
			d.add("daemon", Caution, "%s on %s gives no sign of life since %s", one.Name, one.Host, one.Seen.UTC().Format(time.DateTime+" UTC")).
				Next = "see why it ended on " + one.Host + ": journalctl -u envdb"
			continue
		}
		alive = append(alive, one)
		d.add("daemon", Fine, "%s on %s runs since %s (envdb %s)", one.Name, one.Host, one.Started.UTC().Format(time.DateTime+" UTC"), one.Version)
	}
	if len(alive) == 0 && m.needsDaemon() {
		d.add("daemon", Caution, "none runs: ladders and schedules of the configuration are not kept").Next = "envdb daemon, or see packaging/README.md"
	}
	differ := func(of func(ledger.Daemon) string) bool {
		return slices.ContainsFunc(alive, func(one ledger.Daemon) bool { return of(one) != of(alive[0]) })
	}
	if differ(func(one ledger.Daemon) string { return one.Config }) {
		d.add("daemon", Caution, "the daemons run by different configurations: what either keeps stays, and either may take a turn").Next = "give them the same file"
	}
	if differ(func(one ledger.Daemon) string { return one.Version }) {
		d.add("daemon", Caution, "the daemons are of different versions of envdb").Next = "install the same one everywhere"
	}
	m.examineLeases(ctx, d)
}

func (m *Manager) needsDaemon() bool {
	if len(m.config.Jobs()) > 0 {
		return true
	}
	for _, env := range m.config.Environments() {
		if len(env.Backup.Ladder) > 0 {
			return true
		}
	}
	return false
}

// examineLeases names leases of runs that are dead for certain. They are no
// trouble: whoever needs one next takes it over.
func (m *Manager) examineLeases(ctx context.Context, d *Diagnosis) {
	leases, err := m.ledger.Leases(ctx)
	if err != nil {
		d.trouble("leases", err)
		return
	}
	for _, lease := range leases {
		for _, h := range lease.Holders {
			if h.Life == "dead" {
				d.add(strings.TrimPrefix(lease.Environment, "job:"), Fine, "its lease is left from a run that is gone, and the next run or a daemon takes it over: %s", h.Holder)
			}
		}
	}
}

// examineClocks compares the clocks of the store and of the servers that are
// backed up with this machine's.
func (m *Manager) examineClocks(ctx context.Context, d *Diagnosis) {
	skew, err := m.ledger.StoreSkew(ctx)
	switch {
	case errors.Is(err, envdb.ErrPreflight), errors.Is(err, envdb.ErrRefused): // who may not write there cannot ask
	case err != nil:
		d.add("store", Caution, "its clock cannot be read: %v", err)
	case schedule.Skew(skew).Warns():
		d.add("store", Caution, "its clock and this machine's are %s apart", skew.Abs().Round(time.Second)).Next = "set this machine's clock"
	}
	for _, declared := range m.config.Environments() {
		if len(declared.Backup.Ladder) == 0 || d.troubled(declared.Name) {
			continue
		}
		env, err := m.config.Environment(declared.Name)
		if err != nil {
			continue // examineServer said so
		}
		began := m.now()
		state, err := logical.Look(ctx, logical.Source{URL: env.Direct(), App: "envdb/doctor"})
		if err != nil {
			continue // examineServer said so
		}
		skew := schedule.SkewOf(state.Now, began.Add(m.now().Sub(began)/2))
		switch {
		case skew.Stops():
			d.add(env.Name, Trouble, "the clocks of its server and of this machine are too far apart (%s): nothing of it expires", skew).Next = "set the clocks"
		case skew.Warns():
			d.add(env.Name, Caution, "%s", skew).Next = "set the clocks"
		}
	}
}

// examineLadders says of each ladder whether it can be kept, and is.
func (m *Manager) examineLadders(ctx context.Context, d *Diagnosis) {
	for _, env := range m.config.Environments() {
		if len(env.Backup.Ladder) == 0 {
			continue
		}
		r, err := m.LookLadder(ctx, env.Name, m.now())
		if err != nil {
			d.trouble(env.Name, err)
			continue
		}
		duty := r.Due.Duty
		switch {
		case len(duty.Suspended) > 0:
			d.add(env.Name, Caution, "ladder: %s", duty).Next = fmt.Sprintf("envdb ladder %s; write a ladder that fits, or raise backup.max_duty", env.Name)
		case duty.Of > 0:
			d.add(env.Name, Fine, "ladder: %s", duty)
		}
		limit := env.StaleAfter
		if limit == 0 {
			limit = 2*duty.RPO() + 10*time.Minute
		}
		newest := r.NewestMoment()
		if age := m.now().Sub(newest); !newest.IsZero() && age > limit {
			d.add(env.Name, Trouble, "the newest restore point is %s old, and at most %s is wanted", envdb.FormatDuration(age.Round(time.Second)), envdb.FormatDuration(limit.Round(time.Second))).
				Next = fmt.Sprintf("envdb runs --env %s --failed; envdb backup %[1]s", env.Name)
		}
	}
}
