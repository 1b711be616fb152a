package seed

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"hash"
	"maps"
	"slices"
	"strconv"
	"time"
)

// codeVersion stands in every digest. It is raised whenever the same inputs
// come to give other rows: by a change of this package, or of the library that
// makes fake data.
const codeVersion = "envdb seed 1"

// Server is what the rows depend on in the server.
type Server struct {
	Major int
	// Extensions are the versions, by name, that the server would install.
	Extensions map[string]string
}

// Digest returns one SHA-256, in hexadecimal, over everything that decides the
// rows: the migrations, the fixtures with what their templates read, the config
// digest, the clock if a fixture used it, and the server. Variables go in as
// hashes. The same digest gives the same rows.
func (s *Set) Digest(server Server) string {
	d := digest{sha256.New()}
	d.add("code", codeVersion)
	d.add("config", s.spec.ConfigDigest)
	d.add("server", strconv.Itoa(server.Major))
	for _, name := range slices.Sorted(maps.Keys(server.Extensions)) {
		d.add("extension version", name, server.Extensions[name])
	}
	for _, name := range s.spec.Extensions {
		d.add("extension", name)
	}
	d.add("command", s.spec.Command)
	for _, m := range s.migrations {
		d.add("migration", m.name, string(m.hash[:]))
	}
	for _, it := range s.items {
		d.add("fixture", it.source.Name, string(it.hash[:]))
	}
	s.addInputs(d)
	return hex.EncodeToString(d.Sum(nil))
}

// addInputs adds what templates read beside their own text.
func (s *Set) addInputs(d digest) {
	for _, name := range slices.Sorted(maps.Keys(s.inputs.Files)) {
		sum := s.inputs.Files[name]
		d.add("file", name, string(sum[:]))
	}
	for _, name := range slices.Sorted(maps.Keys(s.inputs.Variables)) {
		sum := s.inputs.Variables[name]
		d.add("variable", name, string(sum[:]))
	}
	if s.inputs.Environment {
		d.add("environment", s.spec.Environment)
	}
	if len(s.spec.Values) > 0 {
		values, err := json.Marshal(s.spec.Values) // maps are written in the order of their keys
		if err != nil {
			values = []byte(err.Error()) // what has no JSON is its own reason
		}
		d.add("values", string(values))
	}
	if s.usesTime {
		d.add("clock", s.spec.Clock.UTC().Format(time.RFC3339Nano))
	}
}

// digest frames what is hashed, so that no two lists of fields look the same.
type digest struct{ hash.Hash }

func (d digest) add(fields ...string) {
	d.number(len(fields))
	for _, f := range fields {
		d.number(len(f))
		d.Write([]byte(f)) // a hash takes everything
	}
}

func (d digest) number(n int) {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(n))
	d.Write(b[:])
}
