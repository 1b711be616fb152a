package logical

import (
	"context"
	"fmt"
	"strings"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/logical/archive"
	"github.com/envdb/envdb/internal/postgres"
	"github.com/envdb/envdb/seed/statement"
)

// grant restores privileges and default privileges.
func (d *loader) grant(ctx context.Context, s *session) error {
	for i, e := range d.plan.grants {
		if err := d.restore(ctx, s, e); err != nil {
			return err
		}
		d.Report.Send(envdb.Progress{Step: "grant", Done: int64(i + 1), Total: int64(len(d.plan.grants)), Unit: "objects"})
	}
	return nil
}

// grantStatements returns the statements of an ACL entry that this target can
// follow: those for missing roles are dropped, and what concerned an owner
// that was mapped concerns envdb's role.
func (d *loader) grantStatements(e archive.Entry) []string {
	var out []string
	acting := false
	for _, sql := range statement.Texts(e.Definition) {
		g := parseGrant(sql)
		switch {
		case g.grantor != "":
			acting = d.roles.granted[g.grantor] && g.grantor != d.roles.current
			if acting {
				// A superuser is not needed to act as a role, only to become it.
				out = append(out, "SET ROLE "+postgres.Quote(g.grantor))
			}
		case g.reset:
			if acting {
				out = append(out, "RESET ROLE")
			}
			acting = false
		default:
			out = append(out, d.grantStatement(e, sql, g)...)
		}
	}
	if acting {
		out = append(out, "RESET ROLE")
	}
	return out
}

// grantStatement returns the statement as this target can follow it, or none.
func (d *loader) grantStatement(e archive.Entry, sql string, g grantee) []string {
	if g.defaultsOf != "" && !d.roles.granted[g.defaultsOf] {
		d.record.note(fmt.Sprintf("default privileges of role %s were left out: the target lacks it, or its role may not act as it", g.defaultsOf))
		return nil
	}
	if g.public || d.roles.exists[g.name] && (g.name != e.Owner || d.roles.granted[g.name]) {
		return []string{sql}
	}
	if g.name == e.Owner {
		return []string{sql[:g.start] + postgres.Quote(d.owner(e.Owner)) + sql[g.end:]}
	}
	d.record.note(fmt.Sprintf("grants to role %s were left out: the target lacks it", g.name))
	return nil
}

// grantee is what one statement of an ACL entry says of roles.
type grantee struct {
	name       string
	public     bool
	start, end int // of the name in the text

	defaultsOf string // ALTER DEFAULT PRIVILEGES FOR ROLE
	grantor    string // SET SESSION AUTHORIZATION
	reset      bool   // RESET SESSION AUTHORIZATION
}

// parseGrant reads a statement as buildACLCommands of pg_dump writes it, with
// one role at its end.
func parseGrant(sql string) grantee {
	tokens := statement.Tokens(sql)
	var g grantee
	if len(tokens) < 3 {
		return g
	}
	switch {
	case tokens[0].Is("SET"):
		g.grantor = roleName(tokens[len(tokens)-1])
		return g
	case tokens[0].Is("RESET"):
		g.reset = true
		return g
	case tokens[0].Is("ALTER") && len(tokens) > 5 && tokens[3].Is("FOR"):
		g.defaultsOf = tokens[5].Name()
	}
	if n := len(tokens); n > 3 && tokens[n-3].Is("WITH") && tokens[n-2].Is("GRANT") && tokens[n-1].Is("OPTION") {
		tokens = tokens[:n-3]
	}
	last := tokens[len(tokens)-1]
	g.name, g.start, g.end = last.Name(), last.Start, last.End
	g.public = last.Is(publicRole)
	return g
}

// roleName reads a role that stands as an identifier or as a literal.
func roleName(t statement.Token) string {
	if strings.HasPrefix(t.Text, "'") {
		return strings.ReplaceAll(strings.Trim(t.Text, "'"), "''", "'")
	}
	return t.Name()
}

// policyStatements returns a policy for those of its roles that the target
// has. One that would be left with none is not in the plan.
func (d *loader) policyStatements(e archive.Entry) []string {
	names := policyRoles(statement.Tokens(e.Definition))
	if len(names) == 0 {
		return []string{e.SQL()}
	}
	var kept []string
	for _, t := range names {
		if t.Is(publicRole) || d.roles.exists[t.Name()] {
			kept = append(kept, t.Text)
			continue
		}
		d.record.note(fmt.Sprintf("policy %s: role %s was left out: the target lacks it", e.Tag, t.Name()))
	}
	from, to := names[0].Start, names[len(names)-1].End
	return []string{e.Definition[:from] + strings.Join(kept, ", ") + e.Definition[to:]}
}

// policyRoles returns the roles of a CREATE POLICY; none means everyone.
func policyRoles(tokens []statement.Token) []statement.Token {
	for i, t := range tokens {
		if t.Is("USING") || t.Is("CHECK") {
			break
		}
		if !t.Is("TO") {
			continue
		}
		var names []statement.Token
		for i++; i < len(tokens); i += 2 {
			names = append(names, tokens[i])
			if i+1 == len(tokens) || tokens[i+1].Text != "," {
				break
			}
		}
		return names
	}
	return nil
}

// mappedUser returns the role of a CREATE USER MAPPING.
func mappedUser(tokens []statement.Token) []statement.Token {
	if len(tokens) > 4 && tokens[3].Is("FOR") {
		return tokens[4:5]
	}
	return nil
}
