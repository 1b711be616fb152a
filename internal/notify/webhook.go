package notify

import (
	"context"
	"encoding/json"
	"time"
)

// webhookVersion is that of the form of what a Webhook sends. Fields are added
// under the same version; it changes when one goes or means something else.
const webhookVersion = 1

// Webhook sends events as JSON.
type Webhook struct{ Endpoint }

// String says what it is.
func (Webhook) String() string { return "webhook" }

// message is an event as a Webhook sends it; docs/notifications.md describes it.
type message struct {
	Version     int               `json:"version"`
	ID          string            `json:"id"`
	Kind        Kind              `json:"kind"`
	Severity    Severity          `json:"severity"`
	Alarm       string            `json:"alarm,omitempty"`
	Reminder    bool              `json:"reminder"`
	Project     string            `json:"project,omitempty"`
	Sender      string            `json:"sender,omitempty"`
	Subject     string            `json:"subject,omitempty"`
	Environment string            `json:"environment,omitempty"`
	At          time.Time         `json:"at"`
	Since       time.Time         `json:"since,omitzero"`
	Title       string            `json:"title"`
	Text        string            `json:"text,omitempty"`
	Next        string            `json:"next,omitempty"`
	Run         string            `json:"run,omitempty"`
	Fields      map[string]string `json:"fields,omitempty"`
	Links       map[string]string `json:"links,omitempty"`
	Dropped     int               `json:"dropped"`
}

func messageOf(e Event) message {
	m := message{
		Version: webhookVersion, ID: e.ID(), Kind: e.Kind, Severity: e.Kind.Severity(), Alarm: e.Alarm, Reminder: e.Reminder,
		Project: e.Project, Sender: e.Sender, Subject: e.Subject, Environment: e.Environment, At: e.At.UTC(),
		Title: e.Title, Text: e.Text, Next: e.Next, Run: e.Run, Fields: e.Fields, Links: e.Links, Dropped: e.Dropped,
	}
	if !e.Since.IsZero() {
		m.Since = e.Since.UTC()
	}
	return m
}

// Send implements Channel.
func (w Webhook) Send(ctx context.Context, e Event) error {
	e = e.clean()
	body, err := json.Marshal(messageOf(e))
	if err != nil {
		return err
	}
	_, err = w.post(ctx, content{kind: "application/json", data: body, id: e.ID()})
	return err
}
