package logical

import (
	"slices"
	"strings"
)

// CarriedSettings returns the settings of the source's database, and of roles
// in it, that a copy gets; the environment's own settings are laid over them by
// whoever promotes it. A neutralised copy gets the built-in ones, and of the
// custom (dotted) ones those in keep: applications put addresses, keys and
// switches into them. Names compare as PostgreSQL does, without regard to case.
func CarriedSettings(cat *Catalogue, keep []string, neutralise bool) []Setting {
	var out []Setting
	for _, s := range cat.Database.Settings {
		custom := strings.Contains(s.Name, ".")
		kept := slices.ContainsFunc(keep, func(k string) bool { return strings.EqualFold(k, s.Name) })
		if !neutralise || !custom || kept {
			out = append(out, s)
		}
	}
	return out
}
