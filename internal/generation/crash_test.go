package generation_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/generation"
	"github.com/envdb/envdb/internal/pgtest"
	"github.com/envdb/envdb/internal/postgres"
)

// wire is a network between envdb and the server that can be cut at the next
// statement with a given text.
type wire struct {
	listener net.Listener
	server   string
	cutAt    atomic.Value // string; empty for never
	deliver  atomic.Bool  // whether the server still gets the statement
	answered atomic.Bool  // whether the cut waits until the server has done it
	threads  sync.WaitGroup
}

// lay leads the world's url through a wire.
func (w *world) lay(t *testing.T) *wire {
	t.Helper()
	u, err := url.Parse(w.env.URL.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	line := &wire{listener: listener, server: u.Host}
	line.cutAt.Store("")
	line.threads.Go(line.serve)
	t.Cleanup(func() { listener.Close(); line.threads.Wait() })
	u.Host = "127.0.0.1:" + strconv.Itoa(listener.Addr().(*net.TCPAddr).Port)
	w.env.URL = envdb.ConnString(u.String())
	return line
}

func (l *wire) serve() {
	for {
		client, err := l.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", l.server)
		if err != nil {
			client.Close()
			continue
		}
		mute := new(atomic.Bool)
		l.threads.Go(func() { answer(client, server, mute) })
		l.threads.Go(func() { l.forward(client, server, mute) })
	}
}

// answer carries what the server says; once muted, its next word cuts the wire.
// When nobody listens any more it goes on to listen, for a connection that is
// closed with an answer unread takes back what the server has not read yet.
func answer(client, server net.Conn, mute *atomic.Bool) {
	defer server.Close()
	defer client.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := server.Read(buf)
		if err != nil || mute.Load() {
			return
		}
		if _, err := client.Write(buf[:n]); err != nil {
			io.Copy(io.Discard, server)
			return
		}
	}
}

// forward carries what the client says, until it says what the wire is cut at.
func (l *wire) forward(client, server net.Conn, mute *atomic.Bool) {
	defer server.(*net.TCPConn).CloseWrite() // the server ends the session, and answer the connection
	defer client.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := client.Read(buf)
		if err != nil {
			return
		}
		at := l.cutAt.Load().(string)
		if at == "" || !bytes.Contains(bytes.ToLower(buf[:n]), []byte(at)) {
			if _, err := server.Write(buf[:n]); err != nil {
				return
			}
			continue
		}
		l.cutAt.Store("")
		if l.answered.Load() {
			mute.Store(true)
			server.Write(buf[:n])
			continue
		}
		client.Close()
		if l.deliver.Load() {
			server.Write(buf[:n])
		}
		return
	}
}

// TestCutWireSaysWhatHappened cuts the connection at every statement of the
// promote's transaction, before and after the server got it. The live version
// is the old or the new one, the answer says which, and a re-run works.
func TestCutWireSaysWhatHappened(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	for _, at := range []string{"begin\x00", "set local statement_timeout", "owner to", "comment on database", "rename to", "commit\x00"} {
		for _, deliver := range []bool{false, true} {
			t.Run(strings.TrimRight(at, "\x00")+" delivered "+strconv.FormatBool(deliver), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, s, "")
				line := w.lay(t)
				g := w.locked(t, "cut-"+strconv.FormatInt(serial.Add(1), 10))
				w.release(t, g, "a")
				w.build(t, g, "b")
				line.deliver.Store(deliver)
				line.cutAt.Store(at)
				_, err := g.Promote(t.Context(), w.target(t), "b", generation.PromoteOptions{})
				serves := w.serves(t)
				switch {
				case err == nil && serves != "b", err != nil && serves != "a":
					t.Fatalf("%q serves, and the promote says %s", serves, problem(err))
				case err != nil:
					wants(t, err, envdb.ErrUnreachable, "is live as before")
				}
				if committed := strings.HasPrefix(at, "commit") && deliver; committed != (err == nil) {
					t.Errorf("cut at %s: %s", at, problem(err))
				}
				next := w.open(t, "next")
				eventually(t, "the lock", func() bool { return next.Lock(t.Context()) == nil })
				w.release(t, next, "c")
				if got := w.serves(t); got != "c" {
					t.Errorf("after a re-run %q serves", got)
				}
			})
		}
	}
}

