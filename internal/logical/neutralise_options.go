package logical

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/envdb/envdb/internal/logical/archive"
	"github.com/envdb/envdb/internal/postgres"
	"github.com/envdb/envdb/seed/statement"
)

// What makes an option of a foreign-data wrapper, a server, a foreign table or
// a column of one a secret: its name, or a password inside its value. A wrapper
// without a validator takes any option, so the rule rather takes too many.
var (
	secretName  = regexp.MustCompile(`(?i)pass|pwd|secret|token|credential|key|auth|private`)
	secretValue = regexp.MustCompile(`(?i)(pass\w*|pwd|secret\w*|\w*token|\w*key|credentials?)\s*[=:]|://[^/?#\s]*:\S*@`)
	encoded     = regexp.MustCompile(`%[0-9a-fA-F]{2}`)
)

// harmlessOption stands for a secret that a wrapper insists on.
const harmlessOption = "neutralised"

// isSecretOption reports whether an option must not be in a neutralised copy.
func isSecretOption(name, value string) bool {
	if value == harmlessOption {
		return false
	}
	return secretName.MatchString(name) || secretValue.MatchString(encoded.ReplaceAllStringFunc(value, decoded))
}

// decoded returns the character that %XX stands for.
func decoded(hex string) string {
	n, err := strconv.ParseUint(hex[1:], 16, 8)
	if err != nil {
		return hex
	}
	return string([]byte{byte(n)})
}

// optionClasses are the kinds of entries with options, and their classes in
// the inventory.
var optionClasses = map[string]string{
	"FOREIGN DATA WRAPPER": "foreign-data wrapper",
	"SERVER":               "server",
	"FOREIGN TABLE":        "foreign table",
}

// creation returns what creates the object; of a neutralised one, without
// secret options.
func (d *loader) creation(e archive.Entry) string {
	class := optionClasses[e.Type]
	if d.Neutralise == nil || class == "" {
		return e.SQL()
	}
	sql, changed := withoutSecretOptions(e.SQL(), "")
	object := []string{e.Tag}
	if e.Schema != "" {
		object = []string{e.Schema, e.Tag}
	}
	for _, c := range changed {
		class, name := class, slices.Clone(object)
		if c.column != "" {
			class, name = "column", append(name, c.column)
		}
		d.record.changedOptions(class + " " + quoted(name))
		d.record.didNeutralise(fmt.Sprintf("option %s of %s %s is not carried over", c.option, class, strings.Join(name, ".")))
	}
	return sql
}

// creationWithBlanks returns what creates an object whose wrapper insists on
// options that were left out, or "" for any other.
func (d *loader) creationWithBlanks(e archive.Entry, failed string) string {
	if d.Neutralise == nil || optionClasses[e.Type] == "" || failed == d.ownerStatement(e) {
		return ""
	}
	sql, changed := withoutSecretOptions(e.SQL(), postgres.Literal(harmlessOption))
	if len(changed) == 0 {
		return ""
	}
	return sql
}

// changedOption is an option that was secret, and the column that it is of.
type changedOption struct{ column, option string }

// withoutSecretOptions replaces the values of secret options by a literal, or
// leaves the options out if that is empty.
func withoutSecretOptions(sql, literal string) (string, []changedOption) {
	var all []changedOption
	var kept []string
	for _, one := range statement.Texts(sql) {
		text, changed := rewriteOptions(one, literal)
		all = append(all, changed...)
		if text != "" {
			kept = append(kept, text+";")
		}
	}
	if len(all) == 0 {
		return sql, nil
	}
	return strings.Join(kept, "\n"), all
}

// rewriteOptions is withoutSecretOptions for one statement. It returns "" for
// an ALTER of which nothing remains.
func rewriteOptions(sql, literal string) (string, []changedOption) {
	tokens := statement.Tokens(sql)
	isAlter := len(tokens) > 0 && tokens[0].Is("ALTER")
	var out strings.Builder
	var changed []changedOption
	written := 0
	for i := 0; i+1 < len(tokens); i++ {
		options, end := optionList(tokens[i:])
		if end == 0 {
			continue
		}
		var list []string
		for _, o := range options {
			if !isSecretOption(o.name.Name(), o.value.Text) {
				list = append(list, sql[o.name.Start:o.value.End])
				continue
			}
			c := changedOption{option: o.name.Name()}
			if isAlter && i > 0 {
				c.column = tokens[i-1].Name()
			}
			changed = append(changed, c)
			if literal != "" {
				list = append(list, o.name.Text+" "+literal)
			}
		}
		if isAlter && len(list) == 0 {
			return "", changed
		}
		out.WriteString(sql[written:tokens[i].Start])
		if len(list) > 0 {
			out.WriteString("OPTIONS (" + strings.Join(list, ", ") + ")")
		}
		written = tokens[i+end].End
		i += end
	}
	return out.String() + sql[written:], changed
}

