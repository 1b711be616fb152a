package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/postgres/cluster"
)

// Stop ends the clusters of a demo that was kept in dir, and removes it. It
// refuses a directory that no demo made.
func Stop(ctx context.Context, dir string, out io.Writer) error {
	if _, err := os.Stat(ConfigFile(dir)); err != nil {
		return envdb.Fail(envdb.ErrNotFound, "there is no demo in %s", dir).WithNext("name its directory with --dir")
	}
	var errs []error
	for _, name := range []string{productionDir, everyoneDir} {
		errs = append(errs, cluster.Remove(ctx, filepath.Join(dir, name)))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("stop the demo: %w", err)
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove the demo: %w", err)
	}
	fmt.Fprintf(out, "the demo in %s is gone\n", dir)
	return nil
}
