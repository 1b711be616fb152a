package manager

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/postgres"
)

// Measurement is what init learns of a source.
type Measurement struct {
	Database      string
	ServerVersion string
	Size          int64 // pg_database_size, bytes
	// BackupDuration is estimated from a sample of the largest table, read as a
	// backup reads it.
	BackupDuration time.Duration
}

// How much of the largest table is read, and for how long at most.
const (
	sampleBytes   = 128 << 20
	samplePatient = 5 * time.Second
	// overhead is what a backup takes beside reading rows: catalogues, pg_dump.
	overhead = 2 * time.Second
)

// Measure looks at a database, reading only.
func Measure(ctx context.Context, url envdb.ConnString, report envdb.Report) (*Measurement, error) {
	conn, err := postgres.Connect(ctx, url, postgres.Options{App: "envdb/init", Pin: true})
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	f := &Measurement{}
	version, err := postgres.ReadServerVersion(ctx, conn)
	if err != nil {
		return nil, err
	}
	f.ServerVersion = version.String()
	if err := conn.QueryRow(ctx, "SELECT current_database()::text, pg_database_size(current_database())").Scan(&f.Database, &f.Size); err != nil {
		return nil, postgres.Explain(err, "measure the database")
	}
	rate, err := sample(ctx, conn, report)
	if err != nil {
		return nil, err
	}
	f.BackupDuration = overhead
	if rate > 0 {
		f.BackupDuration += time.Duration(float64(f.Size) / rate * float64(time.Second)).Round(time.Second)
	}
	return f, nil
}

// sample returns how many bytes of its largest table a server gives in a
// second, or 0 if there is nothing to read.
func sample(ctx context.Context, conn *pgx.Conn, report envdb.Report) (float64, error) {
	var table string
	err := conn.QueryRow(ctx, `
		SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND has_table_privilege(c.oid, 'SELECT')
		  AND c.relpages > 0
		ORDER BY c.relpages DESC LIMIT 1`).Scan(&table)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, postgres.Explain(err, "look for the largest table")
	}
	meter := &meter{started: time.Now(), report: report}
	_, err = conn.PgConn().CopyTo(ctx, meter, "COPY (SELECT * FROM "+table+") TO STDOUT")
	if err != nil && !errors.Is(err, errSampled) {
		return 0, postgres.Explain(err, "read a sample of "+table)
	}
	elapsed := time.Since(meter.started).Seconds()
	if elapsed == 0 || meter.read == 0 {
		return 0, nil
	}
	return float64(meter.read) / elapsed, nil
}

var errSampled = errors.New("enough was read")

// meter counts what is written to it until the sample is large enough.
type meter struct {
	read    int64
	started time.Time
	report  envdb.Report
}

// Write implements io.Writer.
func (m *meter) Write(p []byte) (int, error) {
	m.read += int64(len(p))
	m.report.Send(envdb.Progress{Step: "measure", Done: m.read, Total: sampleBytes, Unit: "bytes"})
	if m.read >= sampleBytes || time.Since(m.started) > samplePatient {
		return 0, errSampled
	}
	return len(p), nil
}
