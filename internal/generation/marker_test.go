package generation_test

import (
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/generation"
)

func TestComments(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, comment, user string
		marked              bool
	}{
		{"empty", "", "", false},
		{"a person's", "our database\nsince 2019", "our database\nsince 2019", false},
		{"only a marker", `envdb: {"environment":"qa"}`, "", true},
		{"both", "ours\nenvdb: {\"environment\":\"qa\"}", "ours", true},
		{"a newer envdb's", `envdb: {"environment":"qa","not known yet":[1]}`, "", true},
		{"cut off", `envdb: {"environment":"qa"`, `envdb: {"environment":"qa"`, false},
		{"text behind it", "envdb: {\"environment\":\"qa\"}\nedited by hand", "envdb: {\"environment\":\"qa\"}\nedited by hand", false},
		{"about envdb", "envdb: keeps this", "envdb: keeps this", false},
		{"wrong types", `envdb: {"environment":7}`, `envdb: {"environment":7}`, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			user, m := generation.SplitComment(c.comment)
			if user != c.user || (m != nil) != c.marked {
				t.Errorf("got %q, %+v", user, m)
			}
		})
	}
}

func TestCommentsSurvive(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		user := rapid.String().Draw(t, "comment")
		env := rapid.StringN(1, 40, -1).Draw(t, "environment")
		want := generation.Marker{Environment: env, Base: rapid.String().Draw(t, "base"), State: envdb.Live, OID: 7}
		text, err := generation.JoinComment(user, want)
		if err != nil {
			t.Fatal(err)
		}
		gotUser, got := generation.SplitComment(text)
		if gotUser != user || got == nil || !reflect.DeepEqual(*got, want) {
			t.Fatalf("got %q, %+v", gotUser, got)
		}
	})
}

func TestNamesFit(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		base := rapid.StringN(1, -1, 63).Draw(t, "base")
		id := rapid.StringMatching(`[a-z0-9-]{1,80}`).Draw(t, "id")
		state := rapid.SampledFrom([]envdb.VersionState{envdb.Dark, envdb.Previous, envdb.Aside}).Draw(t, "state")
		name := generation.Name(base, state, id)
		if len(name) > 63 || name == base {
			t.Fatalf("%q", name)
		}
	})
}
