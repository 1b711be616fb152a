// Package notify tells people what changed: that a job has begun to fail, that
// it is well again, that restore points grow old.
//
// The one idea in it is that people hear of changes, not of runs. A [Tracker]
// is a pure state machine over observations: it turns a day of failures, one a
// minute, into one alarm and one message that it is over. A [Notifier] brings
// its events to [Channel]s, each with a queue of its own, so that a service
// that is slow or gone keeps nobody waiting: not the daemon, and not another
// channel.
//
// docs/notifications.md has the form of what is sent.
package notify
