package drill

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/envdb/envdb"
)

// UserCheck is a file of SQL with what is expected of it, in comments:
//
//	-- expect: 0 rows            (the default; also "rows > 10")
//	-- expect: value > 1000      (the first column of the last statement's first row)
//	-- severity: warn            (what is found is a warning and no failure)
type UserCheck struct {
	Path string
	SQL  string
	Warn bool

	value   bool // of a value, not of the number of rows
	compare string
	want    string
}

var (
	directive   = regexp.MustCompile(`^\s*--\s*(expect|severity)\s*:\s*(.*?)\s*$`)
	expectRows  = regexp.MustCompile(`^(?:(\d+)\s+rows?|rows\s*(=|==|!=|<>|<|<=|>|>=)\s*(\d+))$`)
	expectValue = regexp.MustCompile(`^value\s*(=|==|!=|<>|<=|>=|<|>)\s*(.+)$`)
	elsewhere   = regexp.MustCompile(`(?i)\bdblink(_\w+)?\s*\(|\bPROGRAM\s+'|\bpg_read_file\s*\(|\blo_export\s*\(|\bpg_ls_dir\s*\(`)
)

// ParseUserCheck reads what a file expects. Its errors name file and line.
func ParseUserCheck(path, sql string) (UserCheck, error) {
	c := UserCheck{Path: path, SQL: sql, compare: "=", want: "0"}
	wrong := func(line int, format string, args ...any) error {
		return envdb.Fail(envdb.ErrMisuse, "%s:%d: %s", path, line, fmt.Sprintf(format, args...)).
			WithNext(`write e.g. "-- expect: 0 rows", "-- expect: value > 1000" or "-- severity: warn"`)
	}
	var expected bool
	for i, line := range strings.Split(sql, "\n") {
		if strings.HasPrefix(strings.TrimSpace(line), `\`) {
			return c, wrong(i+1, "%q is a command of psql, which checks are not run with", strings.TrimSpace(line))
		}
		if found := elsewhere.FindString(line); found != "" && !strings.HasPrefix(strings.TrimSpace(line), "--") {
			return c, wrong(i+1, "%q reaches out of the restored database", strings.TrimSpace(found))
		}
		m := directive.FindStringSubmatch(line)
		switch {
		case m == nil:
		case m[1] == "severity":
			if m[2] != "warn" && m[2] != "fail" {
				return c, wrong(i+1, "severity %q is neither warn nor fail", m[2])
			}
			c.Warn = m[2] == "warn"
		case expected:
			return c, wrong(i+1, "a second expectation; a file has one")
		default:
			expected = true
			if !c.expect(m[2]) {
				return c, wrong(i+1, "%q is no expectation", m[2])
			}
		}
	}
	if strings.TrimSpace(stripComments(sql)) == "" {
		return c, wrong(1, "there is no statement in it")
	}
	return c, nil
}

func (c *UserCheck) expect(text string) bool {
	if m := expectRows.FindStringSubmatch(text); m != nil {
		c.value = false
		if m[1] != "" {
			c.compare, c.want = "=", m[1]
		} else {
			c.compare, c.want = m[2], m[3]
		}
		return true
	}
	if m := expectValue.FindStringSubmatch(text); m != nil {
		c.value, c.compare, c.want = true, m[1], strings.Trim(m[2], `'"`)
		return true
	}
	return false
}

// stripComments takes lines that are comments out.
func stripComments(sql string) string {
	var kept []string
	for _, line := range strings.Split(sql, "\n") {
		if !strings.HasPrefix(strings.TrimSpace(line), "--") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\n")
}

// Expects says what the check expects, e.g. "value > 1000".
func (c UserCheck) Expects() string {
	if c.value {
		return "value " + c.compare + " " + c.want
	}
	if c.compare == "=" {
		return c.want + " rows"
	}
	return "rows " + c.compare + " " + c.want
}

// Judge says what is wrong with what the statements returned, or "". Value is
// nil for NULL, or where there was no row.
func (c UserCheck) Judge(rows int, value *string) string {
	if !c.value {
		if holds(strconv.Itoa(rows), c.compare, c.want) {
			return ""
		}
		return fmt.Sprintf("%s, and %s expected", plural(rows, "row"), c.Expects())
	}
	switch {
	case value == nil:
		return "no value, and " + c.Expects() + " expected"
	case holds(*value, c.compare, c.want):
		return ""
	}
	return fmt.Sprintf("the value is %s, and %s expected", *value, c.Expects())
}

// holds compares as numbers where both are, and as texts otherwise.
func holds(got, compare, want string) bool {
	a, errA := strconv.ParseFloat(got, 64)
	b, errB := strconv.ParseFloat(want, 64)
	order := strings.Compare(got, want)
	if errA == nil && errB == nil {
		switch {
		case a < b:
			order = -1
		case a > b:
			order = 1
		default:
			order = 0
		}
	}
	switch compare {
	case "=", "==":
		return order == 0
	case "!=", "<>":
		return order != 0
	case "<":
		return order < 0
	case "<=":
		return order <= 0
	case ">":
		return order > 0
	}
	return order >= 0
}
