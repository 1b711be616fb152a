package config_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/config"
)

const keyID = "00112233445566778899aabbccddeeff"

// withStore is a configuration with the given section "store".
func withStore(store string) string {
	return fmt.Sprintf("project: acme\nstore: {%s}\nenvironments:\n  qa: {tier: qa, url: \"${QA_DATABASE_URL}\"}\n", store)
}

// shownStore writes a store as one line.
func shownStore(s config.Store) string {
	style := "auto"
	if s.PathStyle != nil {
		style = fmt.Sprint(*s.PathStyle)
	}
	return strings.Join([]string{s.URL, s.Endpoint, s.Region, s.Profile, style, s.SingleWriter}, " ")
}

func TestStore(t *testing.T) {
	t.Parallel()
	variables := []string{"BUCKET=acme-backups", "AT=key:hunter2@bucket", "HOST=s3.example.com", "DIR=/backups", "EMPTY="}
	for name, c := range map[string]struct{ store, want, wrong string }{
		"bucket":        {"url: s3://acme-backups", "s3://acme-backups    auto ", ""},
		"prefix":        {"url: s3://acme-backups/a/b/", "s3://acme-backups/a/b    auto ", ""},
		"everything":    {`url: s3://acme-backups/envdb, endpoint: "https://${HOST}:9000", region: eu-central-1, profile: ceph, path_style: true, single_writer: vault`, "s3://acme-backups/envdb https://s3.example.com:9000 eu-central-1 ceph true vault", ""},
		"no path style": {"url: s3://acme-backups, path_style: false", "s3://acme-backups    false ", ""},
		"reference":     {`url: "s3://${BUCKET}/envdb"`, "s3://acme-backups/envdb    auto ", ""},
		"credentials":   {`url: "s3://${AT}"`, "", "store.url holds credentials"},
		"endpoint":      {`url: s3://acme-backups, endpoint: "env:BUCKET"`, "", "store.endpoint is not the URL of a service"},
		"region":        {`url: s3://acme-backups, region: "env:HOST"`, "", "store.region is not the name of a region"},
		"unset":         {`url: "s3://${NONE}"`, "", "the variable NONE is not set"},
		"a directory":   {`url: "env:DIR", region: eu-central-1`, "", "store: endpoint, region, profile, path_style, single_writer are for S3"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c0 := load(t, withStore(c.store), variables...)
			store, err := c0.Store()
			if c.wrong == "" {
				if err != nil || shownStore(store) != c.want || !store.S3() {
					t.Errorf("got %q, %v, want %q", shownStore(store), err, c.want)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.wrong) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got %v, want %s", err, c.wrong)
			}
			if _, next := envdb.Advice(err); next == "" {
				t.Error("no advice")
			}
		})
	}
}

func TestStoreURLsThatAreRefused(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"s3://":                            "names no bucket",
		"s3:///prefix":                     "names no bucket",
		"s3://AKIA:hunter2@bucket/x":       "holds credentials (or an @)",
		"s3://AKIA:hunter2/hunter2@bucket": "holds credentials (or an @)",
		"s3://hunter2@bucket":              "holds credentials (or an @)",
		"s3://s3.example.com:9000/bucket":  "names a port or a host",
		"s3://bucket/x?region=eu":          "has a ? or a #",
		"s3://b":                           "has a bucket that no service accepts",
		"s3://my bucket/x":                 "has a bucket that no service accepts",
		"s3://bucket/a//b":                 "has a prefix that envdb does not use",
		"s3://bucket//b":                   "has a prefix that envdb does not use",
		"s3://bucket/ü":                    "has a prefix that envdb does not use",
		"s3://bucket/a/../b":               "has a prefix with . or .. in it",
		"S3://bucket":                      "has the unknown scheme S3",
		"gs://bucket":                      "has the unknown scheme gs",
	} {
		_, err := place(t, withStore(fmt.Sprintf("url: %q", url))).Load("", nil)
		if !errors.Is(err, envdb.ErrMisuse) || !strings.Contains(err.Error(), "envdb.yaml:2:14: store.url "+want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, want %s", url, err, want)
		}
		_, err = place(t, small, "ENVDB_STORE_URL="+url).Load("", nil)
		if !errors.Is(err, envdb.ErrMisuse) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("ENVDB_STORE_URL=%s: %v, want %s", url, err, want)
		}
	}
}

func TestPlainHTTPWarns(t *testing.T) {
	t.Parallel()
	for endpoint, warns := range map[string]bool{
		"http://s3.example.com": true, "https://s3.example.com": false, "http://127.0.0.1:7070": false, "http://localhost:7070": false, "http://[::1]:7070": false,
	} {
		c := load(t, withStore(fmt.Sprintf("url: s3://bucket, endpoint: %q", endpoint)))
		if got := len(c.Warnings) == 1; got != warns {
			t.Errorf("%s: %v", endpoint, c.Warnings)
		}
	}
}

