package generation

import (
	"fmt"
	"slices"
	"strings"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/postgres"
)

// grant is one aclitem of a database; see the PostgreSQL manual, section
// "Privileges".
type grant struct {
	grantee string // empty for PUBLIC
	grantor string
	plain   []string // privileges without the grant option
	options []string // privileges with it
}

// parseACLItem reads `grantee=privileges/grantor`.
func parseACLItem(item string) (grant, error) {
	grantee, rest := aclName(item)
	if !strings.HasPrefix(rest, "=") {
		return grant{}, fmt.Errorf("aclitem %q: no =", item)
	}
	privileges, grantor, ok := strings.Cut(rest[1:], "/")
	if !ok {
		return grant{}, fmt.Errorf("aclitem %q: no grantor", item)
	}
	g := grant{grantee: grantee}
	g.grantor, _ = aclName(grantor)
	words := map[byte]string{'C': "CREATE", 'T': "TEMPORARY", 'c': "CONNECT"}
	for i := 0; i < len(privileges); i++ {
		word := words[privileges[i]]
		if word == "" {
			return grant{}, fmt.Errorf("aclitem %q: unknown privilege %q", item, privileges[i])
		}
		if i+1 < len(privileges) && privileges[i+1] == '*' {
			g.options = append(g.options, word)
			i++
		} else {
			g.plain = append(g.plain, word)
		}
	}
	return g, nil
}

// aclName reads a role's name, which may be quoted, from the beginning of s.
func aclName(s string) (name, rest string) {
	if strings.HasPrefix(s, `"`) {
		return postgres.Unquote(s)
	}
	end := strings.IndexAny(s+"=", "=/")
	return s[:end], s[end:]
}

// clearACL returns what takes every privilege away, also those of PostgreSQL's
// default, which a copied database has. Grants that others passed on go with
// those of the owner.
func clearACL(db, owner string, acl []string) ([]string, error) {
	grants, err := parseACL(acl, owner)
	if err != nil {
		return nil, err
	}
	sql := []string{"REVOKE ALL ON DATABASE " + db + " FROM PUBLIC CASCADE"}
	for _, g := range grants {
		if g.grantee != "" {
			sql = append(sql, "REVOKE ALL ON DATABASE "+db+" FROM "+postgres.Quote(g.grantee)+" CASCADE")
		}
	}
	return sql, nil
}

// parseACL reads an access list. Nil is PostgreSQL's default, spelled out.
func parseACL(acl []string, owner string) ([]grant, error) {
	if acl == nil {
		return []grant{
			{grantor: owner, plain: []string{"CONNECT", "TEMPORARY"}},
			{grantor: owner, grantee: owner, plain: []string{"CREATE", "CONNECT", "TEMPORARY"}},
		}, nil
	}
	grants := make([]grant, 0, len(acl))
	for _, item := range acl {
		g, err := parseACLItem(item)
		if err != nil {
			return nil, envdb.Fail(envdb.ErrPreflight, "the access list of the database: %w", err).WithState("nothing was changed")
		}
		grants = append(grants, g)
	}
	return grants, nil
}

// grantStatements grants what the access list says, the owner's own grants first.
// What somebody passed on is granted in their name, after they may; a grantor
// who has no right to in this list was the owner of another database.
func grantStatements(db, owner string, grants []grant) []string {
	var sql []string
	mayGrant := map[string]bool{owner: true}
	for waiting := slices.Clone(grants); len(waiting) > 0; {
		ready := slices.IndexFunc(waiting, func(g grant) bool { return mayGrant[g.grantor] })
		if ready < 0 {
			waiting[0].grantor, ready = owner, 0
		}
		g := waiting[ready]
		waiting = slices.Delete(waiting, ready, ready+1)
		sql = append(sql, g.statements(db, owner)...)
		if len(g.options) > 0 {
			mayGrant[g.grantee] = true
		}
	}
	return sql
}

func (g grant) statements(db, owner string) []string {
	to := "PUBLIC"
	if g.grantee != "" {
		to = postgres.Quote(g.grantee)
	}
	var sql []string
	if len(g.plain) > 0 {
		sql = append(sql, "GRANT "+strings.Join(g.plain, ", ")+" ON DATABASE "+db+" TO "+to)
	}
	if len(g.options) > 0 {
		sql = append(sql, "GRANT "+strings.Join(g.options, ", ")+" ON DATABASE "+db+" TO "+to+" WITH GRANT OPTION")
	}
	if g.grantor == owner || len(sql) == 0 {
		return sql
	}
	sql = append([]string{"SET LOCAL ROLE " + postgres.Quote(g.grantor)}, sql...)
	return append(sql, "RESET ROLE")
}
