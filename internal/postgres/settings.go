package postgres

import (
	"errors"
	"maps"
	"os"
	"strings"

	"github.com/jackc/pgservicefile"

	"github.com/envdb/envdb"
)

// settings are the parameters of a connection by libpq's names, merged from
// all the places that pgx reads: the environment, a service file and the
// connection string, of which the later win.
type settings map[string]string

// environmentNames maps a parameter to the variable from which libpq takes it.
// See the PostgreSQL manual, section "Environment Variables".
func environmentNames() map[string]string {
	return map[string]string{
		"host": "PGHOST", "port": "PGPORT", "dbname": "PGDATABASE", "user": "PGUSER",
		"password": "PGPASSWORD", "passfile": "PGPASSFILE", "options": "PGOPTIONS",
		"application_name": "PGAPPNAME", "connect_timeout": "PGCONNECT_TIMEOUT",
		"sslmode": "PGSSLMODE", "sslkey": "PGSSLKEY", "sslcert": "PGSSLCERT",
		"sslcertmode": "PGSSLCERTMODE", "sslsni": "PGSSLSNI", "sslrootcert": "PGSSLROOTCERT",
		"sslnegotiation": "PGSSLNEGOTIATION", "target_session_attrs": "PGTARGETSESSIONATTRS",
		"krbsrvname": "PGKRBSRVNAME", "channel_binding": "PGCHANNELBINDING",
		"require_auth": "PGREQUIREAUTH", "min_protocol_version": "PGMINPROTOCOLVERSION",
		"max_protocol_version": "PGMAXPROTOCOLVERSION", "timezone": "PGTZ",
	}
}

// readSettings reads a connection string that parse has accepted.
func readSettings(to envdb.ConnString) (settings, error) {
	given, err := written(to.Reveal())
	if err != nil {
		return nil, malformed(err)
	}
	merged := settings{}
	for name, variable := range environmentNames() {
		if value := os.Getenv(variable); value != "" {
			merged[name] = value
		}
	}
	service := firstOf(given["service"], os.Getenv("PGSERVICE"))
	if service != "" {
		file := firstOf(given["servicefile"], os.Getenv("PGSERVICEFILE"), homeFile(".pg_service.conf"))
		found, err := readService(file, service)
		if err != nil {
			return nil, err
		}
		maps.Copy(merged, found)
	}
	maps.Copy(merged, given)
	delete(merged, "service")
	delete(merged, "servicefile")
	return merged, nil
}

func readService(file, name string) (settings, error) {
	services, err := pgservicefile.ReadServicefile(file)
	if err != nil {
		return nil, envdb.Fail(envdb.ErrMisuse, "the service file %s cannot be read: %w", file, err)
	}
	service, err := services.GetService(name)
	if err != nil {
		return nil, envdb.Fail(envdb.ErrMisuse, "the service file %s has no service %q", file, name)
	}
	found := settings{}
	for key, value := range service.Settings {
		found[canonical(key)] = value
	}
	return found, nil
}

func homeFile(name string) string {
	home, err := os.UserHomeDir()
	if err != nil {
		return name
	}
	return home + "/" + name
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// canonical returns libpq's name of a parameter that pgx also knows by another.
func canonical(key string) string {
	if key == "database" {
		return "dbname"
	}
	return key
}

var errUnreadable = errors.New("unreadable connection string")

// written returns what stands in a connection string.
func written(s string) (settings, error) {
	if isURI(s) {
		return writtenURI(s)
	}
	return writtenKeywords(s)
}

// writtenURI reads the form postgres://user:password@host:port,…/dbname?key=value.
func writtenURI(s string) (settings, error) {
	out := settings{}
	head, query := splitURI(s)
	rest := head[strings.Index(head, "://")+len("://"):]
	if i := strings.IndexByte(rest, '@'); i >= 0 {
		user, password, _ := strings.Cut(rest[:i], ":")
		out.set("user", user)
		out.set("password", password)
		rest = rest[i+1:]
	}
	hosts, ports := splitHosts(rest)
	out.set("host", hosts)
	out.set("port", ports)
	path, _, _ := strings.Cut(strings.TrimPrefix(s, head), "?")
	out.set("dbname", strings.TrimPrefix(path, "/"))
	for pair := range strings.SplitSeq(query, "&") {
		key, value, _ := strings.Cut(pair, "=")
		if pair == "" {
			continue
		}
		key = percentDecode(key)
		if key == "ssl" && value == "true" {
			key, value = "sslmode", "require"
		}
		out[canonical(key)] = percentDecode(value)
	}
	return out, nil
}

// set keeps a percent-encoded value, unless it is empty.
func (s settings) set(key, encoded string) {
	if encoded != "" {
		s[key] = percentDecode(encoded)
	}
}

// splitHosts turns "h1:5432,[::1]:5433,h3" into libpq's two lists. Without a
// port anywhere the second is empty.
func splitHosts(list string) (hosts, ports string) {
	var hs, ps []string
	for part := range strings.SplitSeq(list, ",") {
		host, port := part, ""
		if end := strings.IndexByte(part, ']'); strings.HasPrefix(part, "[") && end > 0 {
			host, port = part[1:end], strings.TrimPrefix(part[end+1:], ":")
		} else if before, after, found := strings.Cut(part, ":"); found {
			host, port = before, after
		}
		hs, ps = append(hs, host), append(ps, port)
	}
	hosts, ports = strings.Join(hs, ","), strings.Join(ps, ",")
	if strings.Trim(ports, ",") == "" {
		ports = ""
	}
	return hosts, ports
}

// percentDecode decodes a component that pgx has accepted; anything that is
// not an escape stands for itself, a plus sign included.
func percentDecode(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			hi, lo := hexDigit(s[i+1]), hexDigit(s[i+2])
			if hi >= 0 && lo >= 0 {
				b.WriteByte(byte(hi<<4 | lo))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func hexDigit(c byte) int {
	return strings.IndexByte("0123456789abcdef", c|0x20)
}

// writtenKeywords reads the form key=value key='quoted value'.
func writtenKeywords(s string) (settings, error) {
	const space = " \t\n\r\v\f"
	out := settings{}
	for s = strings.TrimLeft(s, space); s != ""; s = strings.TrimLeft(s, space) {
		key, rest, found := strings.Cut(s, "=")
		if !found {
			return nil, errUnreadable
		}
		value, rest, err := takeValue(strings.TrimLeft(rest, space))
		if err != nil {
			return nil, err
		}
		out[canonical(strings.Trim(key, space))] = value
		s = rest
	}
	return out, nil
}

// takeValue reads one value, quoted or not, from the front of s.
func takeValue(s string) (value, rest string, err error) {
	quoted := strings.HasPrefix(s, "'")
	if quoted {
		s = s[1:]
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\':
			i++
			if i < len(s) {
				b.WriteByte(s[i])
			}
		case quoted && s[i] == '\'':
			return b.String(), s[i+1:], nil
		case !quoted && strings.IndexByte(" \t\n\r\v\f", s[i]) >= 0:
			return b.String(), s[i:], nil
		default:
			b.WriteByte(s[i])
		}
	}
	if quoted {
		return "", "", errUnreadable
	}
	return b.String(), "", nil
}
