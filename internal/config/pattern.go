package config

import (
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/envdb/envdb"
)

// A declaration whose name has one star is a pattern: it declares every
// environment whose name it matches, each with a database of its own. What the
// star stands for takes the place of {name} in the pattern's URL.
//
// Two names never get one database. A word of small letters, digits, dots and
// hyphens becomes itself with underscores for hyphens; any other, and one that
// would be too long, ends in eight hexadecimal digits of its hash, and so does
// one that ends so by itself.

// nameMark is what stands in the URL of a pattern for the star of its name.
const nameMark = "{name}"

const (
	longestDatabase = 63 // bytes of an identifier that PostgreSQL keeps
	hashedDigits    = 8
	// leastRoom is a hash with a recognisable piece before it.
	leastRoom = hashedDigits + 1 + 4
)

var (
	// marked is nameMark; behind a $ it is a variable of that name.
	marked     = regexp.MustCompile(`\$*\{name\}`)
	plainWord  = regexp.MustCompile(`^[a-z0-9.-]+$`)
	hashedWord = regexp.MustCompile(`-[0-9a-f]{8}$`)
)

// Patterns returns the patterns as declared, in the order of the file: their
// names have a star, and they have no URLs.
func (c *Config) Patterns() []Environment { return c.declared(c.patterns) }

// patternOf returns the pattern that declares the environment of that name, or
// nil: of those that match, the one with the most letters beside its star, and
// of equal ones the first.
func (c *Config) patternOf(name string) *declaration {
	if envdb.CheckName(name) != nil || slices.ContainsFunc(c.environments, func(d *declaration) bool { return strings.EqualFold(d.Name, name) }) {
		return nil
	}
	var best *declaration
	for _, d := range c.patterns {
		if _, matches := d.stands(name); matches && (best == nil || len(d.Name) > len(best.Name)) {
			best = d
		}
	}
	return best
}

// isPattern reports whether the name of an entry makes it a pattern.
func isPattern(name string) bool { return strings.ContainsAny(name, "*?{") }

// stands returns what the star of a pattern stands for in name.
func (d *declaration) stands(name string) (string, bool) {
	before, after, _ := strings.Cut(d.Name, "*")
	if len(name) <= len(before)+len(after) || !strings.HasPrefix(name, before) || !strings.HasSuffix(name, after) {
		return "", false
	}
	return name[len(before) : len(name)-len(after)], true
}

// checkPatternName records what is wrong with the name of a pattern.
func (e entry) checkPatternName() {
	before, after, _ := strings.Cut(e.name, "*")
	switch {
	case strings.ContainsAny(e.name, "?{") || strings.Contains(after, "*"):
		e.doc.fault(e.at, "write test-*", "%s: a pattern has one star, and no other sign", e.path)
	case before+after == "":
		e.doc.fault(e.at, "write test-*", "%s: a pattern has letters beside its star: every mistyped name would be one of it", e.path)
	default:
		if err := envdb.CheckName(before + "x" + after); err != nil {
			e.doc.fault(e.at, "", "environments: %v", err)
		}
	}
}

// checkPattern records what a pattern may not say.
func (d *declaration) checkPattern(seen map[string]entry) {
	if at, found := seen["tier"]; found && d.Tier == envdb.Production {
		at.fault("is production: what comes and goes cannot be")
	}
	if at, found := seen["protected"]; found && d.MarkedProtected {
		at.hint("protect one of them for a time: envdb env protect NAME 2d", "is true, and what is protected never goes")
	}
	for _, t := range []text{d.url, d.directURL} {
		t.checkMark()
	}
}

// checkMark records a connection string that would lead every environment of a
// pattern to one database.
func (t text) checkMark() {
	switch {
	case t.empty() || t.isWhole():
		return // what it refers to is looked at when it is resolved
	case t.named("x") == t.raw:
		t.hint("write postgres://…/test_"+nameMark+", or env:VARIABLE that holds such a one", "has no %s in it: every environment of the pattern would be one database", nameMark)
	case !t.refers():
		if _, wrong := roomIn(t.named); wrong != "" {
			t.hint("write postgres://…/test_"+nameMark, "%s", wrong)
		}
	}
}

// roomIn returns how many bytes a word may have in the database's name of a
// connection string, and otherwise what is wrong. filled returns the string
// with a word in it.
func roomIn(filled func(word string) string) (room int, wrong string) {
	one, two := databaseOf(filled("a")), databaseOf(filled("aa"))
	places := len(two) - len(one)
	if places == 0 {
		return 0, "has no " + nameMark + " in the name of the database: every environment of the pattern would be one database"
	}
	room = (longestDatabase - (len(one) - places)) / places
	if room < leastRoom {
		return 0, "names a database so long that nothing is left for " + nameMark + ": PostgreSQL keeps 63 bytes"
	}
	return room, ""
}

