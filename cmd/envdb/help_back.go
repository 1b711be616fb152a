package main

import "github.com/spf13/cobra"

// newBackTopic is a help topic, not a command: what brings things back, what
// each gives and what each loses.
func newBackTopic() *cobra.Command {
	return &cobra.Command{
		Use:   "back",
		Short: "What brings things back: a table for 3 a.m.",
		Long: `WHAT BRINGS THINGS BACK                       (nothing here touches production
                                               until you type its name)
  something went wrong with …     do                             you get                       you lose
  ─────────────────────────────   ────────────────────────────   ───────────────────────────   ─────────────────────────────
  the last mirror or promote      envdb rollback ENV             the version that was live     nothing: what is live now
                                                                 before, in under a second     is kept as "previous"
  any copy, after an experiment   envdb reset ENV                what it was last filled       changes made in it since
  or a broken test run                                           with, in a moment             (kept as "previous")
  prod-copy, and it must be       envdb mirror prod prod-copy    production's newest restore   the same
  newer than that                                                point (--fresh: as of now)
  prod-copy, and it must be       envdb mirror prod@t-1d         production as of that         the same
  yesterday's                       prod-copy                    moment
  staging, someone deleted rows   envdb restore staging@t-1h     staging's own past            what was written to staging
                                                                                               since (kept as "previous")
  PRODUCTION: rows are gone       envdb restore prod@"TIME"      a dark copy of that moment    nothing: live goes on;
                                  envdb versions prod            beside the live database      copy rows over by hand
  PRODUCTION: all of it is wrong  … then envdb promote prod      that moment, live             what was written since
                                    VERSION --confirm prod                                     (kept as "previous")
  PRODUCTION: the server is gone  envdb restore prod --onto URL  roles, schema and data on     what was written since the
                                                                 an empty new server           restore point

First look, then act:   envdb status           what is live, how old, from when
                        envdb backups prod     which moments there are
                        envdb … --dry-run      the plan, and nothing else
Restoring production needs a role that may create databases on its server: set its
URL for that one command. A point is: latest, a backup id, 2026-11-20 14:05 (your zone), t-1d, 1h ago.`,
	}
}
