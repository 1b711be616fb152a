package logical

import (
	"context"
	"strings"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/postgres"
)

const serverQuery = `
SELECT current_setting('server_version_num')::int, current_setting('server_version'),
       s.system_identifier::text, c.timeline_id, pg_postmaster_start_time(), pg_is_in_recovery(),
       current_setting('block_size')::int
  FROM pg_control_system() s, pg_control_checkpoint() c`

// databaseQuery reads through jsonb what some versions of the server lack: the
// locale was daticulocale until 16 and is datlocale since 17; the rules of ICU
// came with 16.
const databaseQuery = `
SELECT d.datname, d.oid, pg_get_userbyid(d.datdba), pg_encoding_to_char(d.encoding), d.datlocprovider::text, d.datcollate, d.datctype,
       coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale', ''),
       coalesce(to_jsonb(d) ->> 'daticurules', ''),
       coalesce(d.datcollversion, ''), t.spcname, d.datconnlimit, d.datacl::text[],
       coalesce(shobj_description(d.oid, 'pg_database'), ''), pg_database_size(d.oid)
  FROM pg_catalog.pg_database d JOIN pg_catalog.pg_tablespace t ON t.oid = d.dattablespace
 WHERE d.datname = current_database()`

const settingsQuery = `
SELECT coalesce(r.rolname, ''), u.setting
  FROM pg_catalog.pg_db_role_setting s
  LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole, unnest(s.setconfig) AS u (setting)
 WHERE s.setdatabase = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
   AND (s.setrole = 0 OR r.oid IS NOT NULL)
 ORDER BY 1, 2`

// readServer reads what the server and the database say of themselves.
func (a *attempt) readServer(ctx context.Context) error {
	server, err := queryOne[Server](ctx, a.sessions.leader, serverQuery)
	if err != nil {
		return explain(err, "read what the server is")
	}
	server.PostmasterStart = server.PostmasterStart.UTC()
	a.catalogue.Server = server
	type database struct {
		Name                                                              string
		OID                                                               uint32
		Owner, Encoding, Provider, Collate, CType, Locale, Rules, Version string
		Tablespace                                                        string
		Limit                                                             int
		ACL                                                               []string
		Comment                                                           string
		Size                                                              int64
	}
	d, err := queryOne[database](ctx, a.sessions.leader, databaseQuery)
	if err != nil {
		return explain(err, "read what the database is")
	}
	a.catalogue.Database = Database{
		Name: d.Name, OID: d.OID, Owner: d.Owner, Encoding: d.Encoding, LocaleProvider: d.Provider,
		Collate: d.Collate, CType: d.CType, Locale: d.Locale, ICURules: d.Rules, CollationVersion: d.Version,
		Tablespace: d.Tablespace, ConnectionLimit: d.Limit, ACL: d.ACL, Comment: d.Comment, Size: d.Size,
	}
	return a.readSettings(ctx)
}

func (a *attempt) readSettings(ctx context.Context) error {
	type setting struct{ Role, Text string }
	settings, err := query[setting](ctx, a.sessions.leader, settingsQuery)
	if err != nil {
		return explain(err, "read the database's settings")
	}
	a.catalogue.Database.Settings = []Setting{}
	for _, s := range settings {
		name, value, _ := strings.Cut(s.Text, "=")
		a.catalogue.Database.Settings = append(a.catalogue.Database.Settings, Setting{Role: s.Role, Name: name, Value: value})
	}
	return nil
}

// refuseUnsupported fails for what cannot be copied table by table, with the
// reason.
func (a *attempt) refuseUnsupported(ctx context.Context) error {
	extensions, err := query[Extension](ctx, a.sessions.leader, `
SELECT x.extname, x.extversion, n.nspname
  FROM pg_catalog.pg_extension x JOIN pg_catalog.pg_namespace n ON n.oid = x.extnamespace
 ORDER BY 1`)
	if err != nil {
		return explain(err, "list the extensions")
	}
	a.catalogue.Extensions = extensions
	reasons := map[string]string{
		"timescaledb": "it keeps the state of its hypertables in catalogues of its own, which a copy by table does not carry over",
		"citus":       "it spreads the rows over other servers, which no snapshot of this one covers",
	}
	for _, x := range extensions {
		if reason, found := reasons[x.Name]; found {
			return envdb.Fail(envdb.ErrPreflight, "the database uses the extension %s, which a logical backup does not support: %s", x.Name, reason).
				WithNext("use the backup tool of %s for this database", x.Name)
		}
	}
	return nil
}

// serverVersion is the source's version.
type serverVersion = postgres.ServerVersion
