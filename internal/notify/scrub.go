package notify

import (
	"net/url"
	"slices"
	"strings"
)

// shortest is how long something must be to be taken for a secret. Anything
// shorter is found in any sentence.
const shortest = 6

// secrets are what must not be seen in an answer that is quoted: services send
// back what they did not like.
type secrets []string

// secretsOf returns what may be secret in a URL: all but where it leads.
func secretsOf(u *url.URL) secrets {
	s := secrets{u.String(), u.RequestURI(), u.EscapedPath(), u.Path, u.RawQuery}
	s = append(s, strings.Split(u.Path, "/")...)
	for _, values := range u.Query() {
		s = append(s, values...)
	}
	return s
}

// add remembers a value, such as "Bearer xyz", and its words.
func (s secrets) add(value string) secrets { return append(append(s, value), strings.Fields(value)...) }

// scrub replaces the secrets in a text, the longest first.
func (s secrets) scrub(text string) string {
	sorted := slices.Clone(s)
	slices.SortFunc(sorted, func(a, b string) int { return len(b) - len(a) })
	for _, secret := range sorted {
		if len(secret) < shortest {
			break
		}
		text = strings.ReplaceAll(text, secret, "xxxxx")
	}
	return text
}
