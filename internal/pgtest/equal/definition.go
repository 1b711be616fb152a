package equal

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/envdb/envdb/internal/postgres"
)

// definitions compares what pg_dump prints, object by object: the order of
// objects that do not depend on each other is of no account.
func definitions(ctx context.Context, a, b side, o Options) ([]string, error) {
	left, err := dump(ctx, a, b, o.PgDump)
	if err != nil {
		return nil, err
	}
	right, err := dump(ctx, b, a, o.PgDump)
	if err != nil {
		return nil, err
	}
	var found []string
	for _, name := range slices.Sorted(maps.Keys(left)) {
		text, both := right[name]
		if !both {
			found = append(found, "definition only in a: "+name)
			continue
		}
		if lines := changed(left[name], text, o.Ignore); len(lines) > 0 {
			found = append(found, "definition differs: "+name+"\n\t"+strings.Join(lines, "\n\t"))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(right)) {
		if _, both := left[name]; !both {
			found = append(found, "definition only in b: "+name)
		}
	}
	return found, nil
}

// changed returns the lines that only one of the texts has ("- " for a, "+ "
// for b), or says that their order differs. Lines that ignore expects are left
// out, with or without their sign.
func changed(a, b string, ignore func(string) bool) []string {
	if a == b {
		return nil
	}
	left, right := strings.Split(a, "\n"), strings.Split(b, "\n")
	lines := append(without(left, right, "- "), without(right, left, "+ ")...)
	if len(lines) == 0 {
		return []string{"the same lines in another order:", "- " + strings.Join(left, "\n\t- "), "+ " + strings.Join(right, "\n\t+ ")}
	}
	return slices.DeleteFunc(lines, func(line string) bool {
		return ignore != nil && (ignore(line) || ignore(line[2:]))
	})
}

// without returns the lines of a that b has fewer of, each behind sign.
func without(a, b []string, sign string) []string {
	count := map[string]int{}
	for _, line := range b {
		count[line]++
	}
	var rest []string
	for _, line := range a {
		if count[line]--; count[line] < 0 {
			rest = append(rest, sign+line)
		}
	}
	return rest
}

// header is the comment that pg_dump prints above each object.
var header = regexp.MustCompile(`(?m)^--\n-- (Name: [^\n]*; Type: [^\n]*; Schema: [^\n]*; Owner: [^\n]*)\n--\n`)

// noise are the lines that say how and when a dump was made.
var noise = regexp.MustCompile(`(?m)^(\\(un)?restrict .*|-- Dumped .*|-- PostgreSQL database dump.*|--)\n`)

// dump returns the text of each object that pg_dump prints for s.
func dump(ctx context.Context, s, other side, tool string) (map[string]string, error) {
	if tool == "" {
		tools, err := postgres.FindTools(ctx, max(s.major(), other.major()))
		if err != nil {
			return nil, err
		}
		tool = tools.Dump
	}
	cmd := exec.CommandContext(ctx, tool, "--schema-only", "--dbname="+s.url.Reveal())
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s of %s: %w: %s", filepath.Base(tool), s.url, err, strings.TrimSpace(stderr.String()))
	}
	return objects(stdout.String()), nil
}

// objects splits a dump at its headers. Rights that were granted one after the
// other have no order that means anything, so the lines of ACLs are sorted;
// other objects keep theirs. Names that come twice are numbered.
func objects(text string) map[string]string {
	found := map[string]string{}
	at := header.FindAllStringSubmatchIndex(text, -1)
	for i, m := range at {
		end := len(text)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		name, body := text[m[2]:m[3]], noise.ReplaceAllString(text[m[1]:end], "")
		if strings.Contains(name, " ACL; Schema: ") {
			body = sorted(body)
		}
		key := name
		for n := 2; found[key] != ""; n++ {
			key = fmt.Sprintf("%s (%d)", name, n)
		}
		found[key] = strings.TrimSpace(body)
	}
	return found
}

func sorted(body string) string {
	lines := strings.Split(body, "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// leading matches the major version in front of "15.18 (Debian …)" or "18beta1".
var leading = regexp.MustCompile(`^\d+`)

func (s side) major() int {
	n, err := strconv.Atoi(leading.FindString(s.conn.PgConn().ParameterStatus("server_version")))
	if err != nil {
		return 0 // any pg_dump will do, and says so itself if not
	}
	return n
}
