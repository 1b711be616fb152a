package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/backup/seal"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/ledger"
	"github.com/envdb/envdb/internal/manager"
	"github.com/envdb/envdb/internal/store/s3"
)

// setup is an init under way. What it does, it does in an order that leaves
// every failure to be mended by the same command again: look at everything,
// this machine's key, the repository, and last the configuration, which is
// what the other commands need.
type setup struct {
	app    *app
	opts   initOptions
	config *config.Config
	// measured and draftOf are set when the configuration is not there yet.
	measured *config.Measured
	result   initResult
}

// draft measures the source and makes a configuration that is not written yet.
func (s *setup) draft(ctx context.Context) error {
	store, err := s.wantedStore()
	if err != nil {
		return err
	}
	if info, err := os.Stat(filepath.Dir(s.result.Config)); err != nil || !info.IsDir() {
		return envdb.Fail(envdb.ErrPreflight, "write the configuration: there is no directory %s", filepath.Dir(s.result.Config)).
			WithState("nothing was changed").WithNext("make the directory, or name another file with --config")
	}
	s.measured = &config.Measured{Project: s.opts.project, Store: store, SourceURL: s.opts.url, TargetURL: s.opts.target}
	if !s.opts.noEncryption {
		s.measured.Identity = "file:" + config.IdentityFile
	}
	if err := s.measure(ctx); err != nil {
		return err
	}
	if s.measured.Project == "" {
		s.measured.Project = projectName(s.measured.Database)
	}
	text, err := config.Render(s.opts.template, *s.measured)
	if err != nil {
		return err
	}
	if s.config, err = config.Process().Parse(s.result.Config, text); err != nil {
		return err
	}
	return s.adopt()
}

// adopt takes over what variables say of the store, so that the configuration
// leads where the repository is going to be.
func (s *setup) adopt() (err error) {
	if err := s.agree("what the variables ENVDB_STORE_… say"); err != nil {
		return err
	}
	if s.measured.Store, err = s.config.Store(); err != nil {
		return err
	}
	if e := s.config.Encryption(); e.Configured && (e.Variable != "" || e.File != s.defaultIdentity()) {
		s.measured.Identity = e.Reference()
	}
	return nil
}

// defaultIdentity is the path of the identity file that a new configuration
// names.
func (s *setup) defaultIdentity() string {
	return filepath.Join(filepath.Dir(s.config.Path), config.IdentityFile)
}

// wantedStore returns the store of the flags, a directory as an absolute path.
func (s *setup) wantedStore() (config.Store, error) {
	store := s.opts.store
	if !store.S3() && !strings.Contains(store.URL, "://") {
		path, err := filepath.Abs(store.URL)
		if err != nil {
			return store, err
		}
		store.URL = path
	}
	return store, nil
}

func (s *setup) measure(ctx context.Context) error {
	if s.opts.url == "" {
		return nil
	}
	url, err := config.Process().ResolveURL(s.opts.url)
	if err != nil {
		return err
	}
	screen, report := s.app.progress()
	facts, err := manager.Measure(ctx, url, report)
	screen.Stop()
	if err != nil {
		return err
	}
	m := s.measured
	m.Database, m.ServerVersion, m.Size, m.BackupDuration = facts.Database, facts.ServerVersion, facts.Size, facts.BackupDuration
	return nil
}

// projectName returns a name for the store's keys.
func projectName(database string) string {
	if envdb.CheckName(database) == nil {
		return database
	}
	return "main"
}

// prepare makes the repository if there is none, after it has seen that the
// store keeps its promises, and writes the configuration if there is none.
func (s *setup) prepare(ctx context.Context) error {
	screen, _ := s.app.progress()
	defer screen.Stop()
	st, err := openStore(ctx, s.config, s.app.logger(screen))
	if err != nil {
		return err
	}
	if err := probe(ctx, st); err != nil {
		return err
	}
	there, err := backup.ReadEncryption(ctx, st)
	isNew := errors.Is(err, envdb.ErrNotFound)
	if err != nil && !isNew {
		return err
	}
	opts := backup.InitOptions{}
	switch {
	case isNew:
		err = s.checkNew(ctx, st)
	default:
		err = s.checkThere(there)
	}
	if err == nil && s.config.Encryption().Configured {
		opts, err = s.keys(isNew, there)
	}
	if err != nil {
		return err
	}
	repository, err := backup.Init(ctx, st, s.config.Project, opts)
	if err != nil {
		return s.inDoubt(err)
	}
	s.result.Repository, s.result.Encryption = repository.ID(), repository.Encryption()
	return s.write()
}

// probe sees whether the store keeps its promises.
func probe(ctx context.Context, st envdb.Store) error {
	if bucket, ok := st.(*s3.Store); ok {
		can, err := bucket.Probe(ctx)
		if err := errors.Join(err, can.Err()); err != nil {
			return err
		}
	}
	return ledger.Probe(ctx, st)
}

// checkNew refuses a new repository where there should be one already, and one
// of which nobody said whether it is to be encrypted.
func (s *setup) checkNew(ctx context.Context, st envdb.Store) error {
	e := s.config.Encryption()
	if err := backup.CheckNew(ctx, st, s.config.Project, e.KeyID); err != nil {
		return err
	}
	if e.Configured || s.opts.noEncryption {
		return nil
	}
	return envdb.Fail(envdb.ErrPreflight, "%s does not say how backups are encrypted", s.result.Config).WithState("nothing was changed").
		WithNext("write `encryption: {identity: file:%s}` below store, and run envdb init again: it makes the key; or envdb init --no-encryption", config.IdentityFile)
}

