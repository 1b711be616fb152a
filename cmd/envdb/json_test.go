package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// jsonCommand is the script command "json CODE WORD.WORD… PATH=VALUE…": it
// runs envdb with -o json and looks facts up in the one value on stdout. An
// empty VALUE means that something must stand there.
func jsonCommand(ts *testscript.TestScript, neg bool, args []string) {
	runCommand(ts, neg, append([]string{args[0], "-o", "json"}, strings.Split(args[1], ".")...))
	var whole any
	decoder := json.NewDecoder(strings.NewReader(ts.ReadFile("stdout")))
	decoder.UseNumber()
	ts.Check(decoder.Decode(&whole))
	if decoder.More() {
		ts.Fatalf("stdout holds more than one value")
	}
	for _, fact := range args[2:] {
		path, want, _ := strings.Cut(fact, "=")
		got, found := at(whole, strings.Split(path, "."))
		if !found || want != "" && fmt.Sprint(got) != want {
			ts.Fatalf("%s is %v, want %q", path, got, want)
		}
	}
}

// at returns what stands at a path of keys and indexes.
func at(v any, path []string) (any, bool) {
	for _, key := range path {
		switch x := v.(type) {
		case map[string]any:
			inside, found := x[key]
			if !found {
				return nil, false
			}
			v = inside
		case []any:
			i, err := strconv.Atoi(key)
			if err != nil || i >= len(x) {
				return nil, false
			}
			v = x[i]
		default:
			return nil, false
		}
	}
	return v, v != nil
}
