package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/backup/seal"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/console"
	"github.com/envdb/envdb/internal/manager"
)

func newKeyCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "key",
		Short: "Say who can read the backups",
		Long: `Backups are encrypted with one data key per repository. The data key lies in the
store, locked once for each key that may open it: one for each machine, one for
recovery, and one for each person who may read backups by themselves.

A key is an age key pair. Its public half, the recipient (age1…), can stand
anywhere. Its secret half, the identity (AGE-SECRET-KEY-1…), is in a file that
only its owner can read, named by store.encryption.identity in the
configuration. To use another one for once, such as the recovery key:

  ENVDB_STORE_ENCRYPTION_IDENTITY=file:recovery.txt envdb status

Removing a key locks nobody out who had it before and can still read the store:
the data key stays the same. Take away the access to the store too.`,
		Example: `  envdb key list
  envdb key add db-admin-2 --recipient age1zv…
  envdb key add recovery-2 --kind recovery --file recovery-2.txt
  envdb key remove laptop-of-ann --dry-run`,
	}
	c.AddCommand(newKeyAddCommand(a), newKeyRemoveCommand(a), &cobra.Command{
		Use:   "list",
		Short: "List the keys; this needs none of them",
		Args:  arguments(),
		RunE:  func(c *cobra.Command, args []string) error { return a.runKeyList(c.Context()) },
	})
	return needsOneOf(c)
}

func (a *app) runKeyList(ctx context.Context) error {
	if err := a.checkOutput(); err != nil {
		return err
	}
	c, err := config.Load(a.configPath, nil)
	if err != nil {
		return err
	}
	screen, _ := a.progress()
	defer screen.Stop()
	st, err := openStore(ctx, c, a.logger(screen))
	if err != nil {
		return err
	}
	e, err := backup.ReadEncryption(ctx, st)
	if err != nil {
		return err
	}
	return print(a, manager.ListKeys(e, c.Recipients()), renderKeys)
}

func renderKeys(w io.Writer, l *manager.KeyList) {
	if l.Mode == backup.NotEncrypted {
		fmt.Fprintln(w, "the repository is not encrypted: it has no keys")
		return
	}
	fmt.Fprintf(w, "data key %s\n", l.KeyID)
	rows := make([][]string, 0, len(l.Keys))
	for _, k := range l.Keys {
		here := ""
		if k.Here {
			here = "used here"
		}
		rows = append(rows, []string{k.Name, string(k.Kind), k.Recipient.String(), console.Time(k.Added), here})
	}
	console.Table(w, []string{"KEY", "KIND", "RECIPIENT", "ADDED", ""}, rows)
}

type keyAddOptions struct{ name, recipient, file, kind string }

// keyAddResult is a key that was added, and where its identity is.
type keyAddResult struct {
	*manager.KeyLine
	// File holds the new identity; empty if it was made elsewhere.
	File string `json:"file,omitempty"`

	inPlace bool // File is where this machine's identity belongs
}

func newKeyAddCommand(a *app) *cobra.Command {
	var opts keyAddOptions
	c := &cobra.Command{
		Use:   "add NAME",
		Short: "Let one more machine or person open the repository",
		Long: `Let one more machine or person open the repository. Either give the recipient
that they made themselves (envdb init on the new machine prints it, age-keygen
makes one), or let envdb make a new identity in a file, and bring them the file.`,
		Example: `  envdb key add db-admin-2 --recipient age1zv…
  envdb key add recovery-2 --kind recovery --file recovery-2.txt`,
		Args: arguments("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			opts.name = args[0]
			return a.runKeyAdd(c.Context(), opts)
		},
	}
	c.Flags().StringVar(&opts.recipient, "recipient", "", "their `recipient`, the public half of their key: age1…")
	c.Flags().StringVar(&opts.file, "file", "", "make a key, and write its identity into a new `file`")
	c.Flags().StringVar(&opts.kind, "kind", string(seal.Machine), "the `kind` of key: machine, recovery or person")
	return c
}

func (a *app) runKeyAdd(ctx context.Context, opts keyAddOptions) error {
	slot, err := opts.slot()
	if err != nil {
		return err
	}
	s, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	if err := s.manager.CheckNewKey(ctx, slot.Name, slot.Kind); err != nil {
		return err
	}
	result := keyAddResult{}
	if opts.file != "" {
		identity, err := writeIdentity(opts.file, "envdb's key "+slot.Name)
		if err != nil {
			return err
		}
		slot.Recipient, result.File, result.inPlace = identity.Recipient(), opts.file, a.namesIdentity(opts.file)
	}
	if result.KeyLine, err = s.manager.AddKey(ctx, slot); err != nil {
		return opts.inDoubt(err, slot.Recipient)
	}
	return print(a, result, renderKeyAdded)
}

