package config

// notInThisVersion holds the keys that the design knows and this version does
// not act on. To accept one silently would be worse than to refuse it: who
// writes preserve: believes that it preserves.
var notInThisVersion = map[string]string{
	"drills":    "drills (rehearsed restores)",
	"variables": "comparison of variables",

	"environments.*.ttl":     "expiry of environments",
	"environments.*.access":  "management of access",
	"environments.*.migrate": "migration after a mirror",
	"environments.*.mask":    "masking",

	"environments.*.mirror.preserve": "preserved tables",
	"environments.*.mirror.migrate":  "migration after a mirror",
	"environments.*.mirror.remap":    "remapping",
	"environments.*.mirror.missed":   "daemon that could miss a schedule",

	"environments.*.backup.base":   "physical backups",
	"environments.*.backup.wal":    "physical backups",
	"environments.*.backup.missed": "daemon that could miss a schedule",
}
