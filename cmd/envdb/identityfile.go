package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup/seal"
)

// writeIdentity makes an identity and keeps it in a new file that only its
// owner can read. A file that is there already is never written over.
func writeIdentity(path, what string) (seal.Identity, error) {
	identity, err := seal.GenerateIdentity()
	if err != nil {
		return identity, err
	}
	err = writeNew(path, identityText(identity, what))
	if errors.Is(err, fs.ErrExist) {
		return identity, envdb.Fail(envdb.ErrPreflight, "%s is there already; no key is written over", path).
			WithState("nothing was changed").WithNext("name another file")
	}
	if err != nil {
		return identity, envdb.Fail(envdb.ErrPreflight, "write a key: %w", err).WithState("nothing was changed").
			WithNext("name a file in a directory that is there and that you may write to")
	}
	return identity, nil
}

// identityText is an age identity file with what a person should know of it.
func identityText(identity seal.Identity, what string) string {
	return fmt.Sprintf("# %s, made %s. Whoever has this file can read the backups.\n# public key: %s\n%s\n",
		what, time.Now().UTC().Format(time.DateOnly), identity.Recipient(), identity.Text())
}

// machineName names this machine's key slot.
func machineName() string {
	const longest = 60
	host, err := os.Hostname()
	if err != nil {
		host = ""
	}
	name := strings.Trim(strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune("._-", r):
			return r
		}
		return '-'
	}, host), "-")
	switch {
	case name == "", strings.EqualFold(name, recoveryName):
		return "machine"
	case len(name) > longest:
		return name[:longest]
	}
	return name
}

// recoveryName is the slot of the recovery key that init makes.
const recoveryName = "recovery"
