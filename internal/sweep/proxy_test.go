package sweep_test

import (
	"bufio"
	"io"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/pgtest"
)

// How a statement fails, beside lost and hung.
const (
	cutBefore kind = "connection cut before"
	refused   kind = "error of the server"
	allCut    kind = "every connection cut"
)

// proxy stands before the server: it counts statements, and fails one. A step
// on the server is a connection that is opened, a query, the execution of a
// prepared statement, or the end of a COPY.
type proxy struct {
	t        *testing.T
	listener net.Listener
	server   string // its address
	wg       sync.WaitGroup

	mu      sync.Mutex
	pipes   map[*pipe]struct{}
	ports   []string // of all connections to the server so far
	counter *counter
	shot    *shot
}

// shot is the fault that is to happen.
type shot struct {
	at   step
	kind kind
	// hit is called when it happens; for killAfter, when the server has
	// answered.
	hit  func()
	done bool
}

func newProxy(t *testing.T, s *pgtest.Server) *proxy {
	t.Helper()
	u, err := url.Parse(s.URL("x").Reveal())
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{t: t, server: u.Host, pipes: map[*pipe]struct{}{}, counter: &counter{}}
	if p.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	p.wg.Go(p.accept)
	t.Cleanup(func() {
		p.listener.Close()
		p.cutAll()
		p.wg.Wait()
	})
	return p
}

// url leads to a database through the proxy.
func (p *proxy) url(d *database) envdb.ConnString {
	u, err := url.Parse(d.server.URL(d.name).Reveal())
	if err != nil {
		p.t.Fatal(err)
	}
	u.Host = p.listener.Addr().String()
	q := u.Query()
	q.Set("sslmode", "disable")
	u.RawQuery = q.Encode()
	return envdb.ConnString(u.String())
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.wg.Go(func() { p.serve(client) })
	}
}

func (p *proxy) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", p.server)
	if err != nil {
		return // the client sees a connection that ends
	}
	defer server.Close()
	_, port, _ := net.SplitHostPort(server.LocalAddr().String())
	c := &pipe{proxy: p, client: client, server: server, prepared: map[string]string{}, portals: map[string]string{}}
	p.mu.Lock()
	p.pipes[c] = struct{}{}
	p.ports = append(p.ports, port)
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.pipes, c)
		p.mu.Unlock()
	}()
	c.run()
}

// arm forgets what was seen, and sets what is to happen; nil for nothing.
func (p *proxy) arm(s *shot) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counter, p.ports, p.shot = &counter{}, nil, s
}

// steps returns the statements that were seen.
func (p *proxy) steps() []step {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counter.steps()
}

// happened reports whether the shot was fired.
func (p *proxy) happened() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.shot != nil && p.shot.done
}

// open counts the connections that clients hold open.
func (p *proxy) open() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.pipes)
}

// backends is a condition on pg_stat_activity: the sessions of the connections
// since arm.
func (p *proxy) backends() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return "client_port = ANY ('{" + strings.Join(p.ports, ",") + "}')"
}

func (p *proxy) cutAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.pipes {
		c.close()
	}
}

// polls are repeated for as long as something else takes; only the first of
// each is a step.
var polls = []string{"WITH target AS MATERIALIZED", "pg_blocking_pids"}

func isPoll(text string) bool {
	return slices.ContainsFunc(polls, func(p string) bool { return strings.Contains(text, p) })
}

