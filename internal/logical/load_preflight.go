package logical

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/internal/postgres"
)

// PreflightOptions are the parts of a Loading that decide whether a target
// will do.
type PreflightOptions struct {
	Roles          RolePolicy
	SkipExtensions []string
	Neutralise     bool

	owners []string // that the archive names, for a catalogue without roles
}

// Findings are what a preflight found of a target that will do.
type Findings struct {
	// Notes are decisions that a person should know of, one sentence each.
	Notes []string

	target target
	roles  roleMap
}

// target is what a load knows of the server that it loads into.
type target struct {
	version    postgres.ServerVersion
	sameMajor  bool                // as the source
	extensions map[string][]string // available versions by name
}

// Preflight asks a server whether the database of a catalogue can be loaded
// into it, and changes nothing. conn may lead to any database of the server,
// as the role that will load. A target that will not do is ErrPreflight, with
// everything that it lacks in one error.
func Preflight(ctx context.Context, conn *pgx.Conn, cat *Catalogue, o PreflightOptions) (Findings, error) {
	p := &preflight{PreflightOptions: o, cat: cat}
	if p.Roles == "" {
		p.Roles = RolesMap
	}
	checks := []func(context.Context, *pgx.Conn) error{
		p.checkVersion, p.checkRoles, p.checkExtensions, p.checkLocale, p.checkPower,
	}
	for _, check := range checks {
		if err := check(ctx, conn); err != nil {
			return Findings{}, err
		}
	}
	if len(p.lacks) > 0 {
		return Findings{}, envdb.Fail(envdb.ErrPreflight, "the target cannot hold the backup: %s", strings.Join(p.lacks, "; ")).
			WithState("nothing was changed").
			WithNext("%s", strings.Join(p.remedies, "; "))
	}
	return p.Findings, nil
}

type preflight struct {
	PreflightOptions
	Findings
	cat   *Catalogue
	lacks []string
	// superusers are the extensions that only a superuser can create.
	superusers map[string]bool
	remedies   []string
}

// lack records what the target lacks and what to do about it.
func (p *preflight) lack(what, remedy string) {
	p.lacks = append(p.lacks, what)
	if remedy != "" && !slices.Contains(p.remedies, remedy) {
		p.remedies = append(p.remedies, remedy)
	}
}

func (p *preflight) note(format string, args ...any) {
	p.Notes = append(p.Notes, fmt.Sprintf(format, args...))
}

// checkVersion holds the target's major version against the source's: SQL of
// a newer server may not run on an older one.
func (p *preflight) checkVersion(ctx context.Context, conn *pgx.Conn) error {
	version, err := postgres.ReadServerVersion(ctx, conn)
	if err != nil {
		return postgres.Explain(err, "read the target's version")
	}
	source := postgres.ServerVersion(p.cat.Server.VersionNum)
	p.target.version = version
	p.target.sameMajor = version.Major() == source.Major()
	switch {
	case version.Major() < source.Major():
		p.lack(fmt.Sprintf("it is PostgreSQL %d and the source was %d", version.Major(), source.Major()),
			fmt.Sprintf("restore to a server of PostgreSQL %d or newer", source.Major()))
	case !p.target.sameMajor && source != 0:
		p.note("the target is PostgreSQL %d and the source was %d", version.Major(), source.Major())
	}
	return nil
}

// checkExtensions compares the source's extensions with what is installed in
// the target's file system.
func (p *preflight) checkExtensions(ctx context.Context, conn *pgx.Conn) error {
	const available = `SELECT name::text, version, superuser AND NOT trusted FROM pg_catalog.pg_available_extension_versions ORDER BY 1, 2`
	rows, err := conn.Query(ctx, available)
	if err != nil {
		return postgres.Explain(err, "list the target's extensions")
	}
	p.target.extensions = map[string][]string{}
	p.superusers = map[string]bool{}
	var name, version string
	var superuser bool
	_, err = pgx.ForEachRow(rows, []any{&name, &version, &superuser}, func() error {
		p.target.extensions[name] = append(p.target.extensions[name], version)
		p.superusers[name] = superuser
		return nil
	})
	if err != nil {
		return postgres.Explain(err, "list the target's extensions")
	}
	for _, x := range p.cat.Extensions {
		p.checkExtension(x)
	}
	return nil
}

