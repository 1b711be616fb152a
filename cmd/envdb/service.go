package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	sdnotify "github.com/coreos/go-systemd/v22/daemon"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/console"
	"github.com/envdb/envdb/internal/daemon"
	"github.com/envdb/envdb/internal/ledger"
)

// service is the daemon: a loop, and the configuration that it goes by now.
type service struct {
	app     *app
	log     *slog.Logger
	metrics *daemon.Metrics
	loop    *daemon.Loop
	watch   *daemon.Watch
	telling *telling
	hangups <-chan os.Signal
	asked   atomic.Bool // to read the configuration again

	mu      sync.Mutex
	session *session
	writes  *writes // into its store
	content string  // hash of the file that was looked at last
	inForce string  // digest of the one that is in force
	refused error   // why that one cannot be used

	self     ledger.Daemon // as it began; a new configuration does not change that
	presence *ledger.Presence
}

// storeAgain is after how long a daemon asks for a store again that it did not
// get.
const storeAgain = 10 * time.Second

// newService loads the configuration. One that cannot be used is an error now;
// later it would only be one that is not taken over.
func newService(a *app) (*service, error) {
	if err := a.checkOutput(); err != nil {
		return nil, err
	}
	c, err := config.Load(a.configPath, nil)
	if err != nil {
		return nil, err
	}
	s := &service{app: a, metrics: daemon.NewMetrics(version)}
	s.self = ledger.Daemon{Name: c.Daemon.Name, Listen: c.Daemon.Listen, Started: time.Now().UTC()}
	s.log = console.NewDaemonLogger(a.stderr, string(c.Daemon.Log), a.level())
	s.content = hashOf(c.Path)
	s.watch = &daemon.Watch{Log: s.log, StaleAfter: s.staleAfter, Agreed: s.agreed}
	s.telling = &telling{log: s.log, metrics: s.metrics, watch: s.watch}
	s.watch.Tell, s.watch.Ping = s.telling.tell, s.telling.ping
	s.use(c)
	s.watch.Shared = sharedNow{s}
	s.metrics.SeeReload(nil)
	return s, nil
}

// use makes a configuration the one in force.
func (s *service) use(c *config.Config) {
	for _, w := range c.Warnings {
		s.log.Warn("configuration", "warning", w.String())
	}
	w := &writes{}
	next := wire(c, s.log, nil, storeOptions{keep: storeAgain, wrap: func(st envdb.Store) envdb.Store {
		return &meteredStore{Store: st, told: s.metrics.SeeStore, writes: w}
	}})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.session, s.writes, s.refused, s.inForce = next, w, nil, digestOf(s.content)
}

// agreed reports whether all daemons that live go by the configuration in force,
// as far as the store says.
func (s *service) agreed(ctx context.Context) bool {
	s.mu.Lock()
	mine, l := s.inForce, s.session.ledger
	s.mu.Unlock()
	all, err := l.Daemons(ctx)
	if err != nil {
		return false
	}
	self := ledger.ThisMachine().Self // which may have left a record that it could not take back
	return !slices.ContainsFunc(all, func(d ledger.Daemon) bool { return d.Life != "dead" && d.Process != self && d.Config != mine })
}

func (s *service) now() *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.session
}

// reload returns the work of a configuration that changed. One with a mistake
// is not used: the old one stays in force, and the daemon says so.
func (s *service) reload(ctx context.Context) *daemon.Work {
	asked := s.asked.Swap(false)
	path := s.now().config.Path
	content := hashOf(path)
	if !asked && content == s.content {
		return nil
	}
	s.content = content
	_, _ = sdnotify.SdNotify(false, reloading())
	defer func() { _, _ = sdnotify.SdNotify(false, sdnotify.SdNotifyReady) }()
	c, err := config.Load(s.app.configPath, nil)
	s.metrics.SeeReload(err)
	if err != nil {
		s.mu.Lock()
		s.refused = err
		s.mu.Unlock()
		_, next := envdb.Advice(err)
		s.log.Error("the configuration has changed and cannot be used; the old one stays in force", "reason", err, "next", next)
		return nil
	}
	s.leave(ctx)
	s.use(c)
	s.announce(ctx)
	s.telling.use(context.WithoutCancel(ctx), c)
	s.log.Info("the configuration was read again", "path", path, "environments", len(c.Names()))
	work := s.work(c)
	return &work
}

// hashOf returns a hash of a file's content; a file that cannot be read has one
// of its own.
func hashOf(path string) string {
	content, err := os.ReadFile(path)
	if err != nil {
		return "unreadable: " + err.Error()
	}
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// ready returns why the daemon cannot work.
func (s *service) ready(ctx context.Context) error {
	s.mu.Lock()
	refused, w := s.refused, s.writes
	s.mu.Unlock()
	if refused != nil {
		return errors.Join(errors.New("the configuration on disk cannot be used; an older one is in force"), refused)
	}
	if err := s.now().manager.Reachable(ctx); err != nil {
		return err
	}
	if err := w.taken(); err != nil {
		return fmt.Errorf("the store answers, and does not take what is written: %w", err)
	}
	return nil
}

// reloading is how systemd is told that the configuration is read again. It
// wants to know since when, so as not to take what was said before it asked for
// the answer; see sd_notify(3).
func reloading() string {
	return fmt.Sprintf("%s\nMONOTONIC_USEC=%d", sdnotify.SdNotifyReloading, ledger.ThisMachine().Uptime().Microseconds())
}

// announce tells the others that this daemon is there, and by which
// configuration, until it leaves. It is said in the store of that configuration.
func (s *service) announce(ctx context.Context) {
	self := s.self
	self.Config = s.inForce
	s.presence = s.now().ledger.Announce(ctx, self)
}

// leave takes back what announce said.
func (s *service) leave(ctx context.Context) {
	if err := s.presence.Leave(ctx); err != nil {
		s.log.Debug("the store was not told that the daemon left", "reason", err)
	}
}

// digestOf shortens a hash to what people can compare.
func digestOf(hash string) string { return hash[:min(len(hash), 12)] }

// observer returns who hears what the loop does.
func (s *service) observer() daemon.Observer {
	return &thrift{Observer: daemon.Both{A: s.metrics, B: s.watch}}
}

// staleAfter is what the configuration says of an environment.
func (s *service) staleAfter(name string) time.Duration {
	for _, env := range s.now().config.Environments() {
		if env.Name == name {
			return env.StaleAfter
		}
	}
	return 0
}

// sharedNow is what daemons know in common, in the store of the configuration in
// force.
type sharedNow struct{ s *service }

// Shared implements daemon.Shared.
func (n sharedNow) Shared(ctx context.Context, name string) ([]byte, envdb.Condition, error) {
	return n.s.now().ledger.Shared(ctx, name)
}

// SetShared implements daemon.Shared.
func (n sharedNow) SetShared(ctx context.Context, name string, text []byte, cond envdb.Condition) error {
	return n.s.now().ledger.SetShared(ctx, name, text, cond)
}
