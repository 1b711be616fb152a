// Package seal makes what a repository stores unreadable without a key, and
// unchangeable without its being noticed.
//
// The one idea: one random data key per repository seals everything with
// AES-256-GCM, and is itself wrapped with age for every recipient who may have
// it. Adding a reader wraps one more copy of 32 bytes; no backup is touched.
// What an authenticated frame is bound to (its repository, object and place)
// is the caller's to say, in the associated data.
package seal
