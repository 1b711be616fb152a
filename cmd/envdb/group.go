package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/envdb/envdb"
)

// needsOneOf makes a command that only holds others refuse to be called
// without one of them. Left to cobra, it prints its help for a misspelt word
// and succeeds, which a script would not notice.
func needsOneOf(c *cobra.Command) *cobra.Command {
	c.Args = cobra.ArbitraryArgs
	c.RunE = func(c *cobra.Command, args []string) error {
		names := make([]string, 0, len(c.Commands()))
		for _, child := range c.Commands() {
			if child.IsAvailableCommand() {
				names = append(names, child.Name())
			}
		}
		choice := strings.Join(names, " or ")
		if len(args) == 0 {
			return envdb.Fail(envdb.ErrMisuse, "%s: %s is missing", c.CommandPath(), choice).WithNext("%s --help", c.CommandPath())
		}
		return envdb.Fail(envdb.ErrMisuse, "there is no command %q of %s", args[0], c.CommandPath()).WithNext("use %s %s", c.CommandPath(), choice)
	}
	return c
}
