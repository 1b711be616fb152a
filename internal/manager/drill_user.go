package manager

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/drill"
	"github.com/envdb/envdb/internal/postgres"
)

// userChecks runs the user's own checks: files of SQL in transactions that only
// read, a command, a hook. Each has its deadline, and none of them can do more
// than fail: an error of theirs is a finding.
func (d *rehearsal) userChecks(ctx context.Context, v *restored, conn *pgx.Conn) error {
	for _, check := range d.files {
		if err := d.timed("sql: "+filepath.Base(check.Path), func() (drill.Check, error) { return d.userSQL(ctx, v, conn, check) }); err != nil {
			return err
		}
	}
	if d.Command != "" {
		if err := d.timed("command: "+d.Command, func() (drill.Check, error) { return d.userCommand(ctx, v) }); err != nil {
			return err
		}
	}
	if !d.HTTP.IsZero() {
		return d.timed("http", func() (drill.Check, error) { return d.userHook(ctx, v) })
	}
	return nil
}

// readChecks reads the user's checks: a mistake in one shall not be found behind a
// restore of hours.
func (d *rehearsal) readChecks() (err error) {
	d.files, err = readUserChecks(d.DrillRequest.Checks)
	return err
}

// readUserChecks reads files and, of directories, those that end in .sql.
func readUserChecks(paths []string) ([]drill.UserCheck, error) {
	var files []string
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, envdb.Fail(envdb.ErrPreflight, "read the drill's checks: %w", err).WithState("nothing was changed").WithNext("correct checks: of the drill; paths are relative to the configuration")
		}
		if !info.IsDir() {
			files = append(files, path)
			continue
		}
		found, err := filepath.Glob(filepath.Join(path, "*.sql"))
		if err != nil || len(found) == 0 {
			return nil, envdb.Fail(envdb.ErrPreflight, "the directory %s holds no file that ends in .sql", path).WithState("nothing was changed").WithNext("write a check, or take the directory out of the drill")
		}
		slices.Sort(found)
		files = append(files, found...)
	}
	scripts, err := config.ReadScripts(files)
	if err != nil {
		return nil, err
	}
	checks := make([]drill.UserCheck, 0, len(scripts))
	for _, s := range scripts {
		c, err := drill.ParseUserCheck(s.Path, s.SQL)
		if err != nil {
			return nil, err
		}
		checks = append(checks, c)
	}
	return checks, nil
}

// userSQL runs a file. Its transaction only reads, and is rolled back.
func (d *rehearsal) userSQL(ctx context.Context, v *restored, conn *pgx.Conn, check drill.UserCheck) (drill.Check, error) {
	c := drill.Check{Outcome: drill.Pass, Covers: check.Expects()}
	rows, value, err := askUser(ctx, conn, userPath(v), check.SQL, d.CheckTimeout)
	explained := postgres.Explain(err, "run "+check.Path)
	switch {
	case err != nil && (errors.Is(explained, envdb.ErrUnreachable) || errors.Is(explained, envdb.ErrInterrupted) || ctx.Err() != nil):
		return c, explained
	case err != nil && postgres.SQLState(err) == codeReadOnly:
		c.Find("it writes: checks run in a transaction that only reads")
	case err != nil && postgres.SQLState(err) == codeCanceled:
		c.Find(fmt.Sprintf("it took longer than %s", envdb.FormatDuration(d.CheckTimeout)))
	case err != nil:
		c.Find(err.Error())
	default:
		if wrong := check.Judge(rows, value); wrong != "" {
			c.Find(wrong)
		}
	}
	if check.Warn && c.Outcome == drill.Fail {
		c.Outcome = drill.Warned
	}
	return c, nil
}

// codeCanceled is the server's query_canceled, of a statement_timeout too.
const codeCanceled = "57014"

// askUser runs statements and returns how many rows they give altogether, and
// the first value of the last that gives any.
func askUser(ctx context.Context, conn *pgx.Conn, path, sql string, limit time.Duration) (rows int, value *string, err error) {
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly})
	if err != nil {
		return 0, nil, err
	}
	defer func() {
		if rollback := tx.Rollback(context.WithoutCancel(ctx)); !errors.Is(rollback, pgx.ErrTxClosed) {
			err = errors.Join(err, rollback)
		}
	}()
	if _, err := tx.Exec(ctx, fmt.Sprintf("SET LOCAL search_path = %s; SET LOCAL statement_timeout = %d", path, limit.Milliseconds())); err != nil {
		return 0, nil, err
	}
	stays, err := postgres.StaysInside(ctx, conn, func() error {
		results := conn.PgConn().Exec(ctx, sql)
		for results.NextResult() {
			reader := results.ResultReader()
			first := true
			for reader.NextRow() {
				rows++
				if first && len(reader.Values()) > 0 {
					first, value = false, nil
					if raw := reader.Values()[0]; raw != nil {
						text := string(raw)
						value = &text
					}
				}
			}
			if _, err := reader.Close(); err != nil {
				return errors.Join(err, results.Close())
			}
		}
		return results.Close()
	})
	if err == nil && !stays {
		err = errors.New("it ended the transaction that it was run in")
	}
	return rows, value, err
}