// databaseWord returns what takes the place of {name} for what a star stands
// for, in at most room bytes.
func databaseWord(stands string, room int) string {
	word := strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9', r == '.':
			return r
		case 'A' <= r && r <= 'Z':
			return r + ('a' - 'A')
		}
		return '_'
	}, stands)
	if plainWord.MatchString(stands) && !hashedWord.MatchString(stands) && len(word) <= room {
		return word
	}
	sum := sha256.Sum256([]byte(stands))
	return word[:min(len(word), room-hashedDigits-1)] + "_" + hex.EncodeToString(sum[:])[:hashedDigits]
}

// resolveAs returns the environment of that name, which the pattern matches.
func (d *declaration) resolveAs(name string, get lookup) (Environment, error) {
	unresolved := d.Environment
	unresolved.Name, unresolved.Pattern = name, d.Name
	stands, _ := d.stands(name)
	var failed error
	room, wrong := roomIn(func(word string) string {
		held, err := d.filled(word).url.connect(get)
		if failed == nil {
			failed = err
		}
		return string(held)
	})
	if failed != nil {
		return unresolved, failed
	}
	if wrong != "" {
		return unresolved, d.url.problem(d.url.sentence("what it refers to "+wrong), "put "+nameMark+" into the name of the database", nil)
	}
	env, err := d.filled(databaseWord(stands, room)).resolve(get)
	env.Name, env.Pattern = name, d.Name
	return env, err
}

// filled returns the pattern with a word in place of {name}.
func (d *declaration) filled(word string) *declaration {
	with := *d
	for _, t := range []*text{&with.url, &with.directURL, &with.pooler, &with.maintenanceDB, &with.poolerDatabase} {
		t.word = word
	}
	return &with
}

// named returns s with the word in place of {name}.
func named(s, word string) string {
	return marked.ReplaceAllStringFunc(s, func(found string) string {
		if strings.HasPrefix(found, "$") {
			return found
		}
		return word
	})
}

// named returns the text as it stands in the file, with a word for {name}.
func (t text) named(word string) string { return named(t.raw, word) }

// twin refuses an environment of a pattern whose URL is a declared one's. Where
// that one's reference leads nowhere here, the server tells: a database knows
// whose it is.
func (c *Config) twin(env Environment) error {
	for _, d := range c.environments {
		other, err := d.url.connect(c.get)
		if err == nil && placeOf(string(other)) == placeOf(string(env.URL)) {
			return envdb.Fail(envdb.ErrRefused, "the url of %s, of the pattern %s, is that of %s too", env.Name, env.Pattern, d.Name).
				WithState("nothing was changed").WithNext("choose another name, or correct the url of %s", env.Pattern)
		}
	}
	return nil
}

// placeOf returns the servers and the database of a connection URI, without
// who connects and how; a keyword string as it is.
func placeOf(s string) string {
	parts := connURI.FindStringSubmatch(s)
	if parts == nil {
		return s
	}
	_, servers, _ := cutLast(parts[1], "@")
	return strings.ToLower(servers) + "/" + databaseOf(s)
}

// databaseOf returns the database that a connection string names.
func databaseOf(s string) string {
	parts := connURI.FindStringSubmatch(s)
	if parts == nil {
		found := keywordName.FindStringSubmatch(s)
		if found == nil {
			return ""
		}
		return strings.NewReplacer(`\'`, `'`, `\\`, `\`).Replace(strings.Trim(found[1], "'"))
	}
	if query, err := url.ParseQuery(parts[3]); err == nil && query.Get("dbname") != "" {
		return query.Get("dbname")
	}
	name, err := url.PathUnescape(parts[2])
	if err != nil {
		return parts[2]
	}
	return name
}

var keywordName = regexp.MustCompile(`(?:^|\s)dbname\s*=\s*('(?:[^'\\]|\\.)*'|\S+)`)

// readSpan reads how long something of a pattern lasts.
func (v value) readSpan(to *time.Duration) {
	if *to = v.duration(); *to <= 0 && v.plainText() != "" {
		v.fault("is no time to live")
	}
}

// checkComesAndGoes records what only a pattern may say.
func (d *declaration) checkComesAndGoes(seen map[string]entry) {
	for _, key := range []string{"ttl", "idle"} {
		if at, found := seen[key]; found {
			d.doc.fault(at.at, "for environments that come and go: test-*", "%s: what is declared by its name does not go", at.path)
		}
	}
}