// TestCutWireSaysWhetherItWasDropped cuts the connection at the drop: before
// the server got it, while it drops, and when it has. A discard succeeds
// exactly if the version is gone, and otherwise says that it is there.
func TestCutWireSaysWhetherItWasDropped(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	for _, when := range []string{"before", "during", "after"} {
		t.Run(when, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, s, "")
			line := w.lay(t)
			g := w.locked(t, "cut-"+strconv.FormatInt(serial.Add(1), 10))
			d := w.build(t, g, "a")
			line.deliver.Store(when == "during")
			line.answered.Store(when == "after")
			line.cutAt.Store("drop database")
			err := g.Discard(t.Context(), w.target(t), envdb.OpDiscard, "a", nil)
			if at := line.cutAt.Load(); at != "" {
				t.Fatalf("the wire was not cut at %q: %s", at, problem(err))
			}
			there := s.QueryText(t, "postgres", "SELECT count(*) FROM pg_database WHERE datname = "+postgres.Literal(d.Name)) == "1"
			if there != (err != nil) || when == "before" && !there || when == "after" && there {
				t.Errorf("the version is there: %t, and the discard says %s", there, problem(err))
			}
			if !there {
				return
			}
			wants(t, err, envdb.ErrUnreachable, "there", "run this again")
			if when == "before" {
				wants(t, err, envdb.ErrUnreachable, d.Name+" is there as before")
			}
			next := w.open(t, "next")
			eventually(t, "the lock", func() bool { return next.Lock(t.Context()) == nil })
			if err := next.Discard(t.Context(), w.target(t), envdb.OpDiscard, "a", nil); err != nil {
				t.Error(problem(err))
			}
		})
	}
}

// TestCutWireWhenNobodyCanBeAsked cuts the connection at the drop, and lets no
// other one in.
func TestCutWireWhenNobodyCanBeAsked(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pgtest.Start(t), "")
	line := w.lay(t)
	g := w.locked(t, "cut-off")
	w.build(t, g, "a")
	line.cutAt.Store("drop database")
	line.listener.Close()
	err := g.Discard(t.Context(), w.target(t), envdb.OpDiscard, "a", nil)
	wants(t, err, envdb.ErrUnreachable, "whether", "could not be found out", "envdb versions staging")
}

func TestCtrlCInTheMiddleOfAPromote(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	w := newWorld(t, s, "")
	g := w.locked(t, "ctrl-c")
	w.release(t, g, "a")
	w.build(t, g, "b")
	blocker := s.Connect(t, "postgres")
	for _, sql := range []string{"BEGIN", "COMMENT ON DATABASE " + postgres.Quote(w.base(t)) + " IS 'held'"} {
		if _, err := blocker.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := g.Promote(ctx, w.target(t), "b", generation.PromoteOptions{})
		done <- err
	}()
	eventually(t, "the promote to be in its transaction", func() bool {
		return s.QueryText(t, "postgres", `SELECT count(*) FROM pg_stat_activity
			WHERE application_name = 'envdb/ctrl-c' AND wait_event_type = 'Lock'`) == "1"
	})
	cancel()
	if _, err := blocker.Exec(t.Context(), "ROLLBACK"); err != nil { // now it could go on
		t.Fatal(err)
	}
	wants(t, <-done, envdb.ErrInterrupted, "is live as before")
	if got := w.serves(t); got != "a" {
		t.Errorf("%q serves", got)
	}
	if got, want := states(t, g), "live:a building:b"; got != want { // the lock is still held
		t.Errorf("got %q, want %q", got, want)
	}
	w.release(t, g, "c")
}

func TestTwoEnvironmentsWithOneDatabase(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	w := newWorld(t, s, "")
	g := w.locked(t, "r1")
	w.release(t, g, "a")
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	w.env.Name = "qa"
	other := w.open(t, "r2")
	eventually(t, "the lock", func() bool { return other.Lock(t.Context()) == nil })
	w.build(t, other, "b")
	_, err := other.Promote(t.Context(), w.target(t), "b", generation.PromoteOptions{})
	wants(t, err, envdb.ErrRefused, `a version of environment "staging"`, "COMMENT ON DATABASE")
	versions, err := other.List(t.Context())
	if err != nil || len(versions) != 2 || !strings.Contains(versions[0].Unmarked, `environment "staging"`) {
		t.Errorf("got %+v, %v", versions, err)
	}
}