type option struct{ name, value statement.Token }

// optionList reads OPTIONS (name 'value', …) at the beginning of tokens, and
// returns the index of its closing parenthesis, or 0 if it is something else.
func optionList(tokens []statement.Token) ([]option, int) {
	if !tokens[0].Is("OPTIONS") || tokens[1].Text != "(" {
		return nil, 0
	}
	var list []option
	for i := 2; i+2 < len(tokens); i += 3 {
		name, value := tokens[i], tokens[i+1]
		if !strings.HasSuffix(value.Text, "'") {
			return nil, 0
		}
		list = append(list, option{name, value})
		switch tokens[i+2].Text {
		case ")":
			return list, i + 2
		case ",":
		default:
			return nil, 0
		}
	}
	return nil, 0
}

// quoted writes a name so that two spellings of it are equal.
func quoted(name []string) string {
	var parts []string
	for _, n := range name {
		parts = append(parts, postgres.Quote(n))
	}
	return strings.Join(parts, ".")
}

// objectsButOptions compares the inventories, and explains what was done to
// the options of foreign objects. The load says to which.
func (c *checker) objectsButOptions(ctx context.Context) (CheckResult, error) {
	result, err := c.objects(ctx)
	if err != nil {
		return result, err
	}
	found := result.Differences
	result.Differences = nil
	for _, d := range found {
		var name []string
		for i, t := range statement.Tokens(d.Identity) {
			if i%2 == 0 {
				name = append(name, t.Name())
			}
		}
		object := d.Class + " " + quoted(name)
		switch {
		case d.Kind == Extra && d.Class == "user mapping" && slices.Contains(c.expect.Loaded.Remapped, d.Class+" "+strings.Join(name, " on ")):
			d.Why = "remapped: it is what the configuration says"
		case d.Kind != Different:
		case slices.Contains(c.expect.Loaded.Remapped, object):
			d.Why = "remapped: its options are those of the configuration"
		case slices.Contains(c.expect.Loaded.ChangedOptions, object):
			d.Why = "neutralised: secret options are not carried over"
		}
		result.sort(d)
	}
	return result, nil
}

// optionsQuery lists the options that are a user's, not an extension's.
const optionsQuery = `
	SELECT o.class, o.identity, p.option_name, coalesce(p.option_value, '') FROM (
		SELECT 'foreign-data wrapper' AS class, fdwname::text AS identity, fdwoptions AS options, 'pg_catalog.pg_foreign_data_wrapper'::regclass AS classid, oid AS objid
			FROM pg_catalog.pg_foreign_data_wrapper
		UNION ALL SELECT 'server', srvname::text, srvoptions, 'pg_catalog.pg_foreign_server'::regclass, oid FROM pg_catalog.pg_foreign_server
		UNION ALL SELECT 'foreign table', ftrelid::regclass::text, ftoptions, 'pg_catalog.pg_class'::regclass, ftrelid FROM pg_catalog.pg_foreign_table
		UNION ALL SELECT 'column', attrelid::regclass::text || '.' || attname, attfdwoptions, 'pg_catalog.pg_class'::regclass, attrelid
			FROM pg_catalog.pg_attribute WHERE attfdwoptions IS NOT NULL AND NOT attisdropped) AS o,
		LATERAL pg_catalog.pg_options_to_table(o.options) AS p
	WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS d WHERE d.classid = o.classid AND d.objid = o.objid AND d.deptype = 'e')
	ORDER BY 1, 2, 3`

// secretsLeft lists the secret options and connections of a database. The
// user's files may have made some; those are theirs to answer for.
func (c *checker) secretsLeft(ctx context.Context) ([]Difference, error) {
	options, err := query[struct{ Class, Identity, Name, Value string }](ctx, c.conn, optionsQuery)
	if err != nil {
		return nil, stepError("look for the options of foreign servers", err)
	}
	var out []Difference
	for _, o := range options {
		if !isSecretOption(o.Name, o.Value) {
			continue
		}
		d := Difference{Kind: Extra, Class: "secret option", Identity: o.Name + " of " + o.Class + " " + o.Identity, Why: c.files()}
		if slices.Contains(c.expect.Loaded.Remapped, o.Class+" "+postgres.Quote(o.Identity)) {
			d.Why = "remapped: it is what the configuration says"
		}
		out = append(out, d)
	}
	if !c.roles.superuser {
		return out, nil // only a superuser may read where a subscription connects to
	}
	connected, err := query[struct{ Name string }](ctx, c.conn, `SELECT subname::text FROM pg_catalog.pg_subscription
		WHERE subdbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) AND subconninfo <> `+postgres.Literal(harmlessConnection))
	if err != nil {
		return nil, stepError("look for the connections of subscriptions", err)
	}
	for _, s := range connected {
		out = append(out, Difference{Kind: Extra, Class: "connection of subscription", Identity: s.Name, Why: c.files()})
	}
	return out, nil
}
