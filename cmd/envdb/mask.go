package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/console"
	"github.com/envdb/envdb/internal/manager"
)

func newMaskCommand(a *app) *cobra.Command {
	c := needsOneOf(&cobra.Command{
		Use:   "mask",
		Short: "Check the rules by which a mirror masks",
	})
	c.AddCommand(newMaskCheckCommand(a))
	return c
}

func newMaskCheckCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "check [SRC] ENV",
		Short: "Compare the rules of ENV with the database that it is mirrored from",
		Long: `Compare the rules of ENV with the database that it is mirrored from, or with that
of SRC, as it is now: for continuous integration, where SRC is a database with the
newest migrations.

A rule that matches nothing, or that is none for its column, is an error, and so is
a column without a rule if the configuration says strict: true. Nothing is read but
the catalogue; neither the secret nor the store is needed.

It ends with 0 if a mirror could mask by the rules, 9 if not; with 2 if the file of
rules is malformed, 4 if it is not there, 8 if the database does not answer. A risk
(masks that may collide in a unique column) is shown, and is no error.`,
		Example: "  envdb mask check prod-copy\n  envdb mask check ci prod-copy -o json",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 1 {
				return nil
			}
			return arguments("SRC", "ENV")(c, args)
		},
		RunE: func(c *cobra.Command, args []string) error {
			req := manager.MaskCheckRequest{Target: args[len(args)-1]}
			if len(args) == 2 {
				req.Source = args[0]
			}
			return a.runMaskCheck(c.Context(), req)
		},
	}
}

func (a *app) runMaskCheck(ctx context.Context, req manager.MaskCheckRequest) error {
	s, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	result, err := s.manager.CheckMask(ctx, req)
	s.finish()
	if result == nil {
		return err
	}
	if printed := print(a, result, renderMaskCheck); printed != nil {
		return printed
	}
	return err
}

func renderMaskCheck(w io.Writer, r *manager.MaskCheck) {
	rows := make([][]string, 0, len(r.Findings))
	for _, f := range r.Findings {
		rows = append(rows, []string{string(f.Kind), f.At, f.Text})
	}
	if len(rows) > 0 {
		console.Table(w, []string{"FINDING", "AT", "WHAT"}, rows)
	}
	strict := ""
	if r.Strict {
		strict = ", strictly"
	}
	fmt.Fprintf(w, "%s masks %s in %s of %s%s\n", r.Rules, counted(int64(r.Columns), "column"), counted(int64(r.Tables), "table"), r.Source, strict)
	if r.Uncovered > 0 && !r.Strict {
		fmt.Fprintf(w, "%s of these and other tables without a rule: copied as they are; with strict: true they would stop the mirror\n", counted(int64(r.Uncovered), "column"))
	}
}

// dataState says what was done to data before anyone could see it.
func dataState(n envdb.Neutrality, masked string) string {
	if masked == "" {
		return string(n)
	}
	return string(n) + ", masked"
}

// renderMasked shows what a mirror masked.
func renderMasked(w io.Writer, r *manager.MaskedResult) {
	if r == nil {
		return
	}
	fmt.Fprintf(w, "  masked %s", counted(int64(r.Columns), "column"))
	if r.Emptied > 0 {
		fmt.Fprintf(w, ", left %s empty", counted(int64(r.Emptied), "table"))
	}
	if r.Scanned == nil {
		fmt.Fprint(w, "; nobody looked for what was masked (scan: off)\n")
		return
	}
	fmt.Fprintf(w, "; looked for %s in %s", counted(int64(r.Scanned.Samples), "value"), counted(int64(r.Scanned.Tables), "table"))
	if r.Scanned.Parts > 0 {
		fmt.Fprintf(w, " (in a part of the %d largest; scan: full reads all)", r.Scanned.Parts)
	}
	fmt.Fprint(w, " and found none\n")
	if len(r.Scanned.Unread) > 0 {
		fmt.Fprintf(w, "  not searched, because envdb's role may not read them: %s\n", strings.Join(r.Scanned.Unread, ", "))
	}
}
