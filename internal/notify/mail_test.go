package notify_test

import (
	"context"
	"crypto/x509"
	"io"
	"mime"
	"mime/quotedprintable"
	"net/mail"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/notify"
)

// mailing returns a server and how it is told.
func mailing(t *testing.T, s *mailServer, mode notify.TLS) (*mailServer, notify.Mail) {
	t.Helper()
	trusted := certificate(t)
	s.implicit = mode == notify.FullTLS
	serveMail(t, s, trusted.TLS)
	roots := x509.NewCertPool()
	roots.AddCert(trusted.Certificate())
	return s, notify.Mail{Server: s.address, From: "envdb <envdb@example.com>", To: []string{"ops@example.com", "dba@example.org"}, TLS: mode, Roots: roots}
}

func TestMail(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		mode   notify.TLS
		offers []string
		login  bool
	}{
		{"starttls", notify.StartTLS, []string{"STARTTLS", "AUTH PLAIN LOGIN"}, true},
		{"tls", notify.FullTLS, []string{"AUTH PLAIN"}, true},
		{"tls without a password", notify.FullTLS, nil, false},
		{"in the clear", notify.NoTLS, nil, false},
		{"in the clear on this machine, with a password", notify.NoTLS, []string{"AUTH PLAIN"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, m := mailing(t, &mailServer{offers: c.offers}, c.mode)
			if c.login {
				m.Username, m.Password = written("envdb"), written("verysecretpassword")
			}
			if err := m.Send(t.Context(), failing()); err != nil {
				t.Fatal(err)
			}
			letters, commands := s.got()
			if len(letters) != 1 {
				t.Fatalf("%d letters", len(letters))
			}
			if got := slices.Contains(commands, "AUTH PLAIN |envdb|verysecretpassword"); got != c.login {
				t.Errorf("login: %v, want %v, in %q", got, c.login, commands)
			}
			for _, to := range m.To {
				if !slices.ContainsFunc(commands, func(c string) bool { return strings.HasPrefix(c, "RCPT TO:<"+to+">") }) {
					t.Errorf("nothing for %s in %q", to, commands)
				}
			}
			checkLetter(t, letters[0])
		})
	}
}

func checkLetter(t *testing.T, raw string) {
	t.Helper()
	letter, err := mail.ReadMessage(strings.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"Subject": "[acme] prod: unreachable", "Message-Id": "<" + failing().ID() + "@example.com>", "Auto-Submitted": "auto-generated",
		"From": `"envdb" <envdb@example.com>`, "X-Envdb-Kind": "failing",
	} {
		if got := letter.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if at, err := letter.Header.Date(); err != nil || time.Since(at).Abs() > time.Hour {
		t.Errorf("Date: %v, %v", at, err)
	}
	if letter.Header.Get("References") == "" || !strings.HasPrefix(letter.Header.Get("Content-Type"), "text/plain; charset=UTF-8") {
		t.Errorf("headers: %v", letter.Header)
	}
	body, err := io.ReadAll(quotedprintable.NewReader(letter.Body))
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "mail.txt", strings.ReplaceAll(string(body), "\r\n", "\n"))
}

