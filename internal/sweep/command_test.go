package sweep_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/ledger"
	"github.com/envdb/envdb/internal/manager"
	"github.com/envdb/envdb/internal/store/dir"
)

// command is what a person types.
type command struct {
	Operation   string
	Environment string
	Backup      envdb.BackupID `json:",omitempty"`
	Version     string         `json:",omitempty"`
}

// args is the command as the shell takes it.
func (c command) args() []string {
	switch c.Operation {
	case "mirror":
		return []string{"mirror", "prod@" + string(c.Backup), c.Environment}
	case "restore":
		return []string{"restore", c.Environment + "@" + string(c.Backup)}
	case "promote":
		return []string{"promote", c.Environment, c.Version}
	case "discard":
		return []string{"discard", c.Environment, c.Version, "--confirm", c.Version}
	case "hibernate":
		return []string{"hibernate", c.Environment, "--confirm", c.Environment}
	case "verify":
		return []string{"verify", c.Environment, "--read-data"}
	case "clean":
		return []string{"doctor", "--clean"}
	}
	return []string{c.Operation, c.Environment}
}

func (c command) String() string { return "envdb " + strings.Join(c.args(), " ") }

// run does what the command does, through the one door.
func (c command) run(ctx context.Context, m *manager.Manager, st envdb.Store) (err error) {
	switch c.Operation {
	case "backup":
		_, err = m.Backup(ctx, manager.BackupRequest{Environment: c.Environment})
	case "mirror":
		_, err = m.Mirror(ctx, manager.MirrorRequest{Source: "prod", Target: c.Environment, Point: envdb.AtBackup(c.Backup)})
	case "restore":
		_, err = m.Restore(ctx, manager.RestoreRequest{Environment: c.Environment, Point: envdb.AtBackup(c.Backup)})
	case "promote":
		_, err = m.Promote(ctx, manager.PromoteRequest{Environment: c.Environment, Version: c.Version})
	case "rollback":
		_, err = m.Rollback(ctx, manager.RollbackRequest{Environment: c.Environment})
	case "reset":
		_, err = m.Reset(ctx, manager.ResetRequest{Environment: c.Environment})
	case "seed":
		_, err = m.Seed(ctx, manager.SeedRequest{Environment: c.Environment})
	case "create":
		_, err = m.Create(ctx, manager.CreateRequest{Environment: c.Environment})
	case "hibernate":
		_, err = m.Hibernate(ctx, manager.HibernateRequest{Environment: c.Environment, Confirm: c.Environment})
	case "wake":
		_, err = m.Wake(ctx, c.Environment)
	case "discard":
		_, err = m.Discard(ctx, manager.DiscardRequest{Environment: c.Environment, Version: c.Version, Confirm: c.Version})
	case "verify":
		_, err = m.Verify(ctx, manager.VerifyRequest{Environment: c.Environment, ReadData: true})
	case "clean":
		_, err = m.Doctor(ctx, attic{st}, manager.DoctorRequest{Clean: true})
	default:
		err = fmt.Errorf("there is no %q", c.Operation)
	}
	return err
}

// attic is a store of which the doctor can ask for half-written files, as the
// one of cmd/envdb.
type attic struct{ envdb.Store }

// Unfinished implements manager.Attic.
func (a attic) Unfinished(ctx context.Context) (manager.Unfinished, error) {
	if d, ok := a.directory(); ok {
		return counted(d.Leftovers(ctx))
	}
	return manager.Unfinished{}, nil
}

// RemoveUnfinished implements manager.Attic.
func (a attic) RemoveUnfinished(ctx context.Context) (manager.Unfinished, error) {
	if d, ok := a.directory(); ok {
		return counted(d.Clean(ctx))
	}
	return manager.Unfinished{}, nil
}

func (a attic) directory() (*dir.Store, bool) {
	if faulty, ok := a.Store.(*faultyStore); ok {
		return attic{faulty.Store}.directory()
	}
	d, ok := a.Store.(*dir.Store)
	return d, ok
}

func counted(files []dir.Leftover, err error) (found manager.Unfinished, _ error) {
	for _, f := range files {
		found.Files, found.Bytes = found.Files+1, found.Bytes+f.Size
	}
	return found, err
}

// victimVariable tells this test binary to be the victim of a kill, and of
// which.
const victimVariable = "ENVDB_SWEEP_VICTIM"

// fate is a command that kills itself at a call of the store.
type fate struct {
	Command command
	Config  string
	Store   string
	Call    string // the text of the step at which it dies
	Nth     int
	Kind    kind
}

// victim is the main function of a process that is killed.
func victim() int {
	var f fate
	err := json.Unmarshal([]byte(os.Getenv(victimVariable)), &f)
	if err == nil {
		err = f.meet()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, problem(err))
		return 1
	}
	return 0
}

func (f fate) meet() error {
	c, err := config.Load(f.Config, nil)
	if err != nil {
		return err
	}
	st, err := dir.Open(f.Store)
	if err != nil {
		return err
	}
	faulty := &faultyStore{Store: st, kind: f.Kind, at: func(s step) bool { return s == step{f.Call, f.Nth} }}
	return f.Command.run(context.Background(), wire(c, faulty, ledger.ThisMachine()), faulty)
}

// killSelf ends this process as kill -9 does.
func killSelf() {
	_ = unix.Kill(os.Getpid(), unix.SIGKILL)
	select {}
}
