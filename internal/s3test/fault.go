package s3test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// Fault is what the proxy does to a call.
type Fault int

// The faults. Those marked (done) are carried out by the server before they
// fail; the others never reach it.
const (
	// Pass is no fault.
	Pass Fault = iota
	// SlowDown is 503 SlowDown.
	SlowDown
	// TooMany is 429 without a body.
	TooMany
	// Broken is 500 InternalError.
	Broken
	// Refused is 403 AccessDenied.
	Refused
	// Full is 507 without a body.
	Full
	// Unanswered is a connection that is reset before there is an answer.
	Unanswered
	// Lost is an answer that does not arrive. (done)
	Lost
	// ResetBody is a connection that is reset in the middle of the answer's
	// body; an answer without a body is lost. (done)
	ResetBody
	// ShortBody is a connection that ends in good order in the middle of the
	// answer's body. (done)
	ShortBody
	// Stall takes the request and then says nothing until the client leaves.
	Stall
	// StallBody sends half of the answer's body and then nothing until the
	// client leaves. (done)
	StallBody
	// Refuse200 is status 200 with InternalError in the body, as
	// CompleteMultipartUpload has it.
	Refuse200
	// Refuse200Done is Refuse200 behind a call that the server carried out. (done)
	Refuse200Done
	// Unconditional takes the conditions off the request. (done)
	Unconditional
	// NotImplemented is 501 for a request with a condition, and Pass for others.
	NotImplemented
	// Conflict is 409 ConditionalRequestConflict.
	Conflict
	// HalfList cuts the text of the answer in half, with a length that fits. (done)
	HalfList
	// FewerKeys takes every second object out of a listing. (done)
	FewerKeys
	// EndlessList says that a listing goes on, but not how. (done)
	EndlessList
	// WholeObject takes the range off the request. (done)
	WholeObject
	// Redirect is 301 PermanentRedirect, as for a bucket of another region.
	Redirect
	// Expired is 400 ExpiredToken.
	Expired
	// Skewed is 403 RequestTimeTooSkewed, from a server whose clock is right.
	Skewed
	// StallUpload does not read the request's body.
	StallUpload
	// Trickle reads the request's body at some 2 MB a second. (done)
	Trickle
)

var faultNames = [...]string{
	"pass", "503 SlowDown", "429", "500", "403", "507", "no answer", "lost answer", "reset in the body", "short body", "stall", "stall in the body",
	"200 with error", "200 with error, done", "conditions ignored", "501", "409", "half a listing", "fewer keys", "endless listing", "range ignored", "301",
	"expired", "skewed", "stalled upload", "slow upload",
}

// String returns the fault in words.
func (f Fault) String() string { return faultNames[f] }

// Faults returns every fault that any call can meet, for a sweep: those that
// an unlucky network or a busy server produce, whatever the call.
func Faults() []Fault {
	return []Fault{SlowDown, Broken, Unanswered, Lost, ResetBody, ShortBody, Refuse200, Stall}
}

// reply is an answer that the proxy gives itself.
type reply struct {
	status int
	code   string // "" is no body
}

var replies = map[Fault]reply{
	SlowDown: {503, "SlowDown"}, TooMany: {429, ""}, Broken: {500, "InternalError"}, Refused: {403, "AccessDenied"}, Full: {507, ""},
	NotImplemented: {501, "NotImplemented"}, Conflict: {409, "ConditionalRequestConflict"}, Refuse200: {200, "InternalError"},
	Redirect: {301, "PermanentRedirect"}, Expired: {400, "ExpiredToken"}, Skewed: {403, "RequestTimeTooSkewed"},
}

