package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/envdb/envdb/backup"
)

// build says what this binary is.
type build struct {
	Version          string `json:"version"`
	Commit           string `json:"commit,omitempty"`
	Go               string `json:"go"`
	RepositoryFormat int    `json:"repository_format"`
}

func newVersionCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  arguments(),
		RunE: func(c *cobra.Command, args []string) error {
			return print(a, thisBuild(), func(w io.Writer, b build) {
				fmt.Fprintf(w, "envdb %s (%s, repository format %d)\n", b.Version, b.Go, b.RepositoryFormat)
			})
		},
	}
}

func thisBuild() build {
	b := build{Version: version, Go: runtime.Version(), RepositoryFormat: backup.FormatVersion}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				b.Commit = s.Value
			}
		}
	}
	return b
}