func (p *preflight) checkExtension(x Extension) {
	versions := p.target.extensions[x.Name]
	switch {
	case slices.Contains(p.SkipExtensions, x.Name):
		p.note("extension %s was skipped, as the configuration says", x.Name)
	case len(versions) == 0:
		p.lack(fmt.Sprintf("it lacks the extension %s %s", x.Name, x.Version), extensionRemedy(p.target.version.Major(), x.Name))
	case p.superusers[x.Name] && !p.roles.superuser && x.Name != "plpgsql":
		p.lack(fmt.Sprintf("only a superuser can create the extension %s there", x.Name),
			"list it in extensions.skip, or use a superuser for this environment")
	case !p.target.offers(x):
		p.note("extension %s was %s on the source; the target creates its own default version", x.Name, x.Version)
	}
}

// contribs are the extensions that PostgreSQL's own contrib package holds;
// what else there is comes in a package of its own.
const contribs = " adminpack amcheck autoinc bloom btree_gin btree_gist citext cube dblink dict_int dict_xsyn earthdistance " +
	"file_fdw fuzzystrmatch hstore insert_username intagg intarray isn lo ltree moddatetime old_snapshot pageinspect " +
	"pg_buffercache pg_freespacemap pg_prewarm pg_stat_statements pg_surgery pg_trgm pg_visibility pg_walinspect pgcrypto " +
	"pgrowlocks pgstattuple postgres_fdw refint seg sslinfo tablefunc tcn tsm_system_rows tsm_system_time unaccent uuid-ossp xml2 "

// packages are the Debian names of extensions whose package is not called as
// they are.
var packages = map[string]string{
	"pg_cron": "cron", "vector": "pgvector", "postgis": "postgis-3", "pg_partman": "partman",
	"pg_repack": "repack", "hypopg": "hypopg", "pgaudit": "pgaudit", "plpython3u": "", "plperl": "", "pltcl": "",
}

// extensionRemedy says how a Debian or Ubuntu server gets an extension.
func extensionRemedy(major int, name string) string {
	const orSkip = ", or list the extension in extensions.skip"
	if strings.Contains(contribs, " "+name+" ") {
		return fmt.Sprintf("install postgresql-contrib on the target (apt install postgresql-%d)", major) + orSkip
	}
	if language, ok := strings.CutPrefix(strings.TrimSuffix(name, "u"), "pl"); ok && packages[name] == "" {
		return fmt.Sprintf("install it on the target (apt install postgresql-pl%s-%d)", language, major) + orSkip
	}
	pkg := packages[name]
	if pkg == "" {
		pkg = strings.ReplaceAll(name, "_", "-")
	}
	return fmt.Sprintf("install it on the target (apt install postgresql-%d-%s)", major, pkg) + orSkip
}

// checkRoles compares the owners and grantees with the target's roles.
func (p *preflight) checkRoles(ctx context.Context, conn *pgx.Conn) error {
	roles, err := readRoles(ctx, conn, p.target.version)
	if err != nil {
		return err
	}
	p.roles = roles
	var missing, foreign []string
	for _, name := range p.roleNames() {
		switch {
		case !roles.exists[name]:
			missing = append(missing, name)
		case !roles.granted[name] && slices.Contains(p.owners, name):
			foreign = append(foreign, name)
		}
	}
	slices.Sort(missing)
	p.judgeRoles(missing, foreign)
	return nil
}

func (p *preflight) judgeRoles(missing, foreign []string) {
	switch p.Roles {
	case RolesMap:
		if len(missing) > 0 {
			p.note("roles that the target lacks: %s; what they owned belongs to %s, and what they were granted was left out", strings.Join(missing, ", "), p.roles.current)
		}
		if len(foreign) > 0 {
			p.note("%s may not act as %s; what they owned belongs to %s", p.roles.current, strings.Join(foreign, ", "), p.roles.current)
		}
	case RolesCreate:
		if len(missing) > 0 && !p.roles.superuser && !p.roles.createRole {
			p.lack(fmt.Sprintf("the roles %s are missing and %s may not create roles", strings.Join(missing, ", "), p.roles.current),
				fmt.Sprintf("ALTER ROLE %s CREATEROLE, or roles: map", postgres.Quote(p.roles.current)))
		}
	case RolesFail:
		if len(missing) > 0 {
			p.lack("it lacks the roles "+strings.Join(missing, ", "), "create the roles on the target, or roles: map or create in the configuration")
		}
		if len(foreign) > 0 {
			p.lack(fmt.Sprintf("%s may not act as %s", p.roles.current, strings.Join(foreign, ", ")),
				fmt.Sprintf("grant these roles to %s, or roles: map in the configuration", p.roles.current))
		}
	}
}

