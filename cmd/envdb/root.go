package main

import (
	"io"
	"strings"
	"sync/atomic"

	"github.com/spf13/cobra"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/console"
)

// app is what the commands share: the streams and the global flags.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer

	configPath string
	output     string
	quiet      bool
	debug      bool

	// second is what the second signal does where it does not end the process.
	second atomic.Pointer[func()]
}

// again does what the second signal does here, and reports whether that is
// anything but to end.
func (a *app) again() bool {
	do := a.second.Load()
	if do != nil {
		(*do)()
	}
	return do != nil
}

const exitCodes = `
Exit codes:
  0 ok       3 refused (protected, unconfirmed)    6 not found      9 verification or check failed
  1 error    4 preflight (nothing was changed)     7 busy          10 doctor found problems
  2 misuse   5 interrupted                         8 unreachable`

func newRootCommand(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "envdb",
		Short: "Back up production, mirror it anywhere, and go back when it goes wrong",
		Long: `envdb manages the lifecycle of PostgreSQL environments.

It backs up production into a store, builds copies of it beside what serves
now, checks them, and swaps them in with one transaction, so that every change
can be undone with one command. Production itself is never a target.

In an emergency: envdb help back`,
		SilenceUsage:  true,
		SilenceErrors: true,
		// Without a command of that name cobra hands the word to the root.
		Args: func(c *cobra.Command, args []string) error { return unknownCommand(c, args) },
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SuggestionsMinimumDistance = 2
	flags := root.PersistentFlags()
	flags.StringVar(&a.configPath, "config", "", "configuration `file` (default: $ENVDB_CONFIG, ./envdb.yaml, ~/.config/envdb/envdb.yaml, /etc/envdb/envdb.yaml)")
	flags.StringVarP(&a.output, "output", "o", "table", "the `form` of results: table or json")
	flags.BoolVarP(&a.quiet, "quiet", "q", false, "on stderr warnings only, and no progress")
	flags.BoolVar(&a.debug, "debug", false, "log everything")
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return envdb.Fail(envdb.ErrMisuse, "%w", err).WithNext("%s --help", c.CommandPath())
	})
	root.AddGroup(
		&cobra.Group{ID: "start", Title: "Start:"},
		&cobra.Group{ID: "every day", Title: "Every day:"},
		&cobra.Group{ID: "bad day", Title: "On a bad day (see also: envdb help back):"},
		&cobra.Group{ID: "look", Title: "Look:"},
	)
	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add("start", newDemoCommand(a), newInitCommand(a), newDoctorCommand(a), newDaemonCommand(a))
	add("every day", newBackupCommand(a), newMirrorCommand(a), newSeedCommand(a), newMigrateCommand(a), newCreateCommand(a), newDestroyCommand(a), newFixturesCommand(a), newMaskCommand(a), newVerifyCommand(a), newPinCommand(a), newUnpinCommand(a), newDeleteCommand(a), newUndeleteCommand(a), newExpireCommand(a), newKeyCommand(a), newHibernateCommand(a), newWakeCommand(a))
	add("bad day", newRollbackCommand(a), newResetCommand(a), newRestoreCommand(a), newDrillCommand(a), newPromoteCommand(a), newDiscardCommand(a))
	add("look", newStatusCommand(a), newBackupsCommand(a), newLadderCommand(a), newDrillsCommand(a), newVersionsCommand(a), newRunsCommand(a), newSchedulesCommand(a), newNotifyCommand(a), newEnvCommand(a), newIdentityCommand(a))
	root.AddCommand(newVersionCommand(a), newBackTopic())
	root.SetHelpTemplate(root.HelpTemplate() + exitCodes + "\n")
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), "{{rpad .CommandPath .CommandPathPadding}} {{.Short}}", "envdb help {{.Name}}  {{.Short}}"))
	root.SetHelpFunc(a.help(root.HelpFunc()))
	root.SetHelpCommand(newHelpCommand())
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		if c.Name() == "completion" {
			needsOneOf(c)
		}
	}
	return root
}

// helpText is the help of a command or a topic for who asked for JSON.
type helpText struct {
	Command string `json:"command"`
	Help    string `json:"help"`
}

// help shows help as text shows it, or as JSON.
func (a *app) help(text func(*cobra.Command, []string)) func(*cobra.Command, []string) {
	return func(c *cobra.Command, args []string) {
		if a.output != "json" {
			text(c, args)
			return
		}
		var b strings.Builder
		c.SetOut(&b)
		text(c, args)
		c.SetOut(nil)
		if err := console.JSON(a.stdout, helpText{c.CommandPath(), b.String()}); err != nil {
			c.PrintErrln(err)
		}
	}
}

// newHelpCommand shows the help of a command or a topic, and refuses a word
// that is neither.
func newHelpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Show the help of a command, or of the topic back",
		RunE: func(c *cobra.Command, args []string) error {
			found, rest, err := c.Root().Find(args)
			if err != nil || len(rest) > 0 || found == nil {
				return unknownCommand(c.Root(), args)
			}
			found.InitDefaultHelpFlag()
			return found.Help()
		},
	}
}

// unknownCommand refuses a word that is no command, and says which are near.
func unknownCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	p := envdb.Fail(envdb.ErrMisuse, "there is no command %q", args[0])
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		return p.WithNext("did you mean `envdb %s`?", strings.Join(near, "` or `envdb "))
	}
	return p.WithNext("envdb --help")
}

// arguments returns a check that a command got exactly the named arguments.
func arguments(names ...string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) == len(names) {
			return nil
		}
		if len(args) < len(names) {
			return envdb.Fail(envdb.ErrMisuse, "%s: %s is missing", c.CommandPath(), names[len(args)]).WithNext("%s --help", c.CommandPath())
		}
		return envdb.Fail(envdb.ErrMisuse, "%s: unexpected %q", c.CommandPath(), args[len(names)]).WithNext("%s --help", c.CommandPath())
	}
}

// optional returns a check that a command got at most the named argument.
func optional(name string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		return arguments(name)(c, args)
	}
}
