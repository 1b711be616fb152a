package config

import "strings"

// AccessMode is what the application's role may do with the rows of an
// environment.
type AccessMode string

// ReadAccess lets it look, AppendAccess also insert, ReadWriteAccess also
// change and delete.
const (
	ReadAccess      AccessMode = "read"
	AppendAccess    AccessMode = "append"
	ReadWriteAccess AccessMode = "read-write"
)

// Access says what the application's role may do. The zero Access leaves the
// grants as they were copied.
type Access struct {
	Mode AccessMode
	// Role is the application's; empty means the user of the environment's url.
	Role string
}

// Declared reports whether the file says anything.
func (a Access) Declared() bool { return a.Mode != "" }

// readAccess reads a mode, or a mapping of a role and its mode.
func (d *declaration) readAccess(v value) {
	d.access = v
	if v.kind() != "a mapping" {
		d.Access.Mode = v.accessMode()
		return
	}
	seen := v.object(fields{
		"role": func(v value) {
			if d.Access.Role = v.text(); strings.EqualFold(d.Access.Role, "public") {
				v.fault("is everyone; name the role that the application connects as")
			}
		},
		"mode": func(v value) { d.Access.Mode = v.accessMode() },
	})
	v.require(seen, "mode")
}

func (v value) accessMode() AccessMode {
	return AccessMode(v.choice("mode", string(ReadAccess), string(ReadWriteAccess), string(AppendAccess)))
}

// checkAccess records an access in what envdb grants nothing in.
func (d *declaration) checkAccess() {
	if d.Access.Declared() && d.saysProtected() {
		d.access.fault("%s is protected (tier %s): envdb grants and revokes nothing there", d.Name, d.Tier)
	}
}
