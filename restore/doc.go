// Package restore turns a point that a person named into the backup that
// answers it. The one idea in it is that a point means the newest good restore
// point at or before it: nothing that happened after the moment may come back.
package restore
