package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A daemon whose address is taken says so and ends: it would be watched by what
// another one says.
func TestDaemonWhoseAddressIsTaken(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() })
	file := filepath.Join(t.TempDir(), "envdb.yaml")
	text := "project: acme\nstore: {url: store}\ndaemon: {listen: '" + taken.Addr().String() + "'}\nenvironments:\n  prod: {tier: production, url: 'postgres://prod.example.com/prod'}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, stderr, code := execute(t, "--config", file, "daemon")
	if code != 4 {
		t.Errorf("exit code %d, want 4", code)
	}
	for _, want := range []string{taken.Addr().String(), "address already in use", "Next: give daemon.listen another address, or off"} {
		if !strings.Contains(stderr, want) {
			t.Errorf("stderr says nothing of %q:\n%s", want, stderr)
		}
	}
}