func TestStoreOverlays(t *testing.T) {
	t.Parallel()
	full := withStore("url: s3://acme-backups, endpoint: https://one.example.com, region: one, profile: aws, path_style: false, single_writer: one, encryption: {identity: file:one.txt, key_id: " + keyID + "}")
	l := place(t, full,
		"ENVDB_STORE_URL=s3://other/x", "ENVDB_STORE_ENDPOINT=https://two.example.com", "ENVDB_STORE_REGION=two", "ENVDB_STORE_PROFILE=r2", "ENVDB_STORE_PATH_STYLE=true",
		"ENVDB_STORE_SINGLE_WRITER=two", "ENVDB_STORE_ENCRYPTION_IDENTITY=file:two.txt", "ENVDB_STORE_ENCRYPTION_KEY_ID="+strings.Repeat("0", 32))
	c, err := l.Load("", nil)
	if err != nil {
		t.Fatal(err)
	}
	store, err := c.Store()
	if got := shownStore(store); err != nil || got != "s3://other/x https://two.example.com two r2 true two" {
		t.Errorf("got %q, %v", got, err)
	}
	if e := c.Encryption(); e.File != filepath.Join(l.WorkDir, "two.txt") || e.KeyID != strings.Repeat("0", 32) || !e.Configured || e.Variable != "" {
		t.Errorf("got %+v", e)
	}

	// A copy of the bucket in a directory: what the file says of S3 is of
	// another store.
	c = load(t, full, "ENVDB_STORE_URL=/mnt/copy")
	if store, err := c.Store(); err != nil || store != (config.Store{URL: "/mnt/copy"}) {
		t.Errorf("got %+v, %v", store, err)
	}
	// What a person says of it now is not ignored.
	for pair, want := range map[string]string{
		"ENVDB_STORE_ENDPOINT=https://x.example.com": "ENVDB_STORE_ENDPOINT: is for S3, and the store is a directory",
		"ENVDB_STORE_PATH_STYLE=false":               "ENVDB_STORE_PATH_STYLE: is for S3, and the store is a directory",
	} {
		_, err := place(t, full, "ENVDB_STORE_URL=/mnt/copy", pair).Load("", nil)
		if !errors.Is(err, envdb.ErrMisuse) || err.Error() != want {
			t.Errorf("%s: %v", pair, err)
		}
	}
	for pair, want := range map[string]string{
		"ENVDB_STORE_ENDPOINT=s3.example.com":                      "ENVDB_STORE_ENDPOINT: is not the URL of a service",
		"ENVDB_STORE_ENDPOINT=https://u:hunter2@h":                 "ENVDB_STORE_ENDPOINT: holds credentials, which do not belong into it",
		"ENVDB_STORE_PROFILE=azure":                                `ENVDB_STORE_PROFILE: unknown profile "azure"`,
		"ENVDB_STORE_PATH_STYLE=perhaps":                           `ENVDB_STORE_PATH_STYLE: "perhaps" is neither true nor false`,
		"ENVDB_STORE_SINGLE_WRITER=a b":                            "ENVDB_STORE_SINGLE_WRITER: is not a name",
		"ENVDB_STORE_ENCRYPTION_KEY_ID=abc":                        "ENVDB_STORE_ENCRYPTION_KEY_ID: is not the id of a key: 32 digits, 0 to 9 and a to f",
		"ENVDB_STORE_ENCRYPTION_IDENTITY=AGE-SECRET-KEY-1HUNTER2":  "ENVDB_STORE_ENCRYPTION_IDENTITY: is the identity itself, which does not belong here",
		"ENVDB_STORE_ENCRYPTION_IDENTITY=age1hunter2":              "ENVDB_STORE_ENCRYPTION_IDENTITY: is a recipient: it can only lock",
		"ENVDB_STORE_ENCRYPTION_IDENTITY=key.txt":                  "ENVDB_STORE_ENCRYPTION_IDENTITY: is not a reference",
		"ENVDB_STORE_ENCRYPTION_IDENTITY=env:A B":                  "ENVDB_STORE_ENCRYPTION_IDENTITY: is not a reference",
		"ENVDB_STORE_ENCRYPTION_IDENTITY=file:":                    "ENVDB_STORE_ENCRYPTION_IDENTITY: is not a reference",
		"ENVDB_STORE_ENCRYPTION_IDENTITY=file:~/key.txt":           "ENVDB_STORE_ENCRYPTION_IDENTITY: begins with ~, which is not expanded",
		"ENVDB_STORE_ENCRYPTION_IDENTITY=file:${HOME}/hunter2.txt": "ENVDB_STORE_ENCRYPTION_IDENTITY: has a variable in its path",
	} {
		_, err := place(t, full, pair).Load("", nil)
		if !errors.Is(err, envdb.ErrMisuse) || err.Error() != want {
			t.Errorf("%s: %v, want %s", pair, err, want)
		}
		if _, next := envdb.Advice(err); next == "" {
			t.Errorf("%s: no advice", pair)
		}
	}
	c = load(t, small, "ENVDB_STORE_REGOIN=x")
	if len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0].Text, "ENVDB_STORE_REGION?") {
		t.Errorf("warnings %v", c.Warnings)
	}
}

