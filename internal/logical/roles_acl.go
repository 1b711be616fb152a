package logical

import (
	"strings"

	"github.com/envdb/envdb/internal/postgres"
)

// aclItem is one aclitem: what a grantor granted to a grantee. The empty
// grantee is PUBLIC.
type aclItem struct {
	grantee, grantor string
	privileges       []aclPrivilege
}

// aclPrivilege is a privilege of a large object or a database.
type aclPrivilege struct {
	name   string
	option bool // may be granted on
}

// aclNames are the privileges of large objects and databases by their letters.
// See the PostgreSQL manual, "ACL Privilege Abbreviations".
var aclNames = map[byte]string{'r': "SELECT", 'w': "UPDATE", 'C': "CREATE", 'c': "CONNECT", 'T': "TEMPORARY"}

// parseACLItem reads the text of an aclitem, e.g. `"some one"=r*w/owner`.
func parseACLItem(text string) aclItem {
	var item aclItem
	grantee, rest := aclName(text)
	item.grantee = grantee
	rest = strings.TrimPrefix(rest, "=")
	for len(rest) > 0 && rest[0] != '/' {
		switch name := aclNames[rest[0]]; {
		case rest[0] == '*' && len(item.privileges) > 0:
			item.privileges[len(item.privileges)-1].option = true
		case name != "":
			item.privileges = append(item.privileges, aclPrivilege{name: name})
		}
		rest = rest[1:]
	}
	item.grantor, _ = aclName(strings.TrimPrefix(rest, "/"))
	return item
}

// aclName takes a role name off the front of an aclitem.
func aclName(s string) (name, rest string) {
	if !strings.HasPrefix(s, `"`) {
		n := strings.IndexAny(s, "=/")
		if n < 0 {
			n = len(s)
		}
		return s[:n], s[n:]
	}
	return postgres.Unquote(s)
}
