package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup/seal"
)

// description is envdb.json.
type description struct {
	Format     int        `json:"format"`
	Repository string     `json:"repository"`
	Created    time.Time  `json:"created"`
	Encryption encryption `json:"encryption"`
}

type encryption struct {
	Mode  Mode     `json:"mode"`
	KeyID string   `json:"key_id,omitempty"`
	Slots slotList `json:"slots,omitempty"`
}

// slotList reads what it can of every slot: a damaged one is no reason to lock
// out the recipients of the others.
type slotList []seal.Slot

// UnmarshalJSON implements json.Unmarshaler.
func (l *slotList) UnmarshalJSON(text []byte) error {
	var raw []json.RawMessage
	if err := json.Unmarshal(text, &raw); err != nil {
		return err
	}
	*l = make(slotList, len(raw))
	for i := range raw {
		if err := json.Unmarshal(raw[i], &(*l)[i]); err != nil {
			(*l)[i].Wrapped = nil // no identity opens it, and the error names the slot
		}
		if (*l)[i].Name == "" {
			(*l)[i].Name = fmt.Sprintf("slot-%d", i+1)
		}
		(*l)[i].Name = printable((*l)[i].Name)
		(*l)[i].Kind = seal.Kind(printable(string((*l)[i].Kind)))
	}
	return nil
}

// printable returns text that does a terminal no harm: who can write to the
// store can write names of slots.
func printable(text string) string {
	if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.QuoteToASCII(text)
	}
	return text
}

// readDescription reads envdb.json, with its bytes and the tag that a change
// depends on. One that a newer envdb made is an error.
func readDescription(ctx context.Context, st envdb.Store) (description, []byte, envdb.Tag, error) {
	var d description
	text, object, err := readAll(ctx, st, repositoryKey)
	if errors.Is(err, fs.ErrNotExist) {
		return d, nil, "", envdb.Fail(envdb.ErrNotFound, "the store holds no envdb repository: %w", err).
			WithNext("if there were backups, bring %s back from its copy (docs/keys.md), or check store.url and that its disk is mounted; for a new repository, `envdb init`", repositoryKey)
	}
	if err != nil {
		return d, nil, "", fmt.Errorf("open the repository: %w", err)
	}
	err = json.Unmarshal(text, &d)
	if err == nil && d.Format < 1 {
		err = errors.New("it states no format")
	}
	if err == nil {
		if err := d.readable(); err != nil {
			return d, nil, "", err
		}
		err = d.check()
	}
	if err != nil {
		return d, nil, "", envdb.Fail(envdb.ErrVerification, "%s is damaged: %w", repositoryKey, err).
			WithNext("bring it back from a copy of the store")
	}
	return d, text, object.Tag, nil
}

var hex32 = regexp.MustCompile(`^[0-9a-f]{32}$`)

// check returns what is wrong with a description of a known format.
func (d description) check() error {
	switch {
	case !hex32.MatchString(d.Repository):
		return fmt.Errorf("the repository id %q is not 32 hexadecimal digits", d.Repository)
	case d.Encryption.Mode != NotEncrypted && !hex32.MatchString(d.Encryption.KeyID):
		return fmt.Errorf("the key id %q is not 32 hexadecimal digits", d.Encryption.KeyID)
	}
	return nil
}

// readable returns an error if a newer envdb made the repository.
func (d description) readable() error {
	if d.Format > FormatVersion {
		return envdb.Fail(envdb.ErrRefused, "the repository has format %d; this envdb reads formats up to %d", d.Format, FormatVersion).
			WithState("nothing was changed").WithNext("use a newer envdb")
	}
	if mode := d.Encryption.Mode; mode != NotEncrypted && mode != AES256GCM {
		return envdb.Fail(envdb.ErrRefused, "the repository is encrypted in the mode %q; this envdb knows %s and %s", mode, AES256GCM, NotEncrypted).
			WithState("nothing was changed").WithNext("use a newer envdb")
	}
	return nil
}
