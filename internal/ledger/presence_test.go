package ledger_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/ledger"
)

// readOnly is the fault of a store to which one may not write.
func readOnly(op, key string) error {
	if op == "put" || op == "delete" {
		return envdb.Fail(envdb.ErrPreflight, "%s %s: access denied", op, key)
	}
	return nil
}

// lives returns the daemons that l sees, with their lives: "a alive, b dead".
func lives(t *testing.T, l *ledger.Ledger) string {
	t.Helper()
	all, err := l.Daemons(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, d := range all {
		texts = append(texts, d.Name+" "+d.Life)
	}
	return strings.Join(texts, ", ")
}

func wantLives(t *testing.T, l *ledger.Ledger, want string) {
	t.Helper()
	if got := lives(t, l); got != want {
		t.Errorf("after %s the daemons are %q, want %q", time.Since(midnight).Round(time.Second), got, want)
	}
}

// midnight is when a synctest begins.
var midnight = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// announce has a daemon on a machine say that it is there, on its own way to the
// store. What it returns cuts that way, as a kill -9 would end the daemon.
func announce(t *testing.T, st envdb.Store, machine, name string) (kill func()) {
	t.Helper()
	way := &cutOff{Store: st}
	p := on(machine, way).Announce(t.Context(), ledger.Daemon{Name: name})
	synctest.Wait()
	t.Cleanup(func() {
		way.off.Store(true) // what it says in the end does not matter
		_ = p.Leave(context.Background())
	})
	return func() { way.off.Store(true) }
}

// Put is cut with the rest of the way.
func (c *cutOff) Put(ctx context.Context, key string, body io.Reader, cond envdb.Condition) (envdb.Tag, error) {
	if c.off.Load() {
		return "", down("put", key)
	}
	return c.Store.Put(ctx, key, body, cond)
}

func TestDaemonSaysThatItIsThereUntilItLeaves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := &memory{}
		ctx, cancel := context.WithCancel(t.Context())
		east := ledger.New(st, "acme", ledger.Config{Host: "east", Version: "1.2.3", Machine: elsewhere("east")})
		p := east.Announce(ctx, ledger.Daemon{ID: "forged", Name: "a", Listen: "127.0.0.1:9532", Config: "0123"})
		synctest.Wait()
		all, err := on("west", st).Daemons(t.Context())
		if err != nil || len(all) != 1 {
			t.Fatalf("got %+v, %v, want one daemon", all, err)
		}
		d := all[0]
		if d.ID == "forged" || d.Name != "a" || d.Host != "east" || d.Version != "1.2.3" || d.Listen != "127.0.0.1:9532" || d.Config != "0123" ||
			d.Process.Machine != "east" || !d.Started.Equal(midnight) || d.Life != "alive" || !d.Seen.Equal(midnight) {
			t.Errorf("got %+v", d)
		}
		cancel() // a daemon that drains is still there
		for range 100 {
			time.Sleep(ledger.PresenceBeat)
			wantLives(t, on("west", st), "a alive")
		}
		later, err := on("west", st).Daemons(t.Context())
		if err != nil || later[0].ID != d.ID || later[0].Beat < d.Beat+99 || !later[0].Started.Equal(d.Started) || later[0].Uptime <= d.Uptime {
			t.Errorf("fifty minutes later: %+v, %v", later, err)
		}
		if err := p.Leave(ctx); err != nil {
			t.Errorf("leave under a context that has ended: %v", err)
		}
		time.Sleep(10 * ledger.PresenceBeat)
		wantLives(t, on("west", st), "")
		if keys := st.keys("acme/daemons/"); len(keys) != 0 {
			t.Errorf("it left %q", keys)
		}
		if err := p.Leave(t.Context()); err != nil {
			t.Errorf("leave again: %v", err)
		}
	})
}

func TestSilentDaemonIsDeadAndAfterADayForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := &memory{}
		announce(t, st, "west", "b")
		kill := announce(t, st, "east", "a")
		observer := on("north", st)
		wantLives(t, observer, "a alive, b alive")
		kill()
		time.Sleep(ledger.PresenceTTL)
		wantLives(t, observer, "a alive, b alive") // it may still come
		time.Sleep(2 * time.Second)
		wantLives(t, observer, "a dead, b alive")
		wantLives(t, on("south", st), "a dead, b alive") // for who looks once, too
		time.Sleep(24*time.Hour - ledger.PresenceTTL - 3*time.Second)
		wantLives(t, observer, "a dead, b alive")
		time.Sleep(2 * time.Second)
		wantLives(t, observer, "b alive")
		if keys := st.keys("acme/daemons/"); len(keys) != 1 {
			t.Errorf("the store has %q, want the one that lives", keys)
		}
	})
}

