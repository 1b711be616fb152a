package s3test

import (
	"bytes"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// Proxy stands in front of a server, counts the calls that it gets, and makes
// those fail that a rule says. Clients sign for it as for the server itself.
type Proxy struct {
	server *Server
	front  *httptest.Server
	direct *http.Transport
	end    chan struct{}

	mu     sync.Mutex
	rule   func(Call) Fault
	skew   time.Duration
	total  int
	counts map[string]int
	calls  []Call
	seen   map[Call]int // by Operation, Bucket and Key
}

// Call is one request, as the proxy sees it.
type Call struct {
	// N counts the calls of the proxy from 1, in the order in which they come.
	N int
	// Operation is S3's name: PutObject, UploadPart, ListObjectsV2, …
	Operation string
	Bucket    string
	// Key is of the object, or the prefix of a listing.
	Key string
	// Attempt counts the calls of this operation with this key from 1.
	Attempt int
	// Absent says that the call is to write only what is not there yet.
	Absent bool
}

// NewProxy starts a proxy that lets everything pass. It ends with the test.
func NewProxy(t testing.TB, s *Server) *Proxy {
	t.Helper()
	p := &Proxy{server: s, direct: &http.Transport{MaxIdleConnsPerHost: 32, DisableCompression: true}, end: make(chan struct{}), counts: map[string]int{}, seen: map[Call]int{}}
	p.front = httptest.NewServer(p)
	t.Cleanup(func() {
		close(p.end)
		p.front.CloseClientConnections() // a stalled call ends now
		p.front.Close()
		p.direct.CloseIdleConnections()
	})
	return p
}

// URL returns the endpoint to give to a store.
func (p *Proxy) URL() string { return p.front.URL }

// Endpoint returns the endpoint to give to a store.
func (p *Proxy) Endpoint() string { return p.URL() }

// Rule sets what decides on the fault of each call; nil lets everything pass.
// It is called by one goroutine at a time.
func (p *Proxy) Rule(rule func(Call) Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rule = rule
}

// FailNth makes the nth call from now on fail, and only that.
func (p *Proxy) FailNth(n int, f Fault) {
	first := p.Count()
	p.Rule(func(c Call) Fault {
		if c.N == first+n {
			return f
		}
		return Pass
	})
}

// FailFirst makes the first times calls of an operation from now on fail;
// times of 0 is all of them.
func (p *Proxy) FailFirst(operation string, times int, f Fault) {
	seen := 0
	p.Rule(func(c Call) Fault {
		if c.Operation != operation {
			return Pass
		}
		if seen++; times > 0 && seen > times {
			return Pass
		}
		return f
	})
}

// FailAll makes every call fail.
func (p *Proxy) FailAll(f Fault) { p.Rule(func(Call) Fault { return f }) }

// Drop resets every connection: a call that stalls fails at once, as it does
// when a network heals that forgot what was under way.
func (p *Proxy) Drop() { p.front.CloseClientConnections() }

// Skew sets the server's clock off by d: requests whose time is more than 15
// minutes from it are refused, and answers bear its time.
func (p *Proxy) Skew(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.skew = d
}

// Count returns how many calls came so far.
func (p *Proxy) Count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.total
}

// Calls returns the calls so far, in their order.
func (p *Proxy) Calls() []Call {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Call(nil), p.calls...)
}

// Counts returns how many calls of each operation came so far.
func (p *Proxy) Counts() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.counts)
}

// decide takes note of a call and asks the rule.
func (p *Proxy) decide(r *http.Request) (Fault, time.Duration) {
	c := callOf(r)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.total++
	p.counts[c.Operation]++
	p.seen[c]++
	c.N, c.Attempt, c.Absent = p.total, p.seen[c], r.Header.Get("If-None-Match") == "*"
	p.calls = append(p.calls, c)
	if p.rule == nil {
		return Pass, p.skew
	}
	return p.rule(c), p.skew
}

// ServeHTTP implements http.Handler.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	fault, skew := p.decide(r)
	shifted(w.Header(), skew)
	if fault == NotImplemented && !conditional(r) {
		fault = Pass
	}
	body, whole := fault.receive(r, p.end)
	if !whole {
		return // the client left
	}
	if answer, own := replies[fault]; own {
		answer.send(w)
		return
	}
	switch {
	case fault == Unanswered:
		cut(w)
		return
	case fault == Stall:
		<-r.Context().Done()
		return
	case tooSkewed(r, skew):
		reply{http.StatusForbidden, "RequestTimeTooSkewed"}.send(w)
		return
	}
	response, content, err := p.forward(r, body, fault, skew)
	if err != nil {
		cut(w) // the server is down
		return
	}
	shifted(response.Header, skew)
	fault.answer(w, r, response, content)
}

// forward asks the server.
func (p *Proxy) forward(r *http.Request, body []byte, fault Fault, skew time.Duration) (*http.Response, []byte, error) {
	out, err := http.NewRequestWithContext(r.Context(), r.Method, p.server.URL()+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	out.Host, out.Header = r.Host, r.Header.Clone()
	fault.before(out)
	if access := accessOf(out); fault != Pass || skew != 0 {
		if secret, known := p.server.keys.secret(access); known {
			sign(out, access, secret, time.Now())
		}
	}
	response, err := p.direct.RoundTrip(out)
	if err != nil {
		return nil, nil, err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	return response, content, err
}

// tooSkewed reports whether a server whose clock is off refuses a request.
func tooSkewed(r *http.Request, skew time.Duration) bool {
	sent, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	return skew != 0 && err == nil && time.Now().Add(skew).Sub(sent).Abs() > 15*time.Minute
}

// accessOf returns the access key that a request is signed with.
func accessOf(r *http.Request) string {
	_, credential, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	access, _, _ := strings.Cut(credential, "/")
	return access
}

// callOf tells what a request is.
func callOf(r *http.Request) Call {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	query := r.URL.Query()
	c := Call{Bucket: bucket, Key: key}
	if key == "" {
		c.Key = query.Get("prefix")
	}
	for _, o := range operations {
		if o.method == r.Method && o.bucket == (key == "") && (o.query == "" || query.Has(o.query)) {
			c.Operation = o.name
			break
		}
	}
	return c
}

// operations are told by the first that fits.
var operations = []struct {
	method string
	bucket bool // of a bucket, not an object
	query  string
	name   string
}{
	{http.MethodPut, false, "partNumber", "UploadPart"},
	{http.MethodPut, false, "", "PutObject"},
	{http.MethodPost, false, "uploads", "CreateMultipartUpload"},
	{http.MethodPost, false, "uploadId", "CompleteMultipartUpload"},
	{http.MethodDelete, false, "uploadId", "AbortMultipartUpload"},
	{http.MethodDelete, false, "", "DeleteObject"},
	{http.MethodGet, false, "", "GetObject"},
	{http.MethodHead, false, "", "HeadObject"},
	{http.MethodGet, true, "list-type", "ListObjectsV2"},
	{http.MethodGet, true, "uploads", "ListMultipartUploads"},
	{http.MethodGet, true, "location", "GetBucketLocation"},
	{http.MethodHead, true, "", "HeadBucket"},
	{http.MethodPut, true, "policy", "PutBucketPolicy"},
	{http.MethodPut, true, "", "CreateBucket"},
}
