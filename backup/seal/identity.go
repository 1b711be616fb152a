package seal

import (
	"fmt"
	"log/slog"
	"strings"

	"filippo.io/age"

	"github.com/envdb/envdb"
)

// Identity is the secret half of an age X25519 key pair: it opens what was
// wrapped for its Recipient. The zero Identity opens nothing. It shows only
// its recipient when it is printed.
type Identity struct{ secret *age.X25519Identity }

// GenerateIdentity makes a random identity.
func GenerateIdentity() (Identity, error) {
	secret, err := age.GenerateX25519Identity()
	if err != nil {
		return Identity{}, fmt.Errorf("make an identity: %w", err)
	}
	return Identity{secret}, nil
}

// ParseIdentity reads the one identity in text: AGE-SECRET-KEY-1… alone, or a
// whole file of age-keygen with its comments.
func ParseIdentity(text string) (Identity, error) {
	identities, err := ParseIdentities(text)
	if err != nil {
		return Identity{}, err
	}
	if len(identities) != 1 {
		return Identity{}, envdb.Fail(envdb.ErrMisuse, "there are %d identities where one is expected", len(identities)).
			WithNext("keep each identity in a file of its own")
	}
	return identities[0], nil
}

// ParseIdentities reads every identity in text, one a line; empty lines and
// those that begin with # are left out. None at all is an error. No error
// quotes the text.
func ParseIdentities(text string) ([]Identity, error) {
	var identities []Identity
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		secret, err := age.ParseX25519Identity(line)
		if err != nil {
			return nil, envdb.Fail(envdb.ErrMisuse, "line %d %s", number, identityFault(line)).
				WithNext("use an identity that `envdb key add` or age-keygen made: one line that begins with AGE-SECRET-KEY-1")
		}
		identities = append(identities, Identity{secret})
	}
	if len(identities) == 0 {
		return nil, envdb.Fail(envdb.ErrMisuse, "there is no identity in it").
			WithNext("use an identity that `envdb key add` or age-keygen made: one line that begins with AGE-SECRET-KEY-1")
	}
	return identities, nil
}

// identityFault says what is wrong with a line, without quoting it.
func identityFault(line string) string {
	switch {
	case strings.HasPrefix(line, "age1"):
		return "is a recipient, the public half: an identity begins with AGE-SECRET-KEY-1"
	case strings.HasPrefix(line, "AGE-PLUGIN-"), strings.HasPrefix(line, "AGE-SECRET-KEY-PQ-"):
		return "is an identity of a kind that envdb cannot use"
	case strings.HasPrefix(line, "-----BEGIN"):
		return "begins another kind of private key"
	case strings.HasPrefix(strings.ToUpper(line), "AGE-SECRET-KEY-1"):
		return "is an identity with a typing error: its checksum is wrong"
	}
	return "is no identity"
}

// Recipient returns the public half.
func (i Identity) Recipient() Recipient {
	if i.secret == nil {
		return Recipient{}
	}
	return Recipient{i.secret.Recipient().String()}
}

// Text returns the secret itself, as it is kept in a file.
func (i Identity) Text() string {
	if i.secret == nil {
		return ""
	}
	return i.secret.String()
}

// String returns the public half, so that a printed identity stays secret.
func (i Identity) String() string { return "identity of " + i.Recipient().String() }

// GoString returns the public half.
func (i Identity) GoString() string { return i.String() }

// LogValue implements slog.LogValuer with the public half.
func (i Identity) LogValue() slog.Value { return slog.StringValue(i.String()) }

// Recipient is the public half of an age X25519 key pair: age1….
type Recipient struct{ text string }

// ParseRecipient reads a recipient.
func ParseRecipient(text string) (Recipient, error) {
	text = strings.TrimSpace(text)
	if strings.HasPrefix(strings.ToUpper(text), "AGE-SECRET-KEY-") {
		return Recipient{}, envdb.Fail(envdb.ErrMisuse, "that is an identity, the secret half: a recipient begins with age1").
			WithNext("take that secret for known to others if it stood on a command line, and make another; `age-keygen -y FILE` prints the recipient of an identity file")
	}
	if _, err := age.ParseX25519Recipient(text); err != nil {
		return Recipient{}, envdb.Fail(envdb.ErrMisuse, "%q is not an age X25519 recipient: %w", text, err).
			WithNext("give the public half of an age key pair: age1… of 62 characters")
	}
	return Recipient{text}, nil
}

// String returns age1….
func (r Recipient) String() string { return r.text }

// MarshalText implements encoding.TextMarshaler.
func (r Recipient) MarshalText() ([]byte, error) { return []byte(r.text), nil }

// UnmarshalText implements encoding.TextUnmarshaler. What is no recipient makes
// one that nothing can be wrapped for, so that a damaged slot does not hide the
// others.
func (r *Recipient) UnmarshalText(text []byte) error {
	parsed, err := ParseRecipient(string(text))
	if err != nil {
		parsed.text = "damaged"
	}
	*r = parsed
	return nil
}
