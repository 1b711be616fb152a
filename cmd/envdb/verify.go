package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/console"
	"github.com/envdb/envdb/internal/manager"
)

func newVerifyCommand(a *app) *cobra.Command {
	var readData bool
	c := &cobra.Command{
		Use:   "verify ENV[@POINT]",
		Short: "Check that backups are whole",
		Long: `Check that the backups of an environment, or the one at POINT, are whole:
manifests and indexes are read, and every pack must exist with its size.

--read-data also reads and hashes every byte. A pack that fails twice is marked
bad: no later backup refers to it, so the next backup heals.`,
		Example: "  envdb verify prod\n  envdb verify prod@latest --read-data",
		Args:    arguments("ENV[@POINT]"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.runVerify(c.Context(), args[0], readData)
		},
	}
	c.Flags().BoolVar(&readData, "read-data", false, "read and hash every byte")
	return c
}

func (a *app) runVerify(ctx context.Context, text string, readData bool) error {
	ref, err := envdb.ParseRef(text, time.Now(), time.Local)
	if err != nil {
		return err
	}
	s, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	req := manager.VerifyRequest{Environment: ref.Environment, ReadData: readData}
	if ref.Pointed {
		req.Point = &ref.Point
	}
	result, err := s.manager.Verify(ctx, req)
	s.finish()
	if result == nil {
		return err
	}
	if printed := print(a, result, renderVerify); printed != nil {
		return printed
	}
	return err
}

func renderVerify(w io.Writer, r *manager.VerifyResult) {
	rows := make([][]string, 0, len(r.Backups))
	for _, b := range r.Backups {
		state := "whole"
		if len(b.Problems) > 0 {
			state = "DAMAGED"
		}
		rows = append(rows, []string{string(b.ID), state, strings.Join(b.Problems, "; ")})
	}
	console.Table(w, []string{"BACKUP", "STATE", "DETAIL"}, rows)
	how := "manifests, indexes, existence and sizes"
	if r.ReadData {
		how = fmt.Sprintf("every byte: %s in %s", console.Bytes(r.Bytes), counted(r.Chunks, "chunk"))
	}
	fmt.Fprintf(w, "checked %s, of %s, in %s\n", how, counted(int64(r.Packs), "pack"), console.Duration(r.Elapsed))
}
