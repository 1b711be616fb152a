package config

import (
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Notification is somebody whom the daemon tells what happens. One of Webhook,
// Slack, SMTP and Ping is set.
type Notification struct {
	Name    string
	Webhook *Webhook
	Slack   *Slack
	SMTP    *SMTP
	Ping    *Ping

	// Events are what is told; a Ping has none, it tells of every run.
	Events []Event
	// Environments are names, or with stars many of them; none are all.
	Environments []string
	// Jobs are the names of jobs for a Ping, or with stars many of them; none are
	// all.
	Jobs []string
	// Digest is when the daily summary is sent.
	Digest Schedule
}

// Event is what somebody is told of.
type Event string

// The events. EventObjective is a missed one, EventWarning what somebody should
// look at this week.
const (
	EventFailing   Event = "failing"
	EventRecovered Event = "recovered"
	EventStale     Event = "stale"
	EventObjective Event = "objective"
	EventDigest    Event = "digest"
	EventWarning   Event = "warning"
)

// Events returns all of them.
func Events() []Event {
	return []Event{EventFailing, EventRecovered, EventStale, EventObjective, EventDigest, EventWarning}
}

// Webhook is a URL that gets JSON by POST.
type Webhook struct {
	URL     Secret
	Headers map[string]Secret
}

// Slack is a URL that takes Slack's messages.
type Slack struct{ URL Secret }

// Ping is a URL that is called when a run starts, succeeds and fails, as
// healthchecks.io has it.
type Ping struct{ URL Secret }

// Wants reports whether somebody is told of such an event of an environment.
// One that is of no environment has an empty name, and is everybody's.
func (n Notification) Wants(e Event, environment string) bool {
	return n.Ping == nil && slices.Contains(n.Events, e) &&
		(len(n.Environments) == 0 || environment == "" || matchesAny(n.Environments, environment))
}

// WantsJob reports whether a ping is sent for the runs of a job of an
// environment, such as backup/prod of prod.
func (n Notification) WantsJob(job, environment string) bool {
	return n.Ping != nil && (len(n.Environments) == 0 || matchesAny(n.Environments, environment)) &&
		(len(n.Jobs) == 0 || matchesAny(n.Jobs, job))
}

// matchesAny reports whether a name is one of those, in which a star stands for
// any letters but a slash.
func matchesAny(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		matches, err := path.Match(p, name)
		return err == nil && matches
	})
}

// Notifications returns whom the daemon tells, in the order of the file.
func (c *Config) Notifications() []Notification {
	all := make([]Notification, len(c.notifications))
	for i, n := range c.notifications {
		all[i] = n.Notification
	}
	return all
}

// notified is a notification as it stands in the file.
type notified struct {
	Notification
	at                 value
	environments, jobs []value
	digest             bool
	secrets            []Secret
}

func (c *Config) readNotifications(v value) {
	for _, item := range v.list() {
		item.schema = "notifications.*"
		c.notifications = append(c.notifications, item.notification(c.get))
	}
}

// notification reads one entry of notifications.
func (v value) notification(get lookup) *notified {
	n := &notified{at: v}
	seen := v.object(fields{
		"name":         func(v value) { n.Name = v.name() },
		"webhook":      func(v value) { n.Webhook = n.webhook(v, get) },
		"slack":        func(v value) { n.Slack = &Slack{n.secretURL(v, get)} },
		"ping":         func(v value) { n.Ping = &Ping{n.openURL(v, get)} },
		"smtp":         func(v value) { n.SMTP = n.smtp(v, get) },
		"events":       func(v value) { n.Events = v.events() },
		"environments": func(v value) { n.Environments, n.environments = v.globs() },
		"jobs":         func(v value) { n.Jobs, n.jobs = v.globs() },
		"digest":       func(v value) { n.Digest, n.digest = v.schedule(), true },
	})
	v.require(seen, "name")
	n.checkWay(seen)
	n.checkEvents(seen)
	return n
}

// checkWay records that there is not exactly one way to reach somebody.
func (n *notified) checkWay(seen map[string]entry) {
	var ways []string
	for _, way := range []string{"webhook", "slack", "smtp", "ping"} {
		if _, found := seen[way]; found {
			ways = append(ways, way)
		}
	}
	switch {
	case len(ways) == 0 && n.at.kind() == "a mapping":
		n.at.hint("write webhook, slack, smtp or ping", "does not say how somebody is told")
	case len(ways) > 1:
		n.at.hint("write an entry for each", "has %s, and one of them only", strings.Join(ways, " and "))
	}
}

// checkEvents records what does not go with the way, and fills in the events.
func (n *notified) checkEvents(seen map[string]entry) {
	given, hasEvents := seen["events"]
	jobs, hasJobs := seen["jobs"]
	digest := slices.Contains(n.Events, EventDigest)
	switch {
	case n.Ping != nil:
		for _, key := range []string{"events", "digest"} {
			if e, found := seen[key]; found {
				n.at.doc.fault(e.at, "remove it", "%s: a ping tells of every run that starts, succeeds or fails", e.path)
			}
		}
		return
	case hasJobs:
		n.at.doc.fault(jobs.at, "write environments: […]", "%s: is for a ping", jobs.path)
	case digest && !n.digest:
		given.hint(`write digest: "CRON_TZ=UTC 0 8 * * *"`, "has the digest, and nothing says when it is sent")
	case !hasEvents:
		n.Events = slices.DeleteFunc(Events(), func(e Event) bool { return e == EventDigest })
	}
	if n.digest && !digest {
		n.Events = append(n.Events, EventDigest)
	}
}