// checkThere refuses a repository that is not what was asked for.
func (s *setup) checkThere(e backup.Encryption) error {
	plain := e.Mode == backup.NotEncrypted
	switch {
	case plain && s.measured != nil && !s.opts.noEncryption:
		return envdb.Fail(envdb.ErrRefused, "the store holds a repository that is not encrypted").WithState("nothing was changed").
			WithNext("use it as it is with --no-encryption, or name another --store: a repository cannot become encrypted")
	case !plain && s.opts.noEncryption:
		return envdb.Fail(envdb.ErrRefused, "the store holds an encrypted repository").WithState("nothing was changed").
			WithNext("leave --no-encryption out, or name another --store")
	}
	return nil
}

// keys returns this machine's identity, made if there is none, and for a new
// repository the recipients it begins with.
func (s *setup) keys(isNew bool, there backup.Encryption) (backup.InitOptions, error) {
	access, err := s.identity()
	if err != nil {
		return backup.InitOptions{}, err
	}
	opts := backup.InitOptions{Access: access}
	if !isNew {
		return opts, s.admitted(access, there)
	}
	recovery, err := s.recovery()
	if err != nil {
		return opts, err
	}
	opts.Recipients = []seal.Slot{
		{Name: machineName(), Kind: seal.Machine, Recipient: access.Identities[0].Recipient()},
		{Name: recoveryName, Kind: seal.Recovery, Recipient: recovery.Recipient()},
	}
	return opts, nil
}

// identity reads this machine's identity, or makes it if its file is not there.
func (s *setup) identity() (backup.Access, error) {
	e := s.config.Encryption()
	s.result.Identity = e.Reference()
	if _, err := os.Stat(e.File); e.File != "" && errors.Is(err, fs.ErrNotExist) {
		if _, err := writeIdentity(e.File, "envdb's key of the machine "+machineName()); err != nil {
			return backup.Access{}, err
		}
		s.result.IdentityWritten = true
	}
	return s.config.Access()
}

// admitted refuses to go on with a repository that this machine's identity
// does not open, and says how to get in.
func (s *setup) admitted(access backup.Access, there backup.Encryption) error {
	if there.Mode == backup.NotEncrypted {
		return nil // backup.Open says that it should be
	}
	names := make([]string, 0, len(there.Slots))
	for _, slot := range there.Slots {
		for _, identity := range access.Identities {
			if slot.Recipient == identity.Recipient() {
				return nil
			}
		}
		names = append(names, fmt.Sprintf("%s (%s)", slot.Name, slot.Kind))
	}
	mine, name := access.Identities[0].Recipient(), freeName(machineName(), there.Slots)
	return envdb.Fail(envdb.ErrRefused, "the repository is encrypted, and this machine's key (%s) does not open it", mine).
		WithState("nothing was changed in the store; its keys are %s", strings.Join(names, ", ")).
		WithNext("on a machine that has a key: envdb key add %s --recipient %s; then the same envdb init here. With an identity file of one of those keys: ENVDB_STORE_ENCRYPTION_IDENTITY=file:PATH envdb key add %s --recipient %s", name, mine, name, mine)
}

// freeName returns name, with a number if a slot is called that already:
// machines are often called alike.
func freeName(name string, slots []seal.Slot) string {
	free := name
	for n := 2; slices.ContainsFunc(slots, func(s seal.Slot) bool { return strings.EqualFold(s.Name, free) }); n++ {
		free = fmt.Sprintf("%s-%d", name, n)
	}
	return free
}

// recovery makes the recovery identity and gives it out before anything is
// locked with it: what was shown too early is of no use, what was never shown
// is lost.
func (s *setup) recovery() (seal.Identity, error) {
	if s.opts.recoveryFile != "" {
		s.result.RecoveryFile = s.opts.recoveryFile
		return writeIdentity(s.opts.recoveryFile, "envdb's recovery key of the project "+s.config.Project)
	}
	identity, err := seal.GenerateIdentity()
	if err != nil {
		return identity, err
	}
	s.result.RecoveryKey = identity.Text()
	if s.app.output == "json" {
		return identity, nil
	}
	_, err = fmt.Fprintf(s.app.stdout, `THE RECOVERY KEY, shown this once:

    # public key: %s
    %s

Keep it where it outlives this machine: a password manager, paper in a safe. If
this machine's key is lost, it alone opens the backups. Keep it secret: whoever
has it, and can read the store, can read production's data.

`, identity.Recipient(), identity.Text())
	if err != nil {
		return identity, fmt.Errorf("show the recovery key: %w", err)
	}
	return identity, nil
}

// inDoubt says of an init that failed after a recovery key was given out, that
// the key may open nothing.
func (s *setup) inDoubt(err error) error {
	if s.result.RecoveryKey == "" && s.result.RecoveryFile == "" {
		return err
	}
	_, next := envdb.Advice(err)
	if next == "" {
		next = "the same envdb init again"
	}
	return envdb.Fail(nil, "%w", err).
		WithState("the recovery key that was given out counts only if `envdb key list` shows it; an init that makes a repository gives out another").
		WithNext("%s", next)
}

// write writes the configuration with what is known now. The file is only for
// its owner.
func (s *setup) write() error {
	e := s.config.Encryption()
	s.result.pinned = e.KeyID != ""
	if s.measured == nil {
		return nil
	}
	s.result.Measured, s.result.pinned = s.measured, true
	s.measured.KeyID = s.result.Encryption.KeyID
	text, err := config.Render(s.opts.template, *s.measured)
	if err != nil {
		return err
	}
	if err := writeNew(s.result.Config, string(text)); err != nil {
		return envdb.Fail(envdb.ErrPreflight, "write the configuration: %w", err).
			WithState("the repository is ready, and this machine's key is in its place").WithNext("the same envdb init again, or name another file with --config")
	}
	s.result.Written = true
	return nil
}