func TestIdentity(t *testing.T) {
	t.Parallel()
	l := place(t, withStore("url: s, encryption: {identity: file:keys/key.txt, key_id: "+keyID+"}"))
	c, err := l.Load("", nil)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(l.WorkDir, "keys/key.txt")
	if e := c.Encryption(); e != (config.Encryption{Configured: true, File: path, KeyID: keyID}) || e.Reference() != "file:"+path {
		t.Errorf("got %+v", e)
	}
	if _, err := c.Identity(); !errors.Is(err, config.ErrUnset) || !strings.HasPrefix(err.Error(), "envdb.yaml:2:40: store.encryption.identity: the file with the key to the backups is not there: ") {
		t.Errorf("without the file: %v", err)
	}
	write(t, path, "# a comment\nAGE-SECRET-KEY-1HUNTER2\n")
	if held, err := c.Identity(); err != nil || held != "# a comment\nAGE-SECRET-KEY-1HUNTER2" {
		t.Errorf("got %q, %v", held, err)
	}
	for mode, refused := range map[os.FileMode]bool{0o600: false, 0o400: false, 0o604: true, 0o602: true, 0o620: true, 0o644: true} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := c.Identity()
		if _, next := envdb.Advice(err); errors.Is(err, envdb.ErrRefused) != refused || refused && !strings.HasPrefix(next, "chmod 600 "+path) {
			t.Errorf("mode %#o: %v", mode, err)
		}
	}

	c = load(t, withStore("url: s, encryption: {identity: env:KEY}"), "KEY=AGE-SECRET-KEY-1HUNTER2")
	if held, err := c.Identity(); err != nil || held != "AGE-SECRET-KEY-1HUNTER2" {
		t.Errorf("got %q, %v", held, err)
	}
	if e := c.Encryption(); e != (config.Encryption{Configured: true, Variable: "KEY"}) || e.Reference() != "env:KEY" {
		t.Errorf("got %+v", e)
	}
	c = load(t, small)
	if _, err := c.Identity(); !errors.Is(err, envdb.ErrPreflight) || c.Encryption() != (config.Encryption{}) {
		t.Errorf("nothing configured: %v, %+v", err, c.Encryption())
	}
	c = load(t, small, "ENVDB_STORE_ENCRYPTION_IDENTITY=file:none.txt")
	if _, err := c.Identity(); !errors.Is(err, config.ErrUnset) || !strings.HasPrefix(err.Error(), "the identity: the file with the key to the backups is not there: ") {
		t.Errorf("by variable: %v", err)
	}
}

// A group may read what root gave it, and only that.
func TestIdentityOfRoot(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key.txt")
	write(t, path, "x")
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if err, root := config.CheckIdentityFile(path), os.Getuid() == 0; (err == nil) != root {
		t.Errorf("a file of user %d with mode 0640: %v", os.Getuid(), err)
	}
	if err := os.Chown(path, 65534, -1); err == nil && config.CheckIdentityFile(path) == nil {
		t.Error("another user's file is readable for its group, and was not refused")
	}
}

func TestRenderedStore(t *testing.T) {
	t.Parallel()
	pathStyle := true
	m := config.Measured{
		Project:  "acme",
		Store:    config.Store{URL: "s3://acme-backups/envdb", Endpoint: "http://127.0.0.1:7070", Region: "eu-central-1", Profile: "ceph", PathStyle: &pathStyle, SingleWriter: "vault"},
		Identity: "file:envdb-key.txt", KeyID: keyID,
	}
	for _, template := range config.Templates() {
		text, err := config.Render(template, m)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, "testdata/"+template+".s3.golden", string(text))
		c := load(t, string(text))
		store, err := c.Store()
		if got, want := shownStore(store), shownStore(m.Store); err != nil || got != want {
			t.Errorf("%s: got %s, %v, want %s", template, got, err, want)
		}
		if e := c.Encryption(); filepath.Base(e.File) != "envdb-key.txt" || e.KeyID != keyID {
			t.Errorf("%s: %+v", template, e)
		}
	}
}
