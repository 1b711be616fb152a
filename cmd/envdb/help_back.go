package main

import "github.com/spf13/cobra"

// newBackTopic is a help topic, not a command: what brings things back, what
// each gives and what each loses.
func newBackTopic() *cobra.Command {
	return &cobra.Command{
		Use:   "back",
		Short: "What brings things back: a table for 3 a.m.",
		Long: `WHAT BRINGS THINGS BACK

No envdb command changes what production serves until you add --confirm prod.

  something went wrong with …     do                                 what you get, what you lose
  ──────────────────────────────  ─────────────────────────────────  ───────────────────────────────
  the last mirror, seed, reset    envdb rollback ENV                 what was live before, in under
  or promote                                                         a second; you lose nothing *
  any copy, after an experiment   envdb reset ENV                    what it was last filled with,
  or a broken test run                                               in a moment; you lose what was
                                                                     done since *
  prod-copy, and it must be       envdb mirror prod prod-copy        production's newest restore
  newer than that                                                    point (--fresh: as of now) *
  prod-copy, and it must be       envdb mirror prod@t-1d prod-copy   production as of that moment *
  yesterday's
  staging, someone deleted rows   envdb restore staging@t-1h         staging's own past; you lose
                                                                     what was written since *
  a migration of ENV failed       envdb restore ENV@BACKUP           the backup that it took before;
                                                                     you lose what was written since
                                                                     * (prod: it stays dark)
  it hibernates, and is needed    envdb wake ENV                     what it was; you lose nothing
  a backup that was deleted       envdb undelete ENV@ID              the backup, until it says "is
                                                                     being deleted" in envdb backups
  PRODUCTION: rows are gone       envdb restore prod@"TIME"          a dark copy of that moment, to
                                                                     copy rows from; you lose
                                                                     nothing
  PRODUCTION: a table is gone     the same, then pg_dump -t (below)  the table as it was then
  PRODUCTION: all of it is wrong  the same, then envdb promote prod  that moment, live; you lose
                                    VERSION --confirm prod           what was written since *
  PRODUCTION: the server is gone  envdb restore prod --onto URL      all of it on an empty new
                                                                     server; you lose what came
                                                                     after the restore point

  * and that is kept as "previous": envdb rollback ENV brings it back, until the next swap

First look, then act:   envdb status           what is live, how old, from when
                        envdb backups prod     which moments there are
                        envdb … --dry-run      the plan, and nothing else

Restoring production needs a role that may create databases on its server. Give its URL for one
command, in the variable that the configuration names:

  PROD_DATABASE_URL='postgres://postgres:…@db.example.com:5432/shop' envdb restore prod@"TIME"

or for all of them in this shell, because what follows needs it too:

  export PROD_DATABASE_URL='postgres://postgres:…@db.example.com:5432/shop'
  envdb restore prod@"TIME"                      (names the dark version: VERSION)
  psql "$(envdb env url prod@VERSION)"           look at it
  psql "$(envdb env url prod@VERSION)" -c "\copy (SELECT * FROM orders WHERE …) TO STDOUT" |
    psql "$(envdb env url prod)" -c "\copy orders FROM STDIN"        rows that were deleted
  pg_dump -t payments "$(envdb env url prod@VERSION)" |
    psql -1 -v ON_ERROR_STOP=1 "$(envdb env url prod)"               a table that was dropped
  envdb discard prod VERSION --confirm VERSION   when it is no longer needed

TIME is a point: latest, a backup id, 2026-11-20 14:05 (your zone), t-1d, 1h ago.`,
	}
}
