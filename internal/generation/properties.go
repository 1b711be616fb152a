package generation

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/postgres"
)

// Properties are what a database has beside its contents. CREATE DATABASE sets
// none of them, so they are set when a version becomes live.
type Properties struct {
	Owner string `json:"owner"` // empty for envdb's role
	// ACL is pg_database.datacl; nil is PostgreSQL's default, by which
	// everyone may connect. The owner in it is replaced if Owner differs.
	ACL             []string  `json:"acl"`
	ConnectionLimit int       `json:"connection_limit"` // -1 is none
	Settings        []Setting `json:"settings"`
	Comment         string    `json:"comment,omitempty"` // the user's, without the marker
	// Configured are those of the settings that the configuration gave: they go
	// when it does not name them any more. The marker of a live version keeps
	// them.
	Configured []Setting `json:"-"`
}

// Setting is an entry of pg_db_role_setting for the database. An empty Role is
// a setting for everyone.
type Setting struct {
	Role  string `json:"role,omitempty"`
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Over returns the environment's own properties with the source's settings
// where the environment has none of the name.
func (p Properties) Over(source []Setting) Properties {
	own := slices.Clone(p.Settings)
	for _, s := range source {
		same := func(t Setting) bool { return t.Role == s.Role && strings.EqualFold(t.Name, s.Name) }
		if !slices.ContainsFunc(p.Settings, same) {
			own = append(own, s)
		}
	}
	p.Settings = own
	return p
}

// ReadProperties returns the properties of the live version, so that the next
// one can have them. Without a live version it fails with ErrNotFound.
func (g *Generations) ReadProperties(ctx context.Context) (Properties, error) {
	return g.propertiesOf(ctx, g.base)
}

func (g *Generations) propertiesOf(ctx context.Context, name string) (Properties, error) {
	var p Properties
	err := g.session.do(ctx, quick, func(ctx context.Context, conn *pgx.Conn) (err error) {
		p, err = g.readProperties(ctx, conn, name)
		return err
	})
	return p, err
}

func (g *Generations) readProperties(ctx context.Context, conn *pgx.Conn, name string) (Properties, error) {
	var p Properties
	var oid uint32
	var comment string
	err := conn.QueryRow(ctx, `
		SELECT oid, pg_get_userbyid(datdba)::text, datacl::text[], datconnlimit, coalesce(shobj_description(oid, 'pg_database'), '')
		FROM pg_database WHERE datname = $1`, name).Scan(&oid, &p.Owner, &p.ACL, &p.ConnectionLimit, &comment)
	if errors.Is(err, pgx.ErrNoRows) {
		return p, envdb.Fail(envdb.ErrNotFound, "%s has no database %q", g.env.Name, name)
	}
	if err != nil {
		return p, g.explain(err, "read the properties")
	}
	var marker *Marker
	if p.Comment, marker = SplitComment(comment); marker != nil {
		p.Configured = marker.Configured
	}
	rows, err := conn.Query(ctx, `
		SELECT coalesce(r.rolname::text, ''), split_part(c, '=', 1), substr(c, strpos(c, '=') + 1)
		FROM pg_db_role_setting s LEFT JOIN pg_roles r ON r.oid = s.setrole, unnest(s.setconfig) WITH ORDINALITY u(c, n)
		WHERE s.setdatabase = $1 ORDER BY 1, n`, oid)
	if err != nil {
		return p, g.explain(err, "read the settings")
	}
	p.Settings, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Setting])
	return p, g.explain(err, "read the settings")
}

// give sets the properties, except the comment, in the transaction. The owner
// comes first, because changing it changes the ACL. A version that was closed
// until now opens with the commit.
func (g *Generations) give(ctx context.Context, tx pgx.Tx, name string, p Properties) error {
	db, owner := postgres.Quote(name), cmp.Or(p.Owner, g.role)
	err := exec(ctx, tx.Conn(),
		"ALTER DATABASE "+db+" OWNER TO "+postgres.Quote(owner),
		"ALTER DATABASE "+db+" CONNECTION LIMIT "+strconv.Itoa(p.ConnectionLimit)+" ALLOW_CONNECTIONS true")
	if err != nil {
		return err
	}
	now, err := g.readProperties(ctx, tx.Conn(), name)
	if err != nil {
		return err
	}
	sql, err := clearACL(db, owner, now.ACL)
	if err != nil {
		return err
	}
	grants, err := parseACL(p.ACL, owner)
	if err != nil {
		return err
	}
	sql = append(sql, grantStatements(db, owner, grants)...)
	for _, s := range now.Settings {
		sql = append(sql, s.subject(db)+" RESET "+s.name())
	}
	for _, s := range p.Settings {
		sql = append(sql, s.subject(db)+" SET "+s.name()+" TO "+s.literal())
	}
	return exec(ctx, tx.Conn(), sql...)
}

// roles returns the roles that the properties name.
func (p Properties) roles() ([]string, error) {
	var names []string
	grants, err := parseACL(p.ACL, p.Owner)
	if err != nil {
		return nil, err
	}
	for _, g := range grants {
		names = append(names, g.grantee)
	}
	for _, s := range p.Settings {
		names = append(names, s.Role)
	}
	names = append(names, p.Owner)
	slices.Sort(names)
	return slices.DeleteFunc(slices.Compact(names), func(n string) bool { return n == "" }), nil
}

// name returns the parameter as SET takes it: a custom one is two identifiers.
func (s Setting) name() string {
	parts := strings.Split(s.Name, ".")
	for i, p := range parts {
		parts[i] = postgres.Quote(p)
	}
	return strings.Join(parts, ".")
}

// subject returns the beginning of the statement that changes the setting.
func (s Setting) subject(db string) string {
	if s.Role == "" {
		return "ALTER DATABASE " + db
	}
	return "ALTER ROLE " + postgres.Quote(s.Role) + " IN DATABASE " + db
}

// literal returns the value as SET takes it. Lists of names are kept quoted in
// the catalogue, and as one literal would be one name; see pg_dump and
// GUC_LIST_QUOTE.
func (s Setting) literal() string {
	lists := []string{
		"local_preload_libraries", "search_path", "session_preload_libraries",
		"shared_preload_libraries", "temp_tablespaces", "unix_socket_directories",
	}
	if !slices.Contains(lists, strings.ToLower(s.Name)) {
		return postgres.Literal(s.Value)
	}
	names := splitNames(s.Value)
	if len(names) == 0 {
		return "''"
	}
	for i, n := range names {
		names[i] = postgres.Literal(n)
	}
	return strings.Join(names, ", ")
}

// splitNames reads a list of identifiers, some of them quoted.
func splitNames(list string) []string {
	var names []string
	for rest := strings.TrimSpace(list); rest != ""; {
		var name string
		if rest[0] == '"' {
			name, rest = postgres.Unquote(rest)
		} else {
			end := strings.IndexByte(rest+",", ',')
			name, rest = strings.TrimSpace(rest[:end]), rest[end:]
		}
		names = append(names, name)
		rest = strings.TrimSpace(rest)
		rest = strings.TrimSpace(strings.TrimPrefix(rest, ","))
	}
	return names
}
