package mask

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// Search finds samples in other texts, whatever is around them and in whichever
// case they are written.
type Search struct {
	filter  [1 << 14]uint64
	needles map[uint64][]needle // by how they begin
	lexemes map[string][]word   // by how they begin
	phrases []phrase
}

// needle is what of a sample is looked for.
type needle struct {
	text  []byte // folded
	title string
	// bounded says that it counts only where no letter or digit goes on before
	// or behind it: it is so short that it may be a part of anything.
	bounded bool
}

// word is one word of a phrase.
type word struct {
	text   string
	phrase int
	bit    uint
	// alone says that it is all of the phrase: then nearly the same is not
	// enough.
	alone bool
}

// phrase is a sample that may have been taken apart into words.
type phrase struct {
	title string
	words int
}

const (
	// window is how many bytes of a needle's beginning lead to it.
	window = 6
	// unbounded is how long a needle must be to be found inside of words.
	unbounded = 16
	// leastPart is how long the longest part of a sample must be that cannot be
	// looked for as a whole, because what is in it is written in several ways.
	leastPart = 12
	// mostNeedle is how much of a sample is looked for.
	mostNeedle = 64
)

// Search returns what finds the samples.
func (s *Samples) Search() *Search {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := &Search{needles: map[uint64][]needle{}, lexemes: map[string][]word{}}
	for _, seen := range s.seen {
		for value := range seen.values {
			x.add(seen.title, value)
			if lower := strings.ToLower(value); lower != value {
				x.add(seen.title, lower) // fold knows only ASCII
			}
			x.addPhrase(seen.title, value)
		}
	}
	return x
}

// add makes a needle of a sample.
func (x *Search) add(title, value string) {
	part := plainPart(value)
	if len(part) < window || part != value && len(part) < leastPart {
		return
	}
	if len(part) > mostNeedle {
		part = part[:mostNeedle]
		for !utf8.ValidString(part) && len(part) > mostNeedle-utf8.UTFMax {
			part = part[:len(part)-1]
		}
	}
	n := needle{text: fold(nil, []byte(part)), title: title, bounded: len(part) < unbounded}
	start := head(n.text)
	same := func(o needle) bool { return string(o.text) == string(n.text) }
	if slices.ContainsFunc(x.needles[start], same) {
		return
	}
	x.needles[start] = append(x.needles[start], n)
	at := slot(start)
	x.filter[at/64] |= 1 << (at % 64)
}

// plainPart returns the longest part of a value that is written the same in
// JSON, XML, arrays and composites.
func plainPart(value string) string {
	longest := ""
	for part := range strings.FieldsFuncSeq(value, func(r rune) bool { return r < ' ' || strings.ContainsRune(`"'\<>&{}`, r) }) {
		if len(part) > len(longest) {
			longest = part
		}
	}
	return longest
}

// head is the beginning of a folded text; b has at least window bytes.
func head(b []byte) uint64 {
	var h uint64
	for _, c := range b[:window] {
		h = h<<8 | uint64(c)
	}
	return h
}

// slot is where the filter has a bit for what begins so.
func slot(head uint64) uint64 { return head * 0x9e3779b97f4a7c15 >> 44 }

// fold writes a text in lower case and without the backslashes of COPY and of
// JSON; what those stand for becomes a blank.
func fold(dst, text []byte) []byte {
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c >= 'A' && c <= 'Z':
			c += 'a' - 'A'
		case c == '\\':
			for i+1 < len(text) && text[i+1] == '\\' {
				i++
			}
			if i+1 < len(text) && strings.IndexByte("bfnrtv", text[i+1]) >= 0 {
				i++
			}
			c = ' '
		}
		dst = append(dst, c)
	}
	return dst
}

// Finder looks through one text after the other. It is for one goroutine.
type Finder struct {
	*Search
	folded []byte
	found  map[int]uint64 // words by phrase
}

// Finder returns one.
func (x *Search) Finder() *Finder { return &Finder{Search: x, found: map[int]uint64{}} }

