package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/console"
	"github.com/envdb/envdb/internal/notify"
)

// toldList is what became of a test of the notifications.
type toldList struct {
	Notifications []toldOne `json:"notifications"`
}

type toldOne struct {
	Name    string `json:"name"`
	Channel string `json:"channel"`
	Told    bool   `json:"told"`
	Took    string `json:"took"`
	Error   string `json:"error,omitempty"`
	Next    string `json:"next,omitempty"`
}

// tester is of a notify.Notifier what the command needs.
type tester interface {
	Test(ctx context.Context) []notify.Trial
}

func newNotifyCommand(a *app) *cobra.Command {
	c := &cobra.Command{Use: "notify", Short: "Try whether notifications reach people"}
	c.AddCommand(&cobra.Command{
		Use:   "test [NAME]",
		Short: "Send a test to everybody whom the daemon tells, or to one of them",
		Long: `Send a test to everybody whom the daemon tells, or to one of them, named as in
the section notifications of the configuration, and say whether it was taken.
It needs neither the store nor a server, and no daemon.

A ping's test goes to URL/log, where it counts neither as a success nor as a
failure. That a service took a test does not mean that somebody read it: look.

If anybody could not be told, the exit code is 8. docs/notifications.md has more.`,
		Example: "  envdb notify test\n  envdb notify test chat",
		Args:    optional("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.runNotifyTest(c.Context(), strings.Join(args, ""))
		},
	})
	return needsOneOf(c)
}

func (a *app) runNotifyTest(ctx context.Context, name string) error {
	if err := a.checkOutput(); err != nil {
		return err
	}
	c, err := config.Load(a.configPath, nil)
	if err != nil {
		return err
	}
	routes, err := namedRoute(notifyRoutes(c), name)
	if err != nil {
		return err
	}
	return a.testNotifications(ctx, notify.New(notify.Config{Routes: routes, Project: c.Project, Sender: hostname()}))
}

func (a *app) testNotifications(ctx context.Context, t tester) error {
	list := &toldList{Notifications: []toldOne{}}
	var missed []string
	for _, trial := range t.Test(ctx) {
		one := toldOne{Name: trial.Name, Channel: trial.Channel, Told: trial.Err == nil, Took: trial.Took.Round(time.Millisecond).String()}
		if trial.Err != nil {
			one.Error = trial.Err.Error()
			_, one.Next = envdb.Advice(trial.Err)
			missed = append(missed, trial.Name)
		}
		list.Notifications = append(list.Notifications, one)
	}
	if err := print(a, list, renderTold); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if len(missed) > 0 {
		return envdb.Fail(envdb.ErrUnreachable, "%d of %d could not be told: %s", len(missed), len(list.Notifications), strings.Join(missed, ", ")).
			WithNext("mend what is listed, and try again: envdb notify test %s", missed[0])
	}
	return nil
}

func renderTold(w io.Writer, l *toldList) {
	rows := make([][]string, len(l.Notifications))
	for i, one := range l.Notifications {
		told := "yes"
		if !one.Told {
			told = "NO"
		}
		rows[i] = []string{one.Name, one.Channel, told, one.Took}
	}
	console.Table(w, []string{"NAME", "CHANNEL", "TOLD", "TOOK"}, rows)
	for _, one := range l.Notifications {
		if one.Told {
			continue
		}
		fmt.Fprintf(w, "\n%s: %s\n", one.Name, console.Printable(one.Error))
		if one.Next != "" {
			fmt.Fprintf(w, "Next: %s\n", console.Printable(one.Next))
		}
	}
}

// namedRoute returns the route of that name, or all if there is none.
func namedRoute(routes []notify.Route, name string) ([]notify.Route, error) {
	var names []string
	for _, r := range routes {
		if r.Name == name {
			return []notify.Route{r}, nil
		}
		names = append(names, r.Name)
	}
	switch {
	case len(routes) == 0:
		return nil, envdb.Fail(envdb.ErrNotFound, "nobody is told anything: the configuration has no notifications").WithNext("add some: docs/notifications.md")
	case name == "":
		return routes, nil
	}
	return nil, envdb.Fail(envdb.ErrNotFound, "there is no notification %q", name).WithNext("name one of %s", strings.Join(names, ", "))
}

// notifyRoutes returns whom the configuration wants to be told of what.
func notifyRoutes(c *config.Config) []notify.Route {
	var routes []notify.Route
	for _, n := range c.Notifications() {
		r := notify.Route{Name: n.Name, Channel: notifyChannel(n), Environments: slices.Clone(n.Environments), Jobs: slices.Clone(n.Jobs)}
		for _, e := range n.Events {
			r.Kinds = append(r.Kinds, notify.Kind(e)) // they are called the same
		}
		routes = append(routes, r)
	}
	return routes
}

// notifyChannel returns how somebody is told; the configuration has exactly one
// way.
func notifyChannel(n config.Notification) notify.Channel {
	switch {
	case n.Webhook != nil:
		headers := map[string]notify.Secret{}
		for name, value := range n.Webhook.Headers {
			headers[name] = value
		}
		return notify.Webhook{Endpoint: notify.Endpoint{URL: n.Webhook.URL, Headers: headers}}
	case n.Slack != nil:
		return notify.Slack{Endpoint: notify.Endpoint{URL: n.Slack.URL}}
	case n.SMTP != nil:
		return notify.Mail{
			Server: n.SMTP.Server, From: n.SMTP.From, To: n.SMTP.To, TLS: notify.TLS(n.SMTP.TLS),
			Username: n.SMTP.Username, Password: n.SMTP.Password,
		}
	}
	return notify.Pings{Endpoint: notify.Endpoint{URL: n.Ping.URL}}
}

// hostname is what people call this machine; empty if it has no name.
func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return name
}
