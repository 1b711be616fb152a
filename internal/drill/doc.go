// Package drill knows what a restore drill is: which restore point it takes,
// what it holds the restored database to, what it found, and how that is shown
// to an engineer, an auditor and whoever pays for the disks. It touches no
// database and no store; internal/manager does the work and fills the Report.
package drill
