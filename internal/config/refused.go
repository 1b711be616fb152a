package config

// notInThisVersion holds the keys that the design knows and this version does
// not act on. To accept one silently would be worse than to refuse it: who
// writes preserve: believes that it preserves.
var notInThisVersion = map[string]string{
	"variables": "comparison of variables",

	"environments.*.backup.base": "physical backups",
	"environments.*.backup.wal":  "physical backups",
}

// elsewhere holds keys that people look for in a place where they are not, with
// the key that they mean.
var elsewhere = map[string]string{
	"environments.*.mask":            "mirror.mask",
	"environments.*.mirror.missed":   "schedule.missed",
	"environments.*.mirror.deadline": "schedule.deadline",
	"environments.*.mirror.jitter":   "schedule.jitter",
	"environments.*.seed.missed":     "schedule.missed",
	"environments.*.seed.deadline":   "schedule.deadline",
	"environments.*.seed.jitter":     "schedule.jitter",
}
