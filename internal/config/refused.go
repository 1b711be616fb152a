package config

// notInThisVersion holds the keys that the design knows and this version does
// not act on. To accept one silently would be worse than to refuse it: who
// writes preserve: believes that it preserves.
var notInThisVersion = map[string]string{
	"drills":    "drills (rehearsed restores)",
	"variables": "comparison of variables",

	"environments.*.mirror.missed": "daemon that could miss a schedule",

	"environments.*.backup.base":   "physical backups",
	"environments.*.backup.wal":    "physical backups",
	"environments.*.backup.missed": "daemon that could miss a schedule",
}

// elsewhere holds keys that people look for in a place where they are not, with
// the key that they mean.
var elsewhere = map[string]string{
	"environments.*.mask": "mirror.mask",
}
