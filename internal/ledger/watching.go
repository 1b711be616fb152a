package ledger

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/envdb/envdb"
)

// watching decides how long to wait for those in the way. A person at 3 a.m.
// is told at once that the environment is busy if the holder lives; otherwise
// they are told that, and how long, envdb watches whether it does.
type watching struct {
	log     *slog.Logger
	env     string
	patient bool // wait for the living too
	until   time.Time
	told    bool
	// overruling says that those in the way were told to give way.
	overruling bool
}

// overrule is told that those in the way have to give way, and has them waited
// for.
func (w *watching) overrule() {
	if w.overruling {
		return
	}
	w.overruling, w.patient = true, true
	if until := time.Now().Add(yieldPatience); until.After(w.until) {
		w.until = until
	}
}

const glance = 500 * time.Millisecond

// wait returns nil when it is time to look again, and ErrBusy when it is not
// worth it.
func (w *watching) wait(ctx context.Context, rivals []rival) error {
	lives := slices.ContainsFunc(rivals, func(r rival) bool { return r.life == alive })
	holders := make([]Holder, len(rivals))
	for i, r := range rivals {
		holders[i] = r.Holder
	}
	if w.patient && time.Now().After(w.until) || !w.patient && lives {
		return busy(w.env, holders)
	}
	w.tell(ctx, holders)
	return pause(ctx, glance)
}

func (w *watching) tell(ctx context.Context, holders []Holder) {
	if w.told {
		return
	}
	w.told = true
	switch {
	case w.overruling:
		w.log.InfoContext(ctx, "those who hold the environment's lease were told to give way", "env", w.env, "held", describe(holders), "at most", time.Until(w.until).Round(time.Second))
		return
	case w.patient:
		w.log.InfoContext(ctx, "waiting for the environment's lease", "env", w.env, "held", describe(holders), "at most", time.Until(w.until).Round(time.Second))
		return
	}
	w.log.InfoContext(ctx, "the environment's lease is held on another machine; watching whether that run lives", "env", w.env, "held", describe(holders), "at most", TTL)
}

func busy(env string, holders []Holder) error {
	return envdb.Fail(envdb.ErrBusy, "%s is busy: %s", env, describe(holders)).
		WithState("nothing was changed").
		WithNext("wait for it to finish, or see what it does: `envdb runs show %s`", holders[0].Run)
}
