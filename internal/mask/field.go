package mask

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"

	"github.com/envdb/envdb"
)

// field masks one value. In is the value as it stands in a COPY stream: in the
// binary format what is behind its length, in the text format what is between
// two tabs, without escapes. The mask is appended to dst, or is NULL. Neither
// keeps the other's memory.
type field func(dst, in []byte) (out []byte, null bool, err error)

// fit returns why a rule does nothing for a column of the sort, or "".
func (r Rule) fit(s sort) string {
	switch {
	case r.Name == SQL:
		return ""
	case r.Name == JSON:
		if s.kind != document {
			return "json is for columns of type json and jsonb"
		}
		return ""
	case s.kind == other && r.Name != Null && r.Name != Keep:
		return "no named rule knows the type; write an expression: {sql: …}"
	}
	if rule := namedRules[r.Name]; !slices.Contains(rule.kinds, s.kind) {
		return fmt.Sprintf("%s is not for columns of that type; write an expression: {sql: …}", r.Name)
	}
	return ""
}

// field returns what masks a column, or nil for what stays as it is.
func (k *Key) field(r Rule, s sort, binary bool) field {
	switch r.Name {
	case Keep, SQL:
		return nil
	case Null:
		return func(dst, _ []byte) ([]byte, bool, error) { return dst, true, nil }
	case JSON:
		return k.documentField(r.Paths, s.versioned && binary, newReach(r.Paths))
	case ShiftDate:
		return k.shiftField(r.Days, s.kind == date, binary)
	case Redact:
		if blank := blanks(s, binary); blank != nil {
			return func(dst, _ []byte) ([]byte, bool, error) { return append(dst, blank...), false, nil }
		}
	}
	switch s.kind {
	case text:
		return k.textField(r, s)
	case texts:
		return k.arrayField(k.textField(r, s), binary)
	case uuid:
		return k.uuidField(binary)
	case bytea:
		return k.bytesField(binary)
	case address:
		return k.addressField(binary)
	case integer:
		return k.integerField(s.bytes, binary)
	case decimal:
		return k.decimalField(binary)
	case floating:
		return k.floatField(s.bytes, binary)
	}
	return nil
}

// textField masks a text. What is empty stays empty.
func (k *Key) textField(r Rule, s sort) field {
	write := namedRules[r.Name].write
	return func(dst, in []byte) ([]byte, bool, error) {
		value := in
		if s.padded {
			value = bytes.TrimRight(in, " ")
		}
		if len(value) == 0 {
			return append(dst, in...), false, nil
		}
		if write == nil { // number
			return k.digits(dst, value), false, nil
		}
		if s.folded {
			value = bytes.ToLower(value)
		}
		return write(dst, k.sum(value), s.limit), false, nil
	}
}

// uuidField makes a UUID of a UUID. Its text is hashed, so that a column of
// text may refer to it.
func (k *Key) uuidField(binary bool) field {
	return func(dst, in []byte) ([]byte, bool, error) {
		if !binary {
			return writeUUID(dst, k.sum(in), 0), false, nil
		}
		if len(in) != 16 {
			return dst, false, malformed("uuid")
		}
		var room [36]byte
		u := k.sum(appendUUID(room[:0], [16]byte(in))).uuid()
		return append(dst, u[:]...), false, nil
	}
}

func (k *Key) bytesField(binary bool) field {
	return func(dst, in []byte) ([]byte, bool, error) {
		if binary {
			s := k.sum(in)
			return append(dst, s[:fullHash/2]...), false, nil
		}
		raw, err := hex.DecodeString(string(bytes.TrimPrefix(in, []byte(`\x`))))
		if err != nil {
			return dst, false, malformed("bytea")
		}
		return writeHash(append(dst, `\x`...), k.sum(raw), 0), false, nil
	}
}

// The head of an address of version 4 in binary: its family, 32 bits, not a
// cidr, four bytes. See network_send in PostgreSQL.
var binaryIP = []byte{2, 32, 0, 4}

func (k *Key) addressField(binary bool) field {
	return func(dst, in []byte) ([]byte, bool, error) {
		if !binary {
			return writeIP(dst, k.sum(in), 0), false, nil
		}
		if len(in) < len(binaryIP) {
			return dst, false, malformed("inet")
		}
		addr, ok := netip.AddrFromSlice(in[len(binaryIP):])
		if !ok {
			return dst, false, malformed("inet")
		}
		shown := addr.AppendTo(nil)
		if int(in[1]) != addr.BitLen() {
			shown = fmt.Appendf(shown, "/%d", in[1])
		}
		ip := k.sum(shown).ip()
		return append(append(dst, binaryIP...), ip[:]...), false, nil
	}
}

// blanks is what stands for a redacted value that is no text.
func blanks(s sort, binary bool) []byte {
	switch {
	case s.kind == document && s.versioned && binary:
		return []byte("\x01{}")
	case s.kind == document:
		return []byte("{}")
	case s.kind == bytea && binary:
		return []byte{}
	case s.kind == bytea:
		return []byte(`\x`)
	case s.kind == integer && binary, s.kind == floating && binary:
		return make([]byte, s.bytes)
	case s.kind == decimal && binary:
		return make([]byte, 8)
	case s.kind == integer, s.kind == floating, s.kind == decimal:
		return []byte("0")
	}
	return nil
}

// malformed is a value that is not what its type says.
func malformed(typeName string) error {
	return envdb.Fail(envdb.ErrVerification, "a value is no %s", typeName)
}
