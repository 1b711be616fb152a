package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/envdb/envdb/internal/manager"
)

func newDoctorCommand(a *app) *cobra.Command {
	var req manager.DoctorRequest
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Check the configuration, the store and every server",
		Long: `Check the configuration, the store and every server, and say what to do about
what is found. It changes nothing, but for probe objects that it writes to the
store and deletes.

--clean also removes what interrupted runs left behind.`,
		Args: arguments(),
		RunE: func(c *cobra.Command, args []string) error { return a.runDoctor(c.Context(), req) },
	}
	c.Flags().BoolVar(&req.Clean, "clean", false, "remove what interrupted runs left behind")
	return c
}

func (a *app) runDoctor(ctx context.Context, req manager.DoctorRequest) error {
	s, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	found, err := s.manager.Doctor(ctx, s.store, req)
	if found == nil {
		return err
	}
	if printed := print(a, found, renderDiagnosis); printed != nil {
		return printed
	}
	return err
}

func renderDiagnosis(w io.Writer, d *manager.Diagnosis) {
	for _, f := range d.Findings {
		fmt.Fprintf(w, "%-8s %-14s %s\n", f.Level, f.About, f.Text)
		if f.Next != "" {
			fmt.Fprintf(w, "%-23s Next: %s\n", "", f.Next)
		}
	}
}