func (r reply) send(w http.ResponseWriter) {
	if r.code == "" {
		w.WriteHeader(r.status)
		return
	}
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(r.status)
	fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?>`+"\n<Error><Code>%s</Code><Message>injected</Message><RequestId>injected</RequestId></Error>", r.code)
}

// receive reads the body of a request as the fault has it. Without one the
// client is gone, or the proxy ends.
func (f Fault) receive(r *http.Request, end <-chan struct{}) ([]byte, bool) {
	switch f {
	case StallUpload:
		<-end // a body that is not read hides that the client left
		return nil, false
	case Trickle:
		var body bytes.Buffer
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			if _, err := io.CopyN(&body, r.Body, 100<<10); err != nil {
				return body.Bytes(), err == io.EOF
			}
			select {
			case <-tick.C:
			case <-end:
				return nil, false
			}
		}
	}
	body, err := io.ReadAll(r.Body)
	return body, err == nil
}

// before prepares the request of a call that the server will see.
func (f Fault) before(r *http.Request) {
	switch f {
	case Unconditional:
		r.Header.Del("If-Match")
		r.Header.Del("If-None-Match")
	case WholeObject:
		r.Header.Del("Range")
	}
}

// conditional reports whether a request has a condition of a write.
func conditional(r *http.Request) bool {
	return r.Method != http.MethodGet && (r.Header.Get("If-Match") != "" || r.Header.Get("If-None-Match") != "")
}

// answer sends the server's answer on, as far as the fault lets it.
func (f Fault) answer(w http.ResponseWriter, r *http.Request, response *http.Response, content []byte) {
	switch f {
	case Lost:
		cut(w)
		return
	case Refuse200Done:
		reply{200, "InternalError"}.send(w)
		return
	case HalfList:
		content = content[:len(content)/2]
	case FewerKeys:
		content = fewerKeys(content)
	case EndlessList:
		content = regexp.MustCompile(`<IsTruncated>\w+</IsTruncated>`).ReplaceAll(content, []byte("<IsTruncated>true</IsTruncated>"))
		content = regexp.MustCompile(`<NextContinuationToken>[^<]*</NextContinuationToken>`).ReplaceAll(content, nil)
	case ResetBody, ShortBody, StallBody:
		half(f, w, r, response, content)
		return
	}
	copyHeader(w.Header(), response.Header)
	if r.Method != http.MethodHead {
		w.Header().Set("Content-Length", strconv.Itoa(len(content)))
	}
	w.WriteHeader(response.StatusCode)
	_, _ = w.Write(content) // a client that left is its own affair
}

// fewerKeys takes every second object out of a listing's text.
func fewerKeys(content []byte) []byte {
	n := 0
	return regexp.MustCompile(`(?s)<Contents>.*?</Contents>`).ReplaceAllFunc(content, func(object []byte) []byte {
		if n++; n%2 == 0 {
			return nil
		}
		return object
	})
}

// half sends half of an answer and then ends as the fault says.
func half(f Fault, w http.ResponseWriter, r *http.Request, response *http.Response, content []byte) {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err) // net/http's servers can always hijack HTTP/1.1
	}
	defer conn.Close()
	if len(content) > 0 && r.Method != http.MethodHead {
		fmt.Fprintf(buffered, "HTTP/1.1 %s\r\n", response.Status)
		header := response.Header.Clone()
		header.Set("Content-Length", strconv.Itoa(len(content)))
		_ = header.Write(buffered) // like the rest: a client that left is its own affair
		_, _ = io.WriteString(buffered, "\r\n")
		_, _ = io.Copy(buffered, bytes.NewReader(content[:len(content)/2]))
		_ = buffered.Flush()
	}
	switch f {
	case ResetBody:
		reset(conn)
	case StallBody:
		_, _ = io.Copy(io.Discard, conn) // until the client leaves
	}
}

// cut resets the connection instead of answering.
func cut(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err) // net/http's servers can always hijack HTTP/1.1
	}
	reset(conn)
}

func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // close with RST
	}
	_ = conn.Close()
}

func copyHeader(to, from http.Header) {
	for name, values := range from {
		to[name] = slices.Clone(values)
	}
}

// shifted returns the answer's Date by a clock that is off.
func shifted(header http.Header, by time.Duration) {
	if by != 0 {
		header.Set("Date", time.Now().Add(by).UTC().Format(http.TimeFormat))
	}
}
