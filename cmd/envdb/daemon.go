package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/envdb/envdb"
)

type daemonOptions struct {
	once, health bool
	drain        time.Duration
}

func newDaemonCommand(a *app) *cobra.Command {
	var opts daemonOptions
	c := &cobra.Command{
		Use:   "daemon",
		Short: "Do what is due, until it is stopped",
		Long: `Do what is due, until it is stopped: back up on the ladder, let old restore
points go, run mirrors, seeds, resets and verifications by the calendar, and
tell people when something is wrong.

It keeps nothing that it could lose. Several daemons on several machines share
the work through the store.

  SIGTERM, Ctrl-C   begin nothing more, and end when what runs has ended; once
                    more: stop what runs, which tidies up; a third time: at once
  SIGHUP            read the configuration again. A changed file is seen anyway;
                    one with a mistake is not used, and the daemon says so

--once looks once, does what is due and ends: for who has a cron and wants no
daemon. --health asks the daemon of this configuration whether it lives.`,
		Args: arguments(),
		RunE: func(c *cobra.Command, args []string) error { return a.runDaemon(c.Context(), opts) },
	}
	c.Flags().BoolVar(&opts.once, "once", false, "do what is due now, and end")
	c.Flags().BoolVar(&opts.health, "health", false, "ask the running daemon whether it lives")
	c.Flags().DurationVar(&opts.drain, "drain", 5*time.Minute, "after the first signal, wait so long for what runs before it is stopped, too")
	return c
}

// stages turns signals into two contexts: the first ends when nothing more is to
// begin, the second when what runs is to end. ctx is ended by the first signal
// already; see Main, where the third ends the process.
func (a *app) stages(ctx context.Context, drain time.Duration) (draining, cut context.Context, stop func()) {
	cut, end := context.WithCancel(context.WithoutCancel(ctx))
	a.second.Store((*func())(&end))
	go func() {
		select {
		case <-ctx.Done():
		case <-cut.Done():
			return
		}
		timer := time.NewTimer(drain)
		defer timer.Stop()
		select {
		case <-timer.C:
			end()
		case <-cut.Done():
		}
	}()
	return ctx, cut, end
}

// hangups returns a channel that gets SIGHUP.
func hangups() (<-chan os.Signal, func()) {
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, syscall.SIGHUP)
	return ch, func() { signal.Stop(ch) }
}

func (a *app) runDaemon(ctx context.Context, opts daemonOptions) error {
	if opts.health && opts.once {
		return envdb.Fail(envdb.ErrMisuse, "--once and --health are two things").WithNext("envdb daemon --help")
	}
	if opts.health {
		return a.askHealth(ctx)
	}
	s, err := newService(a)
	if err != nil {
		return err
	}
	ch, stop := hangups()
	defer stop()
	s.hangups = ch
	if opts.once {
		return s.once(ctx)
	}
	draining, cut, end := a.stages(ctx, opts.drain)
	defer end()
	return s.run(draining, cut)
}