// A process of this machine that is gone is dead at once, and one that is not is
// alive, however long it could not reach the store.
func TestDaemonOfThisMachineIsJudgedByItsProcess(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := &memory{}
		gone := false
		machine := elsewhere("east")
		machine.Gone = func(ledger.Process) bool { return gone }
		kill := announce(t, st, "east", "a")
		here := ledger.New(st, "acme", ledger.Config{Machine: machine})
		kill()
		time.Sleep(time.Hour)
		wantLives(t, here, "a alive")
		gone = true
		wantLives(t, here, "a dead")
	})
}

func TestStoreThatIsDownForAWhileForgetsNoDaemon(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := &memory{}
		announce(t, st, "east", "a")
		st.setFault(down)
		if _, err := on("west", st).Daemons(t.Context()); !errors.Is(err, envdb.ErrUnreachable) {
			t.Errorf("while the store is down: %v, want unreachable", err)
		}
		time.Sleep(time.Hour - ledger.PresenceBeat/2) // between two beats: at one, either may come first
		st.setFault(nil)
		wantLives(t, on("west", st), "a dead") // nobody can tell
		time.Sleep(ledger.PresenceBeat)
		wantLives(t, on("west", st), "a alive")
	})
}

// Two that come at the same moment, with one name, are two.
func TestDaemonsOfOneName(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := &memory{}
		kill := announce(t, st, "east", "db")
		announce(t, st, "west", "db")
		wantLives(t, on("north", st), "db alive, db alive")
		kill()
		time.Sleep(ledger.PresenceTTL + time.Second)
		if got := lives(t, on("north", st)); got != "db alive, db dead" && got != "db dead, db alive" {
			t.Errorf("one of them died: %q", got)
		}
	})
}

// What does not parse, or is of another name than it says, is nothing of ours: it
// hides no daemon, and nobody removes it.
func TestRecordThatIsNoDaemons(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := &memory{}
		announce(t, st, "east", "a")
		foreign := map[string]string{
			"empty": "", "text": "hello", "cut": `{"id":"cut","name":`, "list": "[]", "null": "null", "other": `{"id":"another"}`,
			"typed": `{"id":7}`, "deep/er": `{"id":"er","name":"er"}`, "dots": `{"id":"../dots","name":"x"}`, "": `{"id":"","name":"nameless"}`,
		}
		for name, content := range foreign {
			put(t, st, "acme/daemons/"+name, []byte(content))
		}
		for range 3 {
			wantLives(t, on("west", st), "a alive")
			time.Sleep(25 * time.Hour)
		}
		if keys := st.keys("acme/daemons/"); len(keys) != len(foreign)+1 {
			t.Errorf("the store has %q, want what was there", keys)
		}
	})
}

// A record may say of itself what it likes; who looks judges.
func TestDaemonDoesNotJudgeItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := &memory{}
		put(t, st, "acme/daemons/x", []byte(`{"id":"x","name":"x","life":"alive","seen":"2100-01-01T00:00:00Z","process":{"machine":"away"},"beat":18446744073709551615}`))
		time.Sleep(ledger.PresenceTTL + time.Second)
		wantLives(t, on("west", st), "x dead")
	})
}

// Who may not write to the store sees the daemons all the same, those too that
// somebody else will have to forget, and a daemon that may not say that it is
// there works on.
func TestDaemonsOfAStoreThatIsReadOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := &memory{}
		kill := announce(t, st, "east", "a")
		kill()
		st.setFault(readOnly)
		p := on("west", st).Announce(t.Context(), ledger.Daemon{Name: "b"})
		time.Sleep(ledger.PresenceTTL + time.Second)
		wantLives(t, on("north", st), "a dead")
		time.Sleep(25 * time.Hour)
		wantLives(t, on("north", st), "") // forgotten, though its record is there
		if keys := st.keys("acme/daemons/"); len(keys) != 1 {
			t.Errorf("the store has %q", keys)
		}
		if err := p.Leave(t.Context()); !errors.Is(err, envdb.ErrPreflight) {
			t.Errorf("leave said %v, want that it could not", err)
		}
	})
}