// userCommand runs a command of the user's with the way to the restored version
// in its environment, for psql and the like as well, and to no other database.
// What it starts is ended with it.
func (d *rehearsal) userCommand(ctx context.Context, v *restored) (drill.Check, error) {
	c := drill.Check{Outcome: drill.Pass, Covers: "exit code 0"}
	env, err := postgres.ToolEnv(v.dark.URL)
	if err != nil {
		return c, err
	}
	limited, cancel := context.WithTimeout(ctx, d.CheckTimeout)
	defer cancel()
	cmd := exec.CommandContext(limited, "/bin/sh", "-c", d.Command)
	cmd.Dir = d.Dir
	cmd.Env = append(slices.DeleteFunc(env, leadsToADatabase), "DATABASE_URL="+v.dark.URL.Reveal(), "ENVDB_DRILL_ENVIRONMENT="+d.From, "ENVDB_DRILL_BACKUP="+string(d.backup.ID()))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	var out tailWriter
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	switch {
	case ctx.Err() != nil:
		return c, ctx.Err()
	case limited.Err() != nil:
		c.Find(fmt.Sprintf("it took longer than %s", envdb.FormatDuration(d.CheckTimeout)))
	case err != nil:
		c.Find(fmt.Sprintf("%v: %s", err, strings.ReplaceAll(out.String(), v.dark.URL.Reveal(), v.dark.URL.String())))
	}
	return c, nil
}

// leadsToADatabase reports whether a variable holds a connection string: a check
// is of the restored version, and is not shown the way to production.
func leadsToADatabase(variable string) bool {
	_, value, _ := strings.Cut(variable, "=")
	return strings.HasPrefix(value, "postgres://") || strings.HasPrefix(value, "postgresql://")
}

// tailWriter keeps the last of what is written to it.
type tailWriter struct{ bytes.Buffer }

const tailKept = 2 << 10

// Write implements io.Writer.
func (w *tailWriter) Write(p []byte) (int, error) {
	n := len(p)
	w.Buffer.Write(p)
	if over := w.Len() - tailKept; over > 0 {
		w.Next(over)
	}
	return n, nil
}

// userHook tells a service of the user's where the restored version is, without
// a password, and takes its answer for the result.
func (d *rehearsal) userHook(ctx context.Context, v *restored) (drill.Check, error) {
	url, err := d.HTTP.Reveal()
	if err != nil {
		return drill.Check{}, err
	}
	c := drill.Check{Outcome: drill.Pass, Covers: "a status of 2xx"}
	body, err := json.Marshal(map[string]any{
		"environment": d.From, "backup": d.backup.ID(), "point": d.backup.Manifest.Point, "database_url": v.dark.URL.String(), "run": d.x.id(),
	})
	if err != nil {
		return c, err
	}
	limited, cancel := context.WithTimeout(ctx, d.CheckTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(limited, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return c, envdb.Fail(envdb.ErrMisuse, "http of the drill is no URL").WithNext("write https://…")
	}
	request.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	switch {
	case ctx.Err() != nil:
		return c, ctx.Err()
	case limited.Err() != nil:
		c.Find(fmt.Sprintf("it took longer than %s", envdb.FormatDuration(d.CheckTimeout)))
		return c, nil
	case err != nil:
		c.Find("it does not answer: " + errors.Unwrap(err).Error())
		return c, nil
	}
	defer answer.Body.Close()
	if answer.StatusCode/100 != 2 {
		text, _ := io.ReadAll(io.LimitReader(answer.Body, tailKept))
		c.Find(fmt.Sprintf("status %s: %s", answer.Status, text))
	}
	return c, nil
}

// measureFreshness asks the restored data for its newest moment.
func (d *rehearsal) measureFreshness(ctx context.Context, v *restored, conn *pgx.Conn) error {
	if d.Freshness == "" {
		return nil
	}
	return d.timed("freshness", func() (drill.Check, error) {
		c := drill.Check{Outcome: drill.Pass}
		_, value, err := askUser(ctx, conn, userPath(v), "SELECT (pg_catalog.date_part('epoch', newest) * 1000000)::bigint FROM ("+d.Freshness+") AS f(newest)", d.CheckTimeout)
		switch {
		case err != nil && errors.Is(postgres.Explain(err, ""), envdb.ErrUnreachable):
			return c, postgres.Explain(err, "run the freshness query")
		case err != nil:
			c.Find("the query failed: " + err.Error())
			return c, nil
		case value == nil:
			c.Skip("the query found no row")
			return c, nil
		}
		var micros int64
		if _, err := fmt.Sscan(*value, &micros); err != nil {
			c.Find("the query returned no moment")
			return c, nil
		}
		newest := time.UnixMicro(micros).UTC()
		moment := d.asked
		if at, dated := d.choice.Point.Moment(); dated {
			moment = at
		}
		fresh := max(0, moment.Sub(newest))
		d.report.Measured.Freshness = &fresh
		c.Covers = "the newest row is of " + newest.Format("2006-01-02 15:04:05 UTC")
		return c, nil
	})
}