// Find returns the title of the column one of whose samples is in the text, or
// "". The text is as COPY writes it.
func (f *Finder) Find(text []byte) (title string) {
	if len(text) < window {
		return ""
	}
	f.folded = fold(f.folded[:0], text)
	b := f.folded
	if len(b) < window {
		return ""
	}
	const keep = 1<<(8*window) - 1
	h := head(b) >> 8
	for i := window - 1; i < len(b); i++ {
		h = (h<<8 | uint64(b[i])) & keep
		if at := slot(h); f.filter[at/64]&(1<<(at%64)) == 0 {
			continue
		}
		for _, n := range f.needles[h] {
			if n.in(b, i-window+1) {
				return n.title
			}
		}
	}
	return ""
}

// in reports whether the needle stands in b at a place.
func (n needle) in(b []byte, at int) bool {
	end := at + len(n.text)
	if end > len(b) || string(b[at:end]) != string(n.text) {
		return false
	}
	if !n.bounded {
		return true
	}
	before := at > 0 && wordly(b[at-1]) && wordly(b[at])
	behind := end < len(b) && wordly(b[end]) && wordly(b[end-1])
	return !before && !behind
}

// wordly reports whether a byte is part of a word or a number.
func wordly(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c >= utf8.RuneSelf
}

// leastWord is how long a word must be to tell something.
const leastWord = 4

// addPhrase takes a sample apart, as text search does.
func (x *Search) addPhrase(title, value string) {
	words := strings.FieldsFunc(strings.ToLower(value), func(r rune) bool { return r < utf8.RuneSelf && !wordly(byte(r)) })
	words = slices.DeleteFunc(words, func(w string) bool { return len(w) < leastWord })
	slices.Sort(words)
	words = slices.Compact(words)
	words = words[:min(len(words), 64)]
	if len(words) == 0 || len(words) == 1 && len(words[0]) < leastSample {
		return
	}
	for i, w := range words {
		x.lexemes[w[:leastWord]] = append(x.lexemes[w[:leastWord]], word{w, len(x.phrases), uint(i), len(words) == 1})
	}
	x.phrases = append(x.phrases, phrase{title, len(words)})
}

// FindWords is Find for a tsvector, which may hold a sample word by word, each
// without its ending.
func (f *Finder) FindWords(vector []byte) (title string) {
	if title := f.Find(vector); title != "" {
		return title
	}
	clear(f.found)
	for lexeme := range lexemesOf(string(vector)) {
		if len(lexeme) < leastWord {
			continue
		}
		for _, w := range f.lexemes[lexeme[:leastWord]] {
			if !w.stem(lexeme) {
				continue
			}
			f.found[w.phrase] |= 1 << w.bit
			if p := f.phrases[w.phrase]; ones(f.found[w.phrase]) >= wanted(p.words) {
				return p.title
			}
		}
	}
	return ""
}

// wanted is how many of a phrase's words tell that it is there: all of a few,
// and two thirds of many, because some are too common to be kept.
func wanted(words int) int {
	if words <= 2 {
		return words
	}
	return max(2, (2*words+2)/3)
}

func ones(bits uint64) (n int) {
	for ; bits != 0; bits &= bits - 1 {
		n++
	}
	return n
}

// stem reports whether a lexeme is the word without its ending.
func (w word) stem(lexeme string) bool {
	const ending = 3
	common := 0
	for common < len(lexeme) && common < len(w.text) && lexeme[common] == w.text[common] {
		common++
	}
	if w.alone && common < leastSample {
		return false
	}
	return len(lexeme)-common <= 1 && len(w.text)-common <= ending
}

// lexemesOf yields the lexemes of a tsvector: 'word':1,2 'other':3A.
func lexemesOf(vector string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for {
			_, rest, found := strings.Cut(vector, "'")
			if !found {
				return
			}
			lexeme, behind, _ := strings.Cut(rest, "'")
			if vector = behind; !yield(lexeme) {
				return
			}
		}
	}
}