// step counts a statement, and returns how it fails, or nil.
func (p *proxy) step(text string) *shot {
	if strings.HasPrefix(text, "-- ping") { // the watch of the lock
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if isPoll(text) && p.counter.knows(text) {
		return nil
	}
	now := p.counter.next(text)
	if p.shot == nil || p.shot.done || p.shot.at != now {
		return nil
	}
	p.shot.done = true
	if p.shot.hit != nil && p.shot.kind != killAfter {
		p.shot.hit()
	}
	return p.shot
}

// pipe is one connection through the proxy.
type pipe struct {
	proxy          *proxy
	client, server net.Conn
	once           sync.Once

	// Of the client's side: the text of each prepared statement, and of each
	// portal.
	prepared, portals map[string]string

	mu sync.Mutex
	// swallow keeps the server's answers from the client, and ends the
	// connection when the answer is whole.
	swallow bool
	// answered is called then.
	answered func()
	// rewrite replaces the next error of the server.
	rewrite bool
}

func (c *pipe) close() {
	c.once.Do(func() {
		c.client.Close()
		c.server.Close()
	})
}

func (c *pipe) run() {
	in := bufio.NewReaderSize(c.client, 64<<10)
	if !c.begin(in) {
		return
	}
	c.proxy.wg.Go(func() {
		c.answers(bufio.NewReaderSize(c.server, 64<<10))
		c.close()
	})
	for {
		m, err := readMessage(in)
		if err != nil || !c.forward(m) {
			break
		}
	}
	c.close()
}

// begin passes the startup message on. It reports false if that was all.
func (c *pipe) begin(in *bufio.Reader) bool {
	start, err := readStartup(in)
	if err != nil {
		return false
	}
	const cancelRequest = 80877102
	if start.code() == cancelRequest {
		_, _ = c.server.Write(start)
		_, _ = c.server.Read(make([]byte, 1)) // until it has been done
		return false
	}
	what := "connect"
	if strings.Contains(string(start), "pg_dump") {
		what = "connect pg_dump"
	}
	if !c.fails(c.proxy.step(what), nil) {
		return false
	}
	_, err = c.server.Write(start)
	return err == nil
}

// forward passes a message of the client on, or has it fail. It reports false
// at the end of the connection.
func (c *pipe) forward(m message) bool {
	text, isStep := c.understand(m)
	if isStep {
		s := c.proxy.step(text)
		if s != nil && s.kind == refused {
			m = m.thatFails()
		}
		if !c.fails(s, m) {
			return false
		}
	}
	_, err := c.server.Write(m)
	return err == nil
}

// understand returns the text of a message that executes something.
func (c *pipe) understand(m message) (text string, isStep bool) {
	switch m.kind() {
	case 'Q':
		return m.text(0), true
	case 'P':
		name := m.text(0)
		c.prepared[name] = m.text(1)
	case 'B':
		c.portals[m.text(0)] = c.prepared[m.text(1)]
	case 'E':
		return c.portals[m.text(0)], true
	case 'c':
		return "end of COPY", true
	}
	return "", false
}

// fails does what the shot wants. It reports false if the connection ends.
func (c *pipe) fails(s *shot, m message) bool {
	if s == nil {
		return true
	}
	switch s.kind {
	case cutBefore:
		return false
	case allCut:
		c.proxy.cutAll()
		return false
	case hung:
		_, _ = io.Copy(io.Discard, c.client) // until the client gives up
		return false
	case killBefore:
		// hit has killed the client.
		return false
	case lost, killAfter:
		c.mu.Lock()
		c.swallow = true
		if s.kind == killAfter {
			c.answered = s.hit
		}
		c.mu.Unlock()
	case refused:
		if m == nil { // a connection
			_, _ = c.client.Write(injectedError())
			return false
		}
		c.mu.Lock()
		c.rewrite = true
		c.mu.Unlock()
	}
	return true
}

// answers passes on what the server says.
func (c *pipe) answers(in *bufio.Reader) {
	for {
		m, err := readMessage(in)
		if err != nil {
			return
		}
		c.mu.Lock()
		swallow, rewrite := c.swallow, c.rewrite
		if m.kind() == 'E' && rewrite {
			c.rewrite = false
			m = injectedError()
		}
		c.mu.Unlock()
		if swallow && !m.asksWho() {
			if m.endsAnswer() {
				c.hasAnswered()
				return
			}
			continue
		}
		if _, err := c.client.Write(m); err != nil {
			return
		}
	}
}

func (c *pipe) hasAnswered() {
	c.mu.Lock()
	f := c.answered
	c.mu.Unlock()
	if f != nil {
		f()
	}
}
