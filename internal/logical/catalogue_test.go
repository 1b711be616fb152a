package logical

import (
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"testing"

	"github.com/envdb/envdb"
)

// A catalogue of version 1 with a value in every field, and a line of large
// objects, are frozen in testdata: they stand for what lies in the stores of
// people. Whatever envdb becomes, it reads them, and loses no field.
func TestCataloguesOfVersion1StayReadable(t *testing.T) {
	t.Parallel()
	for file, into := range map[string]any{"catalogue-1.json": new(Catalogue), "large-object-1.json": new(LargeObject)} {
		text, err := os.ReadFile("testdata/" + file)
		if err != nil {
			t.Fatal(err)
		}
		strict := json.NewDecoder(bytes.NewReader(text))
		strict.DisallowUnknownFields()
		if err := strict.Decode(into); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		again, err := json.Marshal(into)
		if err != nil {
			t.Fatal(err)
		}
		var frozen, now any
		if err := json.Unmarshal(text, &frozen); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(again, &now); err != nil {
			t.Fatal(err)
		}
		if at := lost(frozen, now); at != "" {
			t.Errorf("%s: %s is not what it was:\n%s", file, at, again)
		}
	}
}

// lost returns where frozen has what now has not, or "" if nowhere.
func lost(frozen, now any) string {
	switch frozen := frozen.(type) {
	case map[string]any:
		object, _ := now.(map[string]any)
		for key, value := range frozen {
			if at := lost(value, object[key]); at != "" {
				return key + " " + at
			}
		}
		return ""
	case []any:
		list, _ := now.([]any)
		for i, value := range frozen {
			if len(list) != len(frozen) {
				return "a list"
			}
			if at := lost(value, list[i]); at != "" {
				return "[] " + at
			}
		}
		return ""
	}
	if reflect.DeepEqual(frozen, now) {
		return ""
	}
	return "a value"
}

// Fingerprints in old backups are compared with rows that are hashed today.
func TestRowsAreHashedAsEver(t *testing.T) {
	t.Parallel()
	// XXH3-128 of nothing, with the seed 0, as its authors give it.
	want := envdb.Fingerprint{Hi: 0x99aa06d3014798d8, Lo: 0x6001c324468d497f}
	if got := HashRow(nil); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
