package logical

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb/internal/postgres"
)

// Inventory lists what is in the database of conn, object by object, but for
// what belongs to PostgreSQL itself or to an extension. The session must be a
// pinned one: definitions are read with an empty search path. Equal objects have
// equal digests, but for the expressions, queries and statements that PostgreSQL
// keeps parsed and writes out in its own words: those may differ after a dump
// and a restore, and between major versions.
//
// A class is one word or two for each kind of object; see inventoryQueries.
// What a copy may differ in on purpose is a class of its own: "owner", "acl",
// "column acl", "default acl", "policy role", "event trigger state",
// "publication", "publication table", "publication schema", "subscription" and
// "user mapping".
func Inventory(ctx context.Context, conn *pgx.Conn) ([]Object, error) {
	return inventory(ctx, conn, newestServer)
}

// newestServer stands for a version that knows all that a server can tell.
const newestServer postgres.ServerVersion = math.MaxInt32

// inventory is Inventory as a server of the version would see it, which is not
// newer than conn's.
func inventory(ctx context.Context, conn *pgx.Conn, version postgres.ServerVersion) ([]Object, error) {
	seen := seenBy(version)
	var objects []Object
	for _, sql := range inventoryQueries() {
		found, err := inventoryPart(ctx, conn, seen.Replace(sql))
		if err != nil {
			return nil, explain(err, "read the inventory")
		}
		objects = append(objects, found...)
	}
	slices.SortFunc(objects, func(a, b Object) int {
		return cmp.Or(cmp.Compare(a.Class, b.Class), cmp.Compare(a.Identity, b.Identity), cmp.Compare(a.Digest, b.Digest))
	})
	return objects, nil
}

// inventoryQueries lists the queries, each for some classes. All yield class,
// identity and definition; what is being dropped has no identity, and is
// left out. What PostgreSQL words in a definition stands between the characters
// 1 and 2; for what begins with @, see seenBy.
func inventoryQueries() []string {
	return []string{
		inventorySchemas, inventoryExtensions,
		inventoryRelations, inventorySequences, inventoryColumns, inventoryConstraints, inventoryIndexes,
		inventoryTriggers, inventoryRules, inventoryPolicies, inventoryPolicyRoles, inventoryStatistics,
		inventoryFunctions, inventoryAggregates,
		inventoryTypes, inventoryCasts, inventoryOperators, inventoryOperatorFamilies, inventoryOperatorClasses,
		inventoryCollations, inventoryConversions, inventoryTextSearch, inventoryLanguages,
		inventoryForeign, inventoryUserMappings, inventoryEventTriggers,
		inventoryPublications, inventorySubscriptions,
		inventoryOwners, inventoryACLs, inventoryDefaultACLs, inventoryComments, inventoryLabels,
	}
}

func inventoryPart(ctx context.Context, conn *pgx.Conn, sql string) ([]Object, error) {
	rows, err := conn.Query(ctx, sql)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var objects []Object
	for rows.Next() {
		var class string
		var identity, definition *string
		if err := rows.Scan(&class, &identity, &definition); err != nil {
			return nil, err
		}
		if identity == nil {
			continue
		}
		o := Object{Class: class, Identity: *identity}
		if definition != nil && *definition != "" {
			o.define(*definition)
		}
		objects = append(objects, o)
	}
	return objects, rows.Err()
}

// The queries put these around what PostgreSQL words: expressions, queries and
// statements that it keeps parsed. They are not part of the definition.
const expressionBegins, expressionEnds = "\x01", "\x02"

// define keeps a definition's digest, and its expressions apart from it.
func (o *Object) define(definition string) {
	whole := strings.NewReplacer(expressionBegins, "", expressionEnds, "").Replace(definition)
	o.Digest = HashRow([]byte(whole)).String()
	var expressions []string
	var rest strings.Builder
	for {
		before, after, begins := strings.Cut(definition, expressionBegins)
		rest.WriteString(before)
		if !begins {
			break
		}
		expression, following, _ := strings.Cut(after, expressionEnds)
		expressions = append(expressions, expression)
		rest.WriteString(expressionBegins)
		definition = following
	}
	if len(expressions) > 0 {
		o.Expression = validText(strings.Join(expressions, "\n"))
		o.Rest = HashRow([]byte(rest.String())).String()
	}
}

// validText spells the bytes that JSON cannot hold, which a database without an
// encoding may have.
func validText(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	var out strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		if r == utf8.RuneError && size == 1 {
			fmt.Fprintf(&out, "\uFFFD%02x", s[0])
		} else {
			out.WriteString(s[:size])
		}
		s = s[size:]
	}
	return out.String()
}

// readInventory puts the inventory into the catalogue.
func (a *attempt) readInventory(ctx context.Context) (err error) {
	a.catalogue.Objects, err = Inventory(ctx, a.sessions.leader)
	return err
}