// roleNames are all roles that the backup speaks of, without those that every
// server has.
func (p *preflight) roleNames() []string {
	names := slices.Clone(p.owners)
	for _, r := range p.cat.Roles {
		if !slices.Contains(names, r.Name) {
			names = append(names, r.Name)
		}
	}
	return slices.DeleteFunc(names, predefinedRole)
}

// predefinedRole reports whether a role belongs to PostgreSQL itself; nobody
// can create one whose name begins like that.
func predefinedRole(name string) bool { return strings.HasPrefix(name, "pg_") }

// checkLocale asks whether the target knows the source's locale. Only a
// database of the same encoding can tell.
func (p *preflight) checkLocale(ctx context.Context, conn *pgx.Conn) error {
	db := p.cat.Database
	if db.LocaleProvider == "i" {
		return p.checkICU(ctx, conn)
	}
	for _, locale := range slices.Compact([]string{db.Collate, db.CType}) {
		if locale == "" || locale == "C" || locale == "POSIX" {
			continue
		}
		ok, err := knowsLocale(ctx, conn, locale)
		if err != nil {
			return err
		}
		if !ok {
			p.lack("it lacks the locale "+locale, "generate it on the target (locale-gen), restart PostgreSQL there")
		}
	}
	return nil
}

// checkICU refuses a target that was built without ICU.
func (p *preflight) checkICU(ctx context.Context, conn *pgx.Conn) error {
	var has bool
	const q = `SELECT EXISTS (SELECT FROM pg_catalog.pg_collation WHERE collprovider = 'i')`
	if err := conn.QueryRow(ctx, q).Scan(&has); err != nil {
		return postgres.Explain(err, "list the target's collations")
	}
	if !has {
		p.lack("it was built without ICU, which the source's collation needs", "restore to a server that was built with ICU")
	}
	return nil
}

// knowsLocale reports whether the server's C library has a locale. Names are
// compared as glibc does, where UTF-8 and utf8 are one.
func knowsLocale(ctx context.Context, conn *pgx.Conn, locale string) (bool, error) {
	const q = `SELECT EXISTS (
		SELECT FROM (SELECT collcollate AS l FROM pg_catalog.pg_collation WHERE collprovider = 'c'
		             UNION ALL SELECT collctype FROM pg_catalog.pg_collation WHERE collprovider = 'c'
		             UNION ALL SELECT datcollate FROM pg_catalog.pg_database UNION ALL SELECT datctype FROM pg_catalog.pg_database) AS known
		WHERE pg_catalog.lower(pg_catalog.replace(l, '-', '')) = pg_catalog.lower(pg_catalog.replace($1, '-', '')))`
	var known bool
	if err := conn.QueryRow(ctx, q, locale).Scan(&known); err != nil {
		return false, postgres.Explain(err, "list the target's locales")
	}
	return known, nil
}

// checkPower refuses a raw copy of what only a superuser can create. A
// neutralised copy does without.
func (p *preflight) checkPower(context.Context, *pgx.Conn) error {
	if p.Neutralise || p.roles.superuser {
		return nil
	}
	if n := len(p.cat.EventTriggers); n > 0 {
		p.lack(fmt.Sprintf("event trigger %s needs a superuser, which %s is not", p.cat.EventTriggers[0].Name, p.roles.current), "load as a superuser")
	}
	if len(p.cat.Subscriptions) > 0 && !p.roles.subscriber {
		p.lack(fmt.Sprintf("%s may not create subscription %s", p.roles.current, p.cat.Subscriptions[0]),
			"load as a superuser, or from PostgreSQL 16 on as a member of pg_create_subscription")
	}
	return nil
}

// lacking returns the roles of the list that are not in the map.
func lacking(roles []backup.Role, m roleMap) []backup.Role {
	var out []backup.Role
	for _, r := range roles {
		if !m.exists[r.Name] && !predefinedRole(r.Name) {
			out = append(out, r)
		}
	}
	return out
}
