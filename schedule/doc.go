// Package schedule says when backups are due and calendar jobs run. Its one
// idea is that schedules are pure functions of what they are given: a ladder
// of intervals, a calendar expression and a moment. It knows no database, no
// clock and no store.
package schedule