// slot returns the key that is to be added, without a recipient if it is made
// here.
func (o keyAddOptions) slot() (slot seal.Slot, err error) {
	if (o.recipient == "") == (o.file == "") {
		return slot, envdb.Fail(envdb.ErrMisuse, "envdb key add: give either --recipient or --file").WithNext("envdb key add --help")
	}
	slot.Name = o.name
	if slot.Kind, err = seal.ParseKind(o.kind); err != nil {
		return slot, err
	}
	if o.recipient != "" {
		slot.Recipient, err = seal.ParseRecipient(o.recipient)
	}
	return slot, err
}

// inDoubt says what to do with an identity that was made and may not have been
// added.
func (o keyAddOptions) inDoubt(err error, recipient seal.Recipient) error {
	if o.file == "" {
		return err
	}
	return envdb.Fail(nil, "%w", err).WithState("%s holds a new identity, which may open nothing", o.file).
		WithNext("see envdb key list; if it is not there: envdb key add %s --kind %s --recipient %s", o.name, o.kind, recipient)
}

// namesIdentity reports whether a file is the identity of the configuration,
// whichever other one the variable names for once.
func (a *app) namesIdentity(file string) bool {
	l := config.Process()
	l.Environ = append(l.Environ, "ENVDB_STORE_ENCRYPTION_IDENTITY=")
	c, err := l.Load(a.configPath, nil)
	if err != nil {
		return false // it names none without the variable
	}
	named, err := os.Stat(c.Encryption().File)
	given, errGiven := os.Stat(file)
	return err == nil && errGiven == nil && os.SameFile(named, given)
}

func renderKeyAdded(w io.Writer, r keyAddResult) {
	fmt.Fprintf(w, "%s (%s, %s) can open the repository\n", r.Name, r.Kind, r.Recipient)
	switch {
	case r.inPlace:
		fmt.Fprintf(w, "%s is this machine's key now: store.encryption.identity names it\n", r.File)
		fmt.Fprintln(w, "Next: if it replaces a key that was lost, take that one away: envdb key list, then envdb key remove NAME")
	case r.File != "" && r.Kind == seal.Recovery:
		fmt.Fprintf(w, "Next: move %s to where it outlives this machine, and delete it here\n", r.File)
	case r.File != "":
		fmt.Fprintf(w, "Next: bring %s to where it is used, name it there as store.encryption.identity (file:%s), and delete it here\n", r.File, filepath.Base(r.File))
	}
}

func newKeyRemoveCommand(a *app) *cobra.Command {
	var req manager.RemoveKeyRequest
	c := &cobra.Command{
		Use:   "remove NAME",
		Short: "Take a key away",
		Long: `Take a key away: it opens the repository no more.

That does not lock out who had the key: the data key stays the same, and they may
have kept it. As long as they can read the store, they can read old and new
backups. Take away their access to the store as well; for a new data key make a
new repository (docs/keys.md).`,
		Example: "  envdb key remove laptop-of-ann --dry-run",
		Args:    arguments("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			req.Name = args[0]
			return look(c.Context(), a, renderKeyRemoval, func(ctx context.Context, m *manager.Manager) (*manager.KeyRemoval, error) {
				return m.RemoveKey(ctx, req)
			})
		},
	}
	c.Flags().StringVar(&req.Confirm, "confirm", "", "`NAME` again, for the key that is used here and the last one for recovery")
	c.Flags().BoolVar(&req.DryRun, "dry-run", false, "say what it would do, and do nothing")
	return c
}

func renderKeyRemoval(w io.Writer, r *manager.KeyRemoval) {
	left := make([]string, len(r.Left))
	for i, k := range r.Left {
		left[i] = fmt.Sprintf("%s (%s)", k.Name, k.Kind)
	}
	if r.DryRun {
		fmt.Fprintf(w, "remove the key %s (%s, %s) (a dry run: nothing is done)\n", r.Key.Name, r.Key.Kind, r.Key.Recipient)
	} else {
		fmt.Fprintf(w, "%s (%s, %s) opens the repository no more\n", r.Key.Name, r.Key.Kind, r.Key.Recipient)
	}
	fmt.Fprintf(w, "  left: %s\n", strings.Join(left, ", "))
	for _, warning := range r.Warnings {
		fmt.Fprintf(w, "  warning: %s\n", warning)
	}
	if r.Typed && r.DryRun {
		fmt.Fprintf(w, "  it needs the name typed again: --confirm %s\n", r.Key.Name)
	}
}
