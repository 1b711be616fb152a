package notify

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	netmail "net/mail"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"github.com/wneessen/go-mail"

	"github.com/envdb/envdb"
)

// TLS says how the connection to a mail server is protected.
type TLS string

// StartTLS begins in the clear and refuses to go on so. NoTLS sends no password
// to another machine.
const (
	StartTLS TLS = "starttls"
	FullTLS  TLS = "tls"
	NoTLS    TLS = "none"
)

// Mail sends events as mail.
type Mail struct {
	Server             string // host:port
	From               string
	To                 []string
	Username, Password Secret
	// TLS is StartTLS if empty.
	TLS TLS
	// Timeout is how long one mail may take; 0 is 30 s: some servers keep who they
	// do not know waiting.
	Timeout time.Duration
	// Roots are whose certificates are trusted; nil are the system's.
	Roots *x509.CertPool
}

const mailTimeout = 30 * time.Second

// mechanisms are how one proves who one is, the best first. PLAIN and LOGIN are
// refused by the library without TLS, except on this machine.
var mechanisms = []mail.SMTPAuthType{mail.SMTPAuthSCRAMSHA256, mail.SMTPAuthSCRAMSHA1, mail.SMTPAuthPlain, mail.SMTPAuthLogin, mail.SMTPAuthCramMD5}

// String says what it is.
func (Mail) String() string { return "smtp" }

// Send implements Channel.
func (m Mail) Send(ctx context.Context, e Event) error {
	if m.Timeout == 0 {
		m.Timeout = mailTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, m.Timeout)
	defer cancel()
	letter, err := m.letter(e.clean())
	if err != nil {
		return failed(later, envdb.Fail(envdb.ErrMisuse, "%w", err), "see from and to in the configuration")
	}
	username, err := reveal(m.Username, "the user name")
	if err != nil {
		return err
	}
	password, err := reveal(m.Password, "the password")
	if err != nil {
		return err
	}
	var line wire
	client, err := m.client(ctx, &line, username, password)
	if err != nil {
		return failed(later, envdb.Fail(envdb.ErrMisuse, "%s: %w", m.Server, err), "see smtp in the configuration")
	}
	defer line.close()
	err = client.DialAndSendWithContext(ctx, letter)
	if err == nil || letter.IsDelivered() {
		// What goes wrong while one says goodbye does not undo it.
		return nil
	}
	return m.failure(ctx, err, secrets{}.add(password))
}

// letter makes the mail.
func (m Mail) letter(e Event) (*mail.Msg, error) {
	letter := mail.NewMsg(mail.WithNoDefaultUserAgent())
	if err := letter.From(m.From); err != nil {
		return nil, err
	}
	if err := letter.To(m.To...); err != nil {
		return nil, err
	}
	domain := "envdb.invalid"
	if from, err := netmail.ParseAddress(m.From); err == nil {
		_, domain, _ = strings.Cut(from.Address, "@")
	}
	subject := e.Title
	if e.Project != "" {
		subject = "[" + e.Project + "] " + subject
	}
	const mostSubject = 120
	letter.Subject(lineOf(subject, mostSubject))
	letter.SetDate()
	letter.SetMessageIDWithValue(e.ID() + "@" + domain)
	if e.Alarm != "" {
		// What begins an alarm and what ends it are shown together.
		letter.SetGenHeader(mail.HeaderReferences, "<"+digestOf(e.Alarm)+"@"+domain+">")
	}
	// Nobody's absence note should come back. RFC 3834.
	letter.SetGenHeader("Auto-Submitted", "auto-generated")
	letter.SetGenHeader("X-Envdb-Kind", string(e.Kind))
	letter.SetBodyString(mail.TypeTextPlain, e.plain())
	return letter, nil
}

// wire is the connection of a mail under way. The library closes none whose
// greeting or login failed, and waits for answers whatever the context says.
type wire struct{ conn net.Conn }

func (w *wire) close() {
	if w.conn != nil {
		_ = w.conn.Close() // the library has closed it if all went well
	}
}

func (m Mail) client(ctx context.Context, line *wire, username, password string) (*mail.Client, error) {
	host, number, err := net.SplitHostPort(m.Server)
	if err != nil {
		return nil, err
	}
	port, err := strconv.Atoi(number)
	if err != nil {
		return nil, err
	}
	secure := &tls.Config{ServerName: host, RootCAs: m.Roots, MinVersion: tls.VersionTLS12}
	options := []mail.Option{
		mail.WithPort(port), mail.WithTimeout(m.Timeout), mail.WithTLSConfig(secure), mail.WithTLSPolicy(mail.TLSMandatory), mail.WithoutNoop(),
	}
	dial := (&net.Dialer{}).DialContext
	switch m.TLS {
	case FullTLS:
		options = append(options, mail.WithSSL())
		dial = (&tls.Dialer{Config: secure}).DialContext
	case NoTLS:
		options = append(options, mail.WithTLSPolicy(mail.NoTLS))
	}
	options = append(options, mail.WithDialContextFunc(func(dialing context.Context, network, address string) (net.Conn, error) {
		c, err := dial(dialing, network, address)
		if err == nil {
			line.conn = c
			context.AfterFunc(ctx, line.close)
		}
		return c, err
	}))
	if username != "" {
		options = append(options, mail.WithOpportunisticSMTPAuth(mechanisms...), mail.WithUsername(username), mail.WithPassword(password))
	}
	return mail.NewClient(host, options...)
}

// failure says why a mail was not taken.
func (m Mail) failure(ctx context.Context, err error, hidden secrets) error {
	said := lineOf(hidden.scrub(err.Error()), 2*mostQuoted)
	var certificate *tls.CertificateVerificationError
	var refused *mail.SendError
	var answer *textproto.Error
	var network net.Error
	p := envdb.Fail(nil, "%s: %s", m.Server, said)
	switch {
	case errors.Is(context.Cause(ctx), context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return failed(soon, envdb.Fail(envdb.ErrUnreachable, "%s did not take the mail in %s", m.Server, envdb.FormatDuration(m.Timeout)), "see whether this machine reaches "+m.Server)
	case ctx.Err() != nil:
		return failed(soon, envdb.Fail(envdb.ErrInterrupted, "%s: %w", m.Server, context.Cause(ctx)), "it is tried again if envdb goes on")
	case errors.As(err, &certificate):
		return failed(later, envdb.Fail(envdb.ErrUnreachable, "%s: its certificate is not to be trusted: %w", m.Server, certificate.Err), "see what answers at "+m.Server+"; for a certificate authority of your own, set SSL_CERT_FILE")
	case errors.As(err, &refused) && refused.ErrorCode()/100 == 5:
		return failed(never, p, "see from and to in the configuration, and what the server allows this sender")
	case errors.As(err, &answer) && answer.Code/100 == 5:
		return failed(later, p, "see username, password and tls in the configuration")
	case errors.As(err, &refused), errors.As(err, &answer), errors.As(err, &network), isCut(err):
		p.Kind = envdb.ErrUnreachable
		return failed(soon, p, "see whether this machine reaches "+m.Server+", and what the server's log says")
	}
	return failed(later, p, "see server, username and tls in the configuration")
}
