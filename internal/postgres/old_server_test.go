package postgres_test

import (
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/postgres"
)

// No Debian has a server older than 15 any more, so one is played: it speaks
// the protocol, and says that it is 14.
func TestServerThatIsTooOld(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	served := make(chan error, 1)
	go func() { served <- playServer(listener, "140012") }()

	_, err = postgres.Connect(t.Context(), envdb.ConnString("postgres://u:s3cret@"+listener.Addr().String()+"/db?sslmode=disable"), postgres.Options{})
	if !errors.Is(err, envdb.ErrPreflight) || !strings.Contains(err.Error(), "PostgreSQL 14") {
		t.Errorf("got %v, want ErrPreflight that names the version", err)
	}
	if _, next := envdb.Advice(err); next == "" {
		t.Error("no next step")
	}
	if err := <-served; err != nil {
		t.Errorf("the played server: %v", err)
	}
}

// playServer lets one client in, answers its first query with the version, and
// returns when the client hangs up.
func playServer(listener net.Listener, version string) error {
	conn, err := listener.Accept()
	if err != nil {
		return err
	}
	defer conn.Close()
	backend := pgproto3.NewBackend(conn, conn)
	if _, err := backend.ReceiveStartupMessage(); err != nil {
		return err
	}
	backend.Send(&pgproto3.AuthenticationOk{})
	backend.Send(&pgproto3.BackendKeyData{ProcessID: 1, SecretKey: []byte{1, 2, 3, 4}})
	backend.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	if err := backend.Flush(); err != nil {
		return err
	}
	for {
		message, err := backend.Receive()
		if err != nil {
			return err
		}
		switch message.(type) {
		case *pgproto3.Terminate:
			return nil
		case *pgproto3.Query:
			backend.Send(&pgproto3.RowDescription{Fields: []pgproto3.FieldDescription{{Name: []byte("server_version_num"), DataTypeOID: 25, DataTypeSize: -1, TypeModifier: -1}}})
			backend.Send(&pgproto3.DataRow{Values: [][]byte{[]byte(version)}})
			backend.Send(&pgproto3.CommandComplete{CommandTag: []byte("SHOW")})
			backend.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
			if err := backend.Flush(); err != nil {
				return err
			}
		}
	}
}
