package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"syscall"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/backup/seal"
)

// IdentityFile is where `envdb init` keeps this machine's identity: beside the
// configuration.
const IdentityFile = "envdb-key.txt"

// Encryption says which identity opens an encrypted store. The zero Encryption
// is that of a configuration that says nothing of it.
type Encryption struct {
	// Configured is set when there is an identity: then a store that is not
	// encrypted is not the one that was meant.
	Configured bool
	// File is the absolute path of the file that holds the identity, Variable
	// the name of the variable that does. One of them is empty.
	File, Variable string
	// KeyID is the fingerprint of the data key that the store must have, or
	// empty for any.
	KeyID string
}

// Reference returns how the identity is named in the configuration.
func (e Encryption) Reference() string {
	if e.Variable != "" {
		return "env:" + e.Variable
	}
	return "file:" + e.File
}

// Encryption returns what the configuration says of it.
func (c *Config) Encryption() Encryption {
	t := c.store.identity
	e := Encryption{Configured: !t.empty(), KeyID: c.store.keyID}
	if name, isVariable := strings.CutPrefix(t.raw, "env:"); isVariable {
		e.Variable = name
	} else if e.Configured {
		e.File = t.path()
	}
	return e
}

// Identity returns the text of the identity, which is a secret. A reference
// that leads nowhere is ErrUnset; a file that others may read is ErrRefused.
func (c *Config) Identity() (string, error) {
	t := c.store.identity
	if t.empty() {
		return "", envdb.Fail(envdb.ErrPreflight, "the configuration names no identity").WithState("nothing was changed").
			WithNext("write encryption: {identity: file:%s} below store", IdentityFile)
	}
	if !t.isFile() {
		return t.resolve(c.get)
	}
	switch err := CheckIdentityFile(t.path()); {
	case errors.Is(err, fs.ErrNotExist):
		return "", t.unset("put the key there; if it is lost, use the recovery key: write it into a file that only you can read, and ENVDB_STORE_ENCRYPTION_IDENTITY=file:FILE", "the file with the key to the backups is not there: %s", t.path())
	case err != nil:
		return "", err
	}
	return t.resolve(c.get)
}

// Access returns what opens the repository. With an identity the repository
// must be encrypted: one that is not is not the one that was meant.
func (c *Config) Access() (backup.Access, error) {
	e := c.Encryption()
	if !e.Configured {
		return backup.Access{}, nil
	}
	text, err := c.Identity()
	if err != nil {
		return backup.Access{}, err
	}
	identities, err := seal.ParseIdentities(text)
	if err != nil {
		return backup.Access{}, fmt.Errorf("read the identity %s: %w", e.Reference(), err)
	}
	return backup.Access{Identities: identities, KeyID: e.KeyID, Required: true}, nil
}

// Recipients returns the public halves of the configured identities, none if
// they cannot be read here.
func (c *Config) Recipients() []seal.Recipient {
	access, err := c.Access()
	if err != nil {
		return nil
	}
	recipients := make([]seal.Recipient, len(access.Identities))
	for i, identity := range access.Identities {
		recipients[i] = identity.Recipient()
	}
	return recipients
}

// CheckIdentityFile refuses a file that people may read who should not: others
// never, and its group only where root gave it to the group. A file that is
// not there is fs.ErrNotExist.
func CheckIdentityFile(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	const group, others = 0o070, 0o007
	refused := fs.FileMode(group | others)
	if owner, known := info.Sys().(*syscall.Stat_t); known && owner.Uid == 0 {
		refused = 0o020 | others
	}
	if info.Mode().Perm()&refused == 0 {
		return nil
	}
	return envdb.Fail(envdb.ErrRefused, "the identity file %s can be read or changed by others (mode %#o)", path, info.Mode().Perm()).
		WithState("nothing was changed").WithNext("chmod 600 %s; if it is on a machine with other users, make a new key: envdb help key", path)
}

var keyID = regexp.MustCompile(`^[0-9a-f]{32}$`)

// readEncryption reads the section of that name.
func (c *Config) readEncryption(v value) {
	v.object(fields{
		"identity": func(v value) { c.store.identity = v.identity() },
		"key_id":   func(v value) { c.store.keyID = v.keyID() },
	})
}

// identity reads a reference to an identity, never the identity itself.
func (v value) identity() text {
	t := v.references()
	if t.empty() {
		return t
	}
	if wrong, next := checkIdentity(t.raw); wrong != "" {
		v.hint(next, "%s", wrong)
	}
	return t
}

// checkIdentity returns what is wrong with the reference to an identity; never
// the reference, which may be the identity.
func checkIdentity(raw string) (wrong, next string) {
	const example = "write file:PATH or env:NAME"
	file, isFile := strings.CutPrefix(raw, "file:")
	switch {
	case strings.Contains(strings.ToUpper(raw), "AGE-SECRET-KEY-"):
		return "is the identity itself, which does not belong here", "write it into a file that only you can read, and its path here: file:PATH"
	case isFile && strings.Contains(file, "${"):
		return "has a variable in its path", example
	case isFile && strings.HasPrefix(file, "~"):
		return "begins with ~, which is not expanded", "write the whole path"
	case isFile && file != "":
		return "", ""
	case strings.HasPrefix(raw, "env:") && variableName.MatchString(raw[len("env:"):]):
		return "", ""
	case strings.HasPrefix(raw, "age1"):
		return "is a recipient: it can only lock", "the identity begins with AGE-SECRET-KEY-1; write the path of its file: file:PATH"
	}
	return "is not a reference", example
}

func (v value) keyID() string {
	text := v.raw()
	if text != "" && !keyID.MatchString(text) {
		v.hint("envdb key list shows it", "is not the id of a key: 32 digits, 0 to 9 and a to f")
	}
	return text
}