func (v value) events() []Event {
	var words []string
	for _, e := range Events() {
		words = append(words, string(e))
	}
	var events []Event
	for _, item := range v.list() {
		if e := Event(item.choice("event", words...)); e != "" && !slices.Contains(events, e) {
			events = append(events, e)
		}
	}
	if len(events) == 0 && v.kind() == "a list" {
		v.hint("leave it out for all", "is empty")
	}
	return events
}

// globs reads a list of names that may have stars.
func (v value) globs() (globs []string, items []value) {
	for _, item := range v.list() {
		text := item.text()
		switch {
		case text == "":
		case strings.ContainsAny(text, `?[]{}\`):
			item.hint("write test-*", "is a name, with * for any letters")
		default:
			globs, items = append(globs, text), append(items, item)
		}
	}
	if len(globs) == 0 && v.kind() == "a list" {
		v.hint("leave it out for all", "is empty")
	}
	return globs, items
}

func (n *notified) secretURL(v value, get lookup) Secret {
	return n.url(v, func(v value) Secret { return v.hidden(get, checkAddress) })
}

func (n *notified) openURL(v value, get lookup) Secret {
	return n.url(v, func(v value) Secret { return v.address(get) })
}

// url reads a section that has a URL and nothing else.
func (n *notified) url(v value, read func(value) Secret) (s Secret) {
	seen := v.object(fields{"url": func(v value) { s = n.keep(read(v)) }})
	v.require(seen, "url")
	return s
}

// keep remembers what the notification refers to.
func (n *notified) keep(s Secret) Secret {
	n.secrets = append(n.secrets, s)
	return s
}

func (n *notified) texts() []text {
	texts := make([]text, len(n.secrets))
	for i, s := range n.secrets {
		texts[i] = s.from
	}
	return texts
}

func (n *notified) webhook(v value, get lookup) *Webhook {
	w := &Webhook{Headers: map[string]Secret{}}
	seen := v.object(fields{
		"url": func(v value) { w.URL = n.keep(v.address(get)) },
		"headers": func(v value) {
			for _, e := range v.entries() {
				w.Headers[e.name] = n.keep(e.header(get))
			}
		},
	})
	v.require(seen, "url")
	return w
}

var (
	headerName = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")
	// telling are the names of headers that hold secrets.
	telling = regexp.MustCompile(`(?i)auth|token|secret|password|cookie|api-?key|signature|credential`)
)

// header reads a header of HTTP.
func (e entry) header(get lookup) Secret {
	switch {
	case !headerName.MatchString(e.name):
		e.doc.fault(e.at, "", "%s: is not the name of a header", e.path)
	case telling.MatchString(e.name):
		return e.hidden(get, checkHeader)
	}
	t := e.references()
	if wrong, next := checkHeader(t.raw); wrong != "" {
		e.hint(next, "%s", wrong)
	}
	return Secret{from: t, get: get, check: checkHeader}
}

func checkHeader(held string) (wrong, next string) {
	if strings.ContainsAny(held, "\r\n\x00") {
		return "has more than one line", "write one line"
	}
	return "", ""
}

// checkAddress returns what is wrong with the URL of a service that is told;
// never the URL itself.
func checkAddress(raw string) (wrong, next string) {
	const example = "write https://hooks.example.com/envdb, or env:NAME that holds such a URL"
	u, err := url.Parse(raw)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		return "is not the URL of a service", example
	case u.User != nil:
		return "holds a user name or a password", "give them as a header: headers: {Authorization: env:NAME}"
	case u.Fragment != "":
		return "has a #", example
	}
	return "", ""
}

// loopbackURL reports whether a URL leads to this machine.
func loopbackURL(raw string) bool {
	u, err := url.Parse(raw)
	return err == nil && loopback(u.Hostname())
}

// checkNotifications records notifications of one name, and those that nothing
// can reach.
func (c *Config) checkNotifications() {
	jobs := c.jobNames()
	for i, n := range c.notifications {
		for _, other := range c.notifications[:i] {
			if n.Name != "" && strings.EqualFold(n.Name, other.Name) {
				n.at.fault("is called %s, as another one is", n.Name)
			}
		}
		names := keysOf(c.declarations())
		for _, item := range n.environments {
			if c.patternOf(item.plainText()) == nil {
				item.meets(names, "environment")
			}
		}
		for _, item := range n.jobs {
			item.meets(jobs, "job")
		}
	}
}

// jobNames are the names of what the daemon runs: what has a schedule, and a
// backup of what has a ladder.
func (c *Config) jobNames() []string {
	var names []string
	for _, d := range c.declarations() {
		if len(d.Backup.Ladder) > 0 {
			names = append(names, "backup/"+d.Name)
		}
	}
	for _, j := range c.Jobs() {
		names = append(names, j.Name)
	}
	return names
}

// meets records a name that none of those is, with or without its stars.
func (v value) meets(names []string, what string) {
	glob := v.plainText()
	if slices.ContainsFunc(names, func(name string) bool { return matchesAny([]string{glob}, name) }) {
		return
	}
	hint := "there are none"
	if near := nearest(glob, names); near != "" {
		hint = "did you mean \"" + near + "\"?"
	} else if len(names) > 0 {
		hint = "there are " + strings.Join(names, ", ")
	}
	v.hint(hint, "there is no %s %q", what, glob)
}
