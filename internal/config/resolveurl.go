package config

import "github.com/envdb/envdb"

// ResolveURL returns the connection string that a person gave on a command
// line: as it is, as env:NAME, as file:PATH, or with ${NAME} in it. The errors
// never quote it.
func (l Loader) ResolveURL(given string) (envdb.ConnString, error) {
	t := text{value: value{doc: &document{dir: l.WorkDir}, path: "the URL"}, raw: given}
	held, err := t.resolve(l.lookup)
	if err != nil {
		_, next := envdb.Advice(err)
		return "", &envdb.Problem{Kind: envdb.ErrMisuse, Text: err.Error(), Err: ErrUnset, State: "nothing was changed", Next: next}
	}
	check := checkConnection
	if held == given {
		check = checkGiven
	}
	if wrong, next := check(held); wrong != "" {
		return "", envdb.Fail(envdb.ErrMisuse, "the URL %s", wrong).WithState("nothing was changed").WithNext("%s", next)
	}
	return envdb.ConnString(held), nil
}
