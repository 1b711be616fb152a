package manager_test

import (
	"cmp"
	"net/url"
	"strings"
	"testing"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/manager"
	"github.com/envdb/envdb/internal/pgtest"
	"github.com/envdb/envdb/internal/postgres"
)

// Production is refused by its type, whatever is asked of it.
func TestProductionIsNoTargetByType(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	prod := on(t, s, "prod", envdb.Production).have(t, small("prod")...)
	marked := on(t, s, "marked", envdb.Staging, "protected: true").have(t, small("marked")...)
	staging := on(t, s, "staging", envdb.Staging).have(t, small("staging")...)
	w := newWorld(t, prod, marked, staging)
	w.backup("staging")
	w.backup("prod")
	before := prod.state(t) + marked.state(t)

	for _, target := range []string{"prod", "marked"} {
		_, err := w.Mirror(t.Context(), mirrorRequest("staging", target))
		wants(t, err, envdb.ErrRefused, target+" is protected", "nothing was changed")
		_, err = w.Mirror(t.Context(), manager.MirrorRequest{Source: "staging", Target: target, Confirm: target})
		wants(t, err, envdb.ErrRefused, target+" is protected")
		_, err = w.PlanMirror(t.Context(), mirrorRequest("staging", target))
		wants(t, err, envdb.ErrRefused)
		_, err = w.Rollback(t.Context(), manager.RollbackRequest{Environment: target})
		wants(t, err, envdb.ErrRefused, "--confirm "+target)
		_, err = w.Promote(t.Context(), manager.PromoteRequest{Environment: target, Version: "x", Confirm: "staging"})
		wants(t, err, envdb.ErrRefused)
	}
	_, err := w.Mirror(t.Context(), mirrorRequest("staging", "staging"))
	wants(t, err, envdb.ErrMisuse, "itself", "envdb restore staging@latest")
	_, err = w.Mirror(t.Context(), mirrorRequest("staging", "stagin"))
	wants(t, err, envdb.ErrNotFound, `did you mean "staging"`)
	_, err = w.Mirror(t.Context(), mirrorRequest("prd", "staging"))
	wants(t, err, envdb.ErrNotFound, `did you mean "prod"`)
	same(t, "production and the marked one", prod.state(t)+marked.state(t), before)
}

// A URL that leads to production under another name is refused by identity.
func TestProductionIsNoTargetByAnotherURL(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	prod := on(t, s, "prod", envdb.Production).have(t, small("prod")...)
	session, _ := s.PgBouncer(t, pgtest.SessionPool)
	transaction, _ := s.PgBouncer(t, pgtest.TransactionPool)
	through := func(pooler envdb.ConnString) string {
		u, err := postgres.WithDatabase(pooler, prod.base)
		if err != nil {
			t.Fatal(err)
		}
		return u.Reveal()
	}
	direct := prod.url.Reveal()
	other, err := url.Parse(direct)
	if err != nil {
		t.Fatal(err)
	}
	role, password := s.CreateRole(t, "SUPERUSER")
	stored := newWorld(t, prod)
	stored.backup("prod")
	before := prod.state(t)
	for name, to := range map[string]struct {
		url  string
		more []string
		kind error // ErrRefused if nil
	}{
		"the same url, written otherwise": {url: direct + "?application_name=x"},
		"localhost":                       {url: strings.Replace(direct, "127.0.0.1", "localhost", 1)},
		"a unix socket":                   {url: s.SocketURL(prod.base).Reveal()},
		"keywords and values":             {url: "host=127.0.0.1 port=" + other.Port() + " user=postgres password=" + s.Password() + " dbname=" + prod.base},
		"another role":                    {url: s.URLAs(role, password, prod.base).Reveal()},
		"two hosts":                       {url: strings.Replace(direct, "@127.0.0.1", "@127.0.0.1:1,127.0.0.1", 1)},
		"PgBouncer, session":              {url: through(session), more: []string{"direct_url: " + quoted(direct+"?application_name=y")}},
		"PgBouncer, transaction":          {url: through(transaction), more: []string{"direct_url: " + quoted(s.SocketURL(prod.base).Reveal())}},
		"PgBouncer alone, session":        {url: through(session), kind: envdb.ErrPreflight},
		"PgBouncer alone, transaction":    {url: through(transaction), kind: envdb.ErrPreflight},
	} {
		t.Run(name, func(t *testing.T) {
			target := place{name: "prod-copy", tier: envdb.ProductionCopy, url: envdb.ConnString(to.url), more: to.more, server: s, base: prod.base}
			kind := cmp.Or(to.kind, envdb.ErrRefused)
			w := newWorld(t, prod, target)
			w.adopt(stored)
			_, err := w.Mirror(t.Context(), mirrorRequest("prod", "prod-copy"))
			wants(t, err, kind, "prod-copy", "nothing was changed")
			_, err = w.Mirror(t.Context(), manager.MirrorRequest{Source: "prod", Target: "prod-copy", Dark: true})
			wants(t, err, kind, "prod-copy")
			_, err = w.Promote(t.Context(), manager.PromoteRequest{Environment: "prod-copy", Version: "x"})
			wants(t, err, kind, "prod-copy")
			_, err = w.Rollback(t.Context(), manager.RollbackRequest{Environment: "prod-copy"})
			wants(t, err, kind, "prod-copy")
			same(t, "production", prod.state(t), before)
		})
	}
}

// While production is down, what was recorded of it decides.
func TestProductionIsNoTargetWhileItIsDown(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	prod := on(t, s, "prod", envdb.Production).have(t, small("prod")...)
	staging := on(t, s, "staging", envdb.Staging).have(t, small("staging")...)
	w := newWorld(t, prod, staging)
	taken := w.backup("prod")
	w.backup("staging")

	// The same store with a configuration in which production's URL is dead
	// and another environment leads to its database.
	down := prod
	down.url = envdb.ConnString("postgres://postgres@127.0.0.1:1/" + prod.base)
	wrong := place{name: "prod-copy", tier: envdb.ProductionCopy, url: prod.url, server: s, base: prod.base}
	right := on(t, s, "qa", envdb.QA)
	later := newWorld(t, down, wrong, right, staging)
	later.adopt(w)

	before := prod.state(t)
	_, err := later.Mirror(t.Context(), manager.MirrorRequest{Source: "prod", Point: envdb.AtBackup(taken.ID), Target: "prod-copy"})
	wants(t, err, envdb.ErrRefused, "prod-copy", "prod", "protected")
	same(t, "production", prod.state(t), before)
	// What is certainly not production is filled while production is down.
	later.mirrorOf(manager.MirrorRequest{Source: "prod", Point: envdb.AtBackup(taken.ID), Target: "qa"})
	same(t, "qa", right.content(t), "1|prod")

	// Without a record nobody knows: it is refused.
	unknown := newWorld(t, down, on(t, s, "qa", envdb.QA), staging)
	unknown.backup("staging")
	_, err = unknown.Mirror(t.Context(), mirrorRequest("staging", "qa"))
	wants(t, err, envdb.ErrRefused, "does not answer", "envdb identity accept prod")
}