// TestMailHeadersHoldOneLine: what a server or a file says adds no header and no
// recipient.
func TestMailHeadersHoldOneLine(t *testing.T) {
	t.Parallel()
	s, m := mailing(t, &mailServer{}, notify.NoTLS)
	hostile := failing()
	hostile.Title = "fails\r\nBcc: evil@example.com\r\n\r\n.\r\nRCPT TO:<evil@example.com> " + strings.Repeat("ü", 500)
	hostile.Project, hostile.Alarm = "a\nBcc: evil@example.com", "x\r\nBcc: evil@example.com"
	hostile.Text = "first\r\n.\r\nMAIL FROM:<evil@example.com>\r\n.\n..\n\x00" + strings.Repeat("long ", 5000)
	if err := m.Send(t.Context(), hostile); err != nil {
		t.Fatal(err)
	}
	letters, commands := s.got()
	for _, command := range commands {
		if strings.Contains(command, "evil") {
			t.Errorf("the server was told %q", command)
		}
	}
	letter, err := mail.ReadMessage(strings.NewReader(letters[0]))
	if err != nil {
		t.Fatal(err)
	}
	if letter.Header.Get("Bcc") != "" || len(letter.Header["Subject"]) != 1 {
		t.Errorf("headers: %v", letter.Header)
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(letter.Header.Get("Subject"))
	if err != nil || len(subject) > 120 || !strings.HasPrefix(subject, "[a Bcc: evil@example.com] fails Bcc:") {
		t.Errorf("subject %q, %v", subject, err)
	}
}

func TestMailRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		mode   notify.TLS
		server *mailServer
		login  bool
		kind   error
		want   string
	}{
		{"no STARTTLS", notify.StartTLS, &mailServer{offers: []string{"AUTH PLAIN"}}, true, nil, "does not support STARTTLS"},
		{"STARTTLS refused", notify.StartTLS, &mailServer{offers: []string{"STARTTLS"}, answers: map[string]string{"STARTTLS": "454 not now"}}, true, envdb.ErrUnreachable, `454 "not now"`},
		{"no login", notify.FullTLS, &mailServer{}, true, nil, "does not support SMTP AUTH"},
		{"wrong password", notify.FullTLS, &mailServer{offers: []string{"AUTH PLAIN"}, answers: map[string]string{"AUTH": "535 verysecretpassword is wrong"}}, true, nil, `535 "xxxxx is wrong"`},
		{"a greeting of 421", notify.NoTLS, &mailServer{answers: map[string]string{"greeting": "421 too busy"}}, false, envdb.ErrUnreachable, `421 "too busy"`},
		{"cut off at once", notify.NoTLS, &mailServer{answers: map[string]string{"greeting": ""}}, false, envdb.ErrUnreachable, "EOF"},
		{"cut off within the letter", notify.NoTLS, &mailServer{answers: map[string]string{"letter": ""}}, false, envdb.ErrUnreachable, "EOF"},
		{"greylisted", notify.NoTLS, &mailServer{answers: map[string]string{"RCPT": "451 4.7.1 come back"}}, false, envdb.ErrUnreachable, "come back"},
		{"nobody of that name", notify.NoTLS, &mailServer{answers: map[string]string{"RCPT": "550 5.1.1 no such user"}}, false, nil, "no such user"},
		{"spam", notify.NoTLS, &mailServer{answers: map[string]string{"letter": "554 spam"}}, false, nil, `554 "spam"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, m := mailing(t, c.server, c.mode)
			if c.login {
				m.Username, m.Password = written("envdb"), written("verysecretpassword")
			}
			err := m.Send(t.Context(), failing())
			checkProblem(t, err, c.kind, c.want)
			letters, commands := s.got()
			if len(letters) != 0 {
				t.Error("the letter arrived")
			}
			if c.mode == notify.StartTLS && slices.ContainsFunc(commands, func(c string) bool { return strings.HasPrefix(c, "AUTH") || strings.HasPrefix(c, "MAIL") }) {
				t.Errorf("went on in the clear: %q", commands)
			}
		})
	}
}

// TestMailTakenIsTaken: what goes wrong after the server took a letter is no
// reason to send it again.
func TestMailTakenIsTaken(t *testing.T) {
	t.Parallel()
	for _, verb := range []string{"RSET", "QUIT"} {
		s, m := mailing(t, &mailServer{answers: map[string]string{verb: ""}}, notify.NoTLS)
		if err := m.Send(t.Context(), failing()); err != nil {
			t.Errorf("%s: %v", verb, err)
		}
		if letters, _ := s.got(); len(letters) != 1 {
			t.Errorf("%s: %d letters", verb, len(letters))
		}
	}
}

func TestMailUntrusted(t *testing.T) {
	t.Parallel()
	for _, mode := range []notify.TLS{notify.StartTLS, notify.FullTLS} {
		s, m := mailing(t, &mailServer{offers: []string{"STARTTLS"}}, mode)
		m.Roots = x509.NewCertPool()
		checkProblem(t, m.Send(t.Context(), failing()), envdb.ErrUnreachable, "its certificate is not to be trusted")
		if letters, _ := s.got(); len(letters) != 0 {
			t.Error("the letter arrived")
		}
	}
}

func TestMailServerThatHangs(t *testing.T) {
	t.Parallel()
	for _, verb := range []string{"greeting", "MAIL", "letter"} {
		_, m := mailing(t, &mailServer{answers: map[string]string{verb: "-"}}, notify.NoTLS)
		m.Timeout = 50 * time.Millisecond
		checkProblem(t, m.Send(t.Context(), failing()), envdb.ErrUnreachable, "did not take the mail in 50ms")

		m.Timeout = 0
		ctx, cancel := context.WithCancel(t.Context())
		sent := make(chan error)
		go func() { sent <- m.Send(ctx, failing()) }()
		cancel()
		checkProblem(t, <-sent, context.Canceled, "canceled")
	}
}

func TestMailMisconfigured(t *testing.T) {
	t.Parallel()
	m := notify.Mail{Server: "mail.example.com", From: "envdb@example.com", To: []string{"ops@example.com"}}
	checkProblem(t, m.Send(t.Context(), failing()), envdb.ErrMisuse, "missing port")
	m.Server = "mail.example.com:25"
	m.Password = unset{}
	checkProblem(t, m.Send(t.Context(), failing()), envdb.ErrMisuse, "the password: HOOK_URL is not set")
	m.From = "nobody"
	checkProblem(t, m.Send(t.Context(), failing()), envdb.ErrMisuse, "nobody")
}

// TestMailPasswordStaysHere: without TLS a password goes to no other machine.
func TestMailPasswordStaysHere(t *testing.T) {
	t.Parallel()
	for _, mechanism := range []string{"PLAIN", "LOGIN"} {
		// Of all addresses of this machine, 127.0.0.1 alone counts as it.
		s, m := mailing(t, &mailServer{host: "127.0.0.2", offers: []string{"AUTH " + mechanism}}, notify.NoTLS)
		m.Username, m.Password = written("envdb"), written("verysecretpassword")
		checkProblem(t, m.Send(t.Context(), failing()), nil, "unencrypted connection")
		if _, commands := s.got(); slices.ContainsFunc(commands, func(c string) bool { return strings.HasPrefix(c, "AUTH") }) {
			t.Errorf("told %q", commands)
		}
	}
}
