package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/envdb/envdb"
)

const (
	// httpTimeout is how long one request may take, with its answer.
	httpTimeout = 10 * time.Second
	// mostRetryAfter is how long a service may ask to be left alone.
	mostRetryAfter = time.Hour
	mostRedirects  = 3
	// mostQuoted is how much of an answer an error shows, in bytes.
	mostQuoted = 200
	mostRead   = 4 << 10
)

// Endpoint is a service that is told by POST.
type Endpoint struct {
	// URL may hold secrets anywhere but in the name of its host.
	URL     Secret
	Headers map[string]Secret
	// Timeout is how long one request may take; 0 is 10 s.
	Timeout time.Duration
	// Transport is for tests and services of one's own; nil is Go's own.
	Transport http.RoundTripper
}

// post sends a body below the endpoint's URL, once, and returns what was
// answered.
func (p Endpoint) post(ctx context.Context, body content) (answer string, err error) {
	timeout := p.Timeout
	if timeout == 0 {
		timeout = httpTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	request, hidden, err := p.request(ctx, body)
	if err != nil {
		return "", err
	}
	client := http.Client{Transport: p.Transport, CheckRedirect: followed}
	response, err := client.Do(request)
	if err != nil {
		return "", unanswered(err, request.URL, timeout, hidden)
	}
	defer response.Body.Close()
	read, err := io.ReadAll(io.LimitReader(response.Body, mostRead))
	answer = cut(hidden.scrub(strings.TrimSpace(strings.ToValidUTF8(string(read), "\uFFFD"))), mostQuoted)
	switch {
	case response.StatusCode/100 != 2:
		return "", refusal(response, answer)
	case err != nil:
		// The other side said that it took it. That its answer breaks off is not worth
		// telling somebody twice.
		return "", nil
	}
	return answer, nil
}

// content is what is posted.
type content struct {
	kind string // of the content: application/json
	data []byte
	// id tells a repetition of a message from another one.
	id string
	// below is added to the path of the URL, query to its query.
	below string
	query url.Values
}

// request makes a request, and says what in it must not be shown.
func (p Endpoint) request(ctx context.Context, body content) (*http.Request, secrets, error) {
	raw, err := reveal(p.URL, "its URL")
	if err != nil {
		return nil, nil, err
	}
	u, err := url.Parse(strings.TrimSpace(raw))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		// The error of url.Parse quotes the URL.
		return nil, nil, failed(later, envdb.Fail(envdb.ErrMisuse, "what should be the URL of a service is none"),
			"let the configuration refer to a URL such as https://hooks.example.com/envdb")
	}
	hidden := secretsOf(u)
	if body.below != "" {
		u = u.JoinPath(body.below)
	}
	if len(body.query) > 0 {
		query := u.Query()
		for key, values := range body.query {
			query[key] = values
		}
		u.RawQuery = query.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(body.data))
	if err != nil {
		return nil, nil, failed(later, envdb.Fail(envdb.ErrMisuse, "what should be the URL of a service is none"), "see what the configuration refers to")
	}
	request.Header.Set("Content-Type", body.kind)
	request.Header.Set("User-Agent", "envdb")
	if body.id != "" {
		request.Header.Set("Idempotency-Key", body.id)
	}
	for _, name := range sortedKeys(p.Headers) {
		value, err := reveal(p.Headers[name], "the header "+name)
		if err != nil {
			return nil, nil, err
		}
		value = strings.TrimSpace(value)
		if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
			return nil, nil, failed(later, envdb.Fail(envdb.ErrMisuse, "the value of the header %s has more than one line, or characters that no header may have", name), "see what the configuration refers to")
		}
		request.Header.Set(name, value)
		hidden = hidden.add(value)
	}
	return request, hidden, nil
}

// followed is asked before a redirect is followed. Another host gets neither
// the body nor the headers, which hold secrets; and what Go would follow with a
// GET tells nobody anything.
func followed(next *http.Request, via []*http.Request) error {
	first := via[0]
	if next.URL.Host == first.URL.Host && next.URL.Scheme == first.URL.Scheme && next.Method == http.MethodPost && len(via) <= mostRedirects {
		return nil
	}
	return http.ErrUseLastResponse
}

// unanswered is the error of a request to which nothing was answered.
func unanswered(err error, u *url.URL, timeout time.Duration, hidden secrets) error {
	// A *url.Error quotes the URL.
	for {
		outer, ok := errors.AsType[*url.Error](err)
		if !ok {
			break
		}
		err = outer.Err
	}
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &certificate):
		return failed(later, envdb.Fail(envdb.ErrUnreachable, "%s: its certificate is not to be trusted: %s", u.Host, hidden.scrub(certificate.Err.Error())),
			"see what answers at "+u.Host+"; for a certificate authority of your own, set SSL_CERT_FILE")
	case errors.Is(err, context.DeadlineExceeded):
		return failed(soon, envdb.Fail(envdb.ErrUnreachable, "%s did not answer in %s", u.Host, envdb.FormatDuration(timeout)), "see whether this machine reaches "+u.Host)
	case errors.Is(err, context.Canceled):
		return failed(soon, envdb.Fail(envdb.ErrInterrupted, "%s: %w", u.Host, context.Canceled), "it is tried again if envdb goes on")
	}
	return failed(soon, envdb.Fail(envdb.ErrUnreachable, "%s: %s", u.Host, hidden.scrub(err.Error())), "see whether this machine reaches "+u.Host)
}

// refusal is the error of a request to which something else than success was
// answered.
func refusal(r *http.Response, answer string) error {
	host := r.Request.URL.Host
	p := envdb.Fail(nil, "%s answered %s", host, line(r.Status))
	if answer != "" {
		p = envdb.Fail(nil, "%s answered %s: %q", host, line(r.Status), answer)
	}
	switch code := r.StatusCode; {
	case code/100 == 3:
		// The path of where it leads to may be as secret as that of the URL.
		to := "elsewhere"
		if location, err := r.Location(); err == nil {
			to = "to " + location.Scheme + "://" + location.Host
		}
		return failed(later, envdb.Fail(nil, "%s answered %s and leads %s, where envdb does not send what may be secret", host, line(r.Status), to),
			"let the configuration refer to the address that it leads to")
	case code == http.StatusTooManyRequests, code == http.StatusRequestTimeout, code == http.StatusTooEarly, code/100 == 5:
		p.Kind = envdb.ErrUnreachable
		f := failed(soon, p, "nothing, if it is over soon; envdb tries again")
		f.after = retryAfter(r.Header.Get("Retry-After"), time.Now())
		return f
	case code == http.StatusUnauthorized, code == http.StatusForbidden, code == http.StatusProxyAuthRequired:
		return failed(later, p, "see whether the token or the address is still valid")
	case code == http.StatusNotFound, code == http.StatusGone:
		return failed(later, p, "make a new address at the service and put it where the configuration refers to")
	}
	return failed(never, p, "compare what the service expects with docs/notifications.md")
}

// retryAfter reads the header of that name: seconds or a date.
func retryAfter(header string, now time.Time) time.Duration {
	var d time.Duration
	if seconds, err := strconv.ParseInt(header, 10, 32); err == nil {
		d = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(header); err == nil {
		d = at.Sub(now)
	}
	return min(max(d, 0), mostRetryAfter)
}

// isCut reports whether a connection ended in the middle.
func isCut(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
