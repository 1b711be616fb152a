package config

// notInThisVersion holds the keys that the design knows and this version does
// not act on. To accept one silently would be worse than to refuse it: who
// writes mask: believes that what is masked.
var notInThisVersion = map[string]string{
	"drills":    "drills (rehearsed restores)",
	"variables": "comparison of variables",

	"environments.*.access":  "management of access",
	"environments.*.migrate": "migration after a mirror",
	"environments.*.mask":    "masking",

	"environments.*.mirror.preserve": "preserved tables",
	"environments.*.mirror.mask":     "masking",
	"environments.*.mirror.migrate":  "migration after a mirror",
	"environments.*.mirror.remap":    "remapping",
	"environments.*.mirror.missed":   "daemon that could miss a schedule",

	"environments.*.backup.base":   "physical backups",
	"environments.*.backup.wal":    "physical backups",
	"environments.*.backup.missed": "daemon that could miss a schedule",
}
