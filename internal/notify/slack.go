package notify

import (
	"context"
	"encoding/json"
	"regexp"
	"strings"
)

// Slack sends events to what takes Slack's messages: Slack, Mattermost,
// Rocket.Chat, Discord's /slack. All of them know attachments, and only Slack
// knows blocks.
type Slack struct{ Endpoint }

// String says what it is.
func (Slack) String() string { return "slack" }

// slackMessage is a message to an incoming webhook. Formatting is off but for
// what is fenced: an error may hold any character.
type slackMessage struct {
	Text        string            `json:"text"`
	Markdown    bool              `json:"mrkdwn"`
	Attachments []slackAttachment `json:"attachments,omitempty"`
}

type slackAttachment struct {
	Fallback   string       `json:"fallback"`
	Color      string       `json:"color"`
	Text       string       `json:"text,omitempty"`
	Fields     []slackField `json:"fields,omitempty"`
	Footer     string       `json:"footer"`
	Time       int64        `json:"ts"`
	MarkdownIn []string     `json:"mrkdwn_in"`
}

type slackField struct {
	Title string `json:"title"`
	Value string `json:"value"`
	Short bool   `json:"short"`
}

// colors are those of a message's edge.
var colors = map[Severity]string{SeverityError: "#d00000", SeverityWarning: "#daa038", SeverityOK: "#2eb886", SeverityInfo: "#808080"}

// mostSlack is how long a text may be; Slack cuts what is longer.
const mostSlack = 3000

// Send implements Channel.
func (s Slack) Send(ctx context.Context, e Event) error {
	e = e.clean()
	body, err := json.Marshal(slackMessageOf(e))
	if err != nil {
		return err
	}
	_, err = s.post(ctx, content{kind: "application/json", data: body, id: e.ID()})
	return err
}

func slackMessageOf(e Event) slackMessage {
	a := slackAttachment{
		Fallback: slackText(e.Title), Color: colors[e.Kind.Severity()], Text: slackText(cut(e.Text, mostSlack)),
		Footer: slackText(e.from()), Time: e.At.Unix(), MarkdownIn: []string{},
	}
	if e.Kind == KindDigest {
		a.Text = "```\n" + slackText(strings.ReplaceAll(cut(e.Text, mostSlack), "`", "'")) + "\n```"
		a.MarkdownIn = []string{"text"}
	}
	const shortField = 40
	for _, f := range e.facts() {
		a.Fields = append(a.Fields, slackField{Title: slackText(capital(f[0])), Value: slackText(f[1]), Short: len(f[1]) < shortField})
	}
	title := e.Title
	if e.Project != "" {
		title = "[" + e.Project + "] " + title
	}
	return slackMessage{Text: slackText(title), Attachments: []slackAttachment{a}}
}

// calling are words that wake everybody in a channel, in one service or
// another. Nothing that a server or a file says may.
var calling = regexp.MustCompile(`(?i)@(everyone|here|channel|all)\b`)

var slackEscapes = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// slackText escapes what Slack reads as a link or a mention.
func slackText(s string) string {
	return slackEscapes.Replace(calling.ReplaceAllString(s, "@\u200b$1"))
}
