package mask

import (
	"encoding/hex"
	"maps"
	"slices"
	"strconv"
)

// The rules by name.
const (
	Keep      = "keep"
	Null      = "null"
	Redact    = "redact"
	Hash      = "hash"
	Email     = "email"
	FullName  = "name"
	FirstName = "first_name"
	LastName  = "last_name"
	Username  = "username"
	Company   = "company"
	Phone     = "phone"
	Address   = "address"
	City      = "city"
	URL       = "url"
	IP        = "ip"
	UUID      = "uuid"
	Number    = "number"
	ShiftDate = "shift_date"
)

// named is what a rule is fit for.
type named struct {
	kinds []kind
	// unique says that different values stay different.
	unique bool
	// write writes the mask of a text, of at most limit characters if that is
	// not 0. It is nil for rules that need the value itself.
	write func(dst []byte, s sum, limit int) []byte
}

var every = []kind{text, integer, decimal, floating, date, moment, uuid, document, bytea, address, texts, other}

var namedRules = map[string]named{
	Keep:      {kinds: every, unique: true},
	Null:      {kinds: every, unique: true},
	Redact:    {kinds: []kind{text, integer, decimal, floating, document, bytea, texts}, write: writeRedacted},
	Hash:      {kinds: []kind{text, uuid, bytea, texts}, unique: true, write: writeHash},
	Email:     {kinds: []kind{text, texts}, unique: true, write: writeEmail},
	FullName:  {kinds: []kind{text, texts}, write: writeName},
	FirstName: {kinds: []kind{text, texts}, write: writeFirstName},
	LastName:  {kinds: []kind{text, texts}, write: writeLastName},
	Username:  {kinds: []kind{text, texts}, unique: true, write: writeUsername},
	Company:   {kinds: []kind{text, texts}, write: writeCompany},
	Phone:     {kinds: []kind{text, texts}, write: writePhone},
	Address:   {kinds: []kind{text, texts}, write: writeAddress},
	City:      {kinds: []kind{text, texts}, write: writeCity},
	URL:       {kinds: []kind{text, texts}, unique: true, write: writeURL},
	IP:        {kinds: []kind{text, texts, address}, write: writeIP},
	UUID:      {kinds: []kind{text, texts, uuid}, unique: true, write: writeUUID},
	Number:    {kinds: []kind{text, texts, integer, decimal, floating}, unique: true},
	ShiftDate: {kinds: []kind{date, moment}},
}

// Names lists the named rules.
func Names() []string { return slices.Sorted(maps.Keys(namedRules)) }

// DefaultDays is how far shift_date moves a date where the rule does not say.
const DefaultDays = 90

// fullHash is how many hexadecimal digits of a sum a mask shows: 128 bits, of
// which no two are ever equal by chance.
const fullHash = 32

// within cuts what was written behind at to the limit.
func within(dst []byte, at, limit int) []byte {
	if limit > 0 && len(dst)-at > limit {
		return dst[:at+limit]
	}
	return dst
}

func writeRedacted(dst []byte, _ sum, limit int) []byte {
	return within(append(dst, "redacted"...), len(dst), limit)
}

func writeHash(dst []byte, s sum, limit int) []byte {
	return within(hex.AppendEncode(dst, s[:fullHash/2]), len(dst), limit)
}

// mailDomain is one that no mail ever reaches; see RFC 2606.
const mailDomain = "@example.invalid"

// writeEmail shortens the part before the @ where there is little room, and
// leaves the domain out where there is less.
func writeEmail(dst []byte, s sum, limit int) []byte {
	room := fullHash
	if limit > 0 {
		room = min(room, limit-len(mailDomain))
	}
	if room < 8 {
		return writeHash(dst, s, limit)
	}
	return append(writeHash(dst, s, room), mailDomain...)
}

func pick(words []string, high, low byte) string {
	return words[(int(high)<<8|int(low))%len(words)]
}

func writeName(dst []byte, s sum, limit int) []byte {
	at := len(dst)
	dst = append(append(dst, pick(firstNames, s[0], s[1])...), ' ')
	return within(append(dst, pick(lastNames, s[2], s[3])...), at, limit)
}

func writeFirstName(dst []byte, s sum, limit int) []byte {
	return within(append(dst, pick(firstNames, s[0], s[1])...), len(dst), limit)
}

func writeLastName(dst []byte, s sum, limit int) []byte {
	return within(append(dst, pick(lastNames, s[2], s[3])...), len(dst), limit)
}

func writeUsername(dst []byte, s sum, limit int) []byte {
	if limit > 0 && limit < 16 {
		return writeHash(dst, s, limit)
	}
	return within(hex.AppendEncode(append(dst, "user-"...), s[:fullHash/2]), len(dst), limit)
}

func writeCompany(dst []byte, s sum, limit int) []byte {
	at := len(dst)
	dst = append(append(dst, pick(lastNames, s[0], s[1])...), " and "...)
	return within(append(dst, pick(lastNames, s[2], s[3])...), at, limit)
}

// writePhone writes a number that nobody can call: no country has the code 999.
func writePhone(dst []byte, s sum, limit int) []byte {
	const digits, all = 12, 1_000_000_000_000
	number := strconv.FormatUint(all+s.number()%all, 10)[1:]
	if limit > 0 && limit < digits+4 {
		return append(dst, number[max(0, digits-limit):]...)
	}
	return append(append(dst, "+999"...), number...)
}

func writeAddress(dst []byte, s sum, limit int) []byte {
	at := len(dst)
	dst = strconv.AppendInt(dst, 1+int64(s[4])%199, 10)
	dst = append(append(dst, ' '), pick(streets, s[0], s[1])...)
	return within(append(dst, " Street"...), at, limit)
}

func writeCity(dst []byte, s sum, limit int) []byte {
	return within(append(dst, pick(cities, s[5], s[6])...), len(dst), limit)
}

func writeURL(dst []byte, s sum, limit int) []byte {
	const before = "https://example.invalid/"
	if limit > 0 && limit < len(before)+8 {
		return writeHash(dst, s, limit)
	}
	return within(hex.AppendEncode(append(dst, before...), s[:fullHash/2]), len(dst), limit)
}

// ip is an address of a network that is for measurements only; see RFC 2544.
func (s sum) ip() [4]byte { return [4]byte{198, 18 | s[0]&1, s[1], s[2]} }

func writeIP(dst []byte, s sum, limit int) []byte {
	at := len(dst)
	for i, b := range s.ip() {
		if i > 0 {
			dst = append(dst, '.')
		}
		dst = strconv.AppendInt(dst, int64(b), 10)
	}
	return within(dst, at, limit)
}

// uuid is a UUID of version 4; see RFC 9562.
func (s sum) uuid() [16]byte {
	u := [16]byte(s[:16])
	u[6], u[8] = u[6]&0x0f|0x40, u[8]&0x3f|0x80
	return u
}

func writeUUID(dst []byte, s sum, limit int) []byte {
	return within(appendUUID(dst, s.uuid()), len(dst), limit)
}

func appendUUID(dst []byte, u [16]byte) []byte {
	for i, part := range [][]byte{u[:4], u[4:6], u[6:8], u[8:10], u[10:]} {
		if i > 0 {
			dst = append(dst, '-')
		}
		dst = hex.AppendEncode(dst, part)
	}
	return dst
}
