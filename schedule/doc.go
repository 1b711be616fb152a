// Package schedule says when backups are due, which of them stay, and when
// calendar jobs run. Its one idea is that these are pure functions of what they
// are given: the restore points that exist, the runs that are recorded, and a
// moment. It knows no database, no clock and no store, and has no state of its
// own that could be lost.
//
// [Rules] decide on the restore points of an environment by its [Policy]; a
// [Simulation] shows what they come to. A [Calendar] has turns at the moments of
// a [Cron] or an [Every].
package schedule
