package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/envdb/envdb"
)

// Loader is the surroundings that a configuration is loaded in. It looks at
// the path it is given, else at ENVDB_CONFIG, else for envdb.yaml in WorkDir,
// in .config/envdb of HomeDir (or XDG_CONFIG_HOME), and in SystemDir.
type Loader struct {
	// Environ holds the variables as NAME=value.
	Environ []string
	WorkDir string
	// HomeDir is empty for a user without one.
	HomeDir   string
	SystemDir string
	// Host is the name of this machine.
	Host string
}

// FileName is the name of the file in each of the usual places.
const FileName = "envdb.yaml"

// Process returns the surroundings of this process.
func Process() Loader {
	l := Loader{Environ: os.Environ(), SystemDir: "/etc/envdb"}
	// Without a working or a home directory there is nothing to find in them, and
	// a machine without a name has a daemon without one.
	l.WorkDir, _ = os.Getwd()
	l.HomeDir, _ = os.UserHomeDir()
	l.Host, _ = os.Hostname()
	return l
}

// lookup returns a variable. The last one of a name counts, as in execve.
func (l Loader) lookup(name string) (string, bool) {
	for _, pair := range slices.Backward(l.Environ) {
		if key, held, _ := strings.Cut(pair, "="); key == name {
			return held, true
		}
	}
	return "", false
}

func (l Loader) variable(name string) string {
	held, _ := l.lookup(name)
	return held
}

// find returns the path of the file to read.
func (l Loader) find(path string) (string, error) {
	if path == "" {
		path = l.variable("ENVDB_CONFIG")
	}
	if path != "" {
		return l.abs(path), nil
	}
	places := l.places()
	for _, place := range places {
		if _, err := os.Stat(place); err == nil || !errors.Is(err, fs.ErrNotExist) {
			return place, nil
		}
	}
	return "", envdb.Fail(envdb.ErrNotFound, "there is no configuration; looked for %s", strings.Join(places, ", ")).
		WithNext("envdb init writes one, or name it with --config or ENVDB_CONFIG")
}

// places are where the file may be, the nearest first.
func (l Loader) places() []string {
	var places []string
	for _, dir := range []string{l.WorkDir, l.configHome(), l.SystemDir} {
		if dir != "" {
			places = append(places, filepath.Join(dir, FileName))
		}
	}
	return places
}

func (l Loader) configHome() string {
	switch xdg := l.variable("XDG_CONFIG_HOME"); {
	case filepath.IsAbs(xdg):
		return filepath.Join(xdg, "envdb")
	case l.HomeDir != "":
		return filepath.Join(l.HomeDir, ".config", "envdb")
	}
	return ""
}

// defaultHome is where state that must survive a reboot belongs.
func (l Loader) defaultHome() string {
	switch xdg := l.variable("XDG_STATE_HOME"); {
	case filepath.IsAbs(xdg):
		return filepath.Join(xdg, "envdb")
	case l.HomeDir != "":
		return filepath.Join(l.HomeDir, ".local", "state", "envdb")
	}
	return "/var/lib/envdb"
}

func (l Loader) abs(path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(l.WorkDir, path)
}

// shown is how people see a path: short where that is unambiguous.
func (l Loader) shown(path string) string {
	if rel, err := filepath.Rel(l.WorkDir, path); err == nil && filepath.IsLocal(rel) {
		return rel
	}
	return path
}

// mostFile bounds the size of a configuration.
const mostFile = 4 << 20

func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, envdb.Fail(envdb.ErrNotFound, "there is no configuration at %s", path).
			WithNext("correct the path, or let `envdb init` write one")
	case err != nil:
		return nil, envdb.Fail(envdb.ErrMisuse, "read the configuration: %w", err).WithNext("make the file readable for the user that runs envdb")
	case !info.Mode().IsRegular() && info.Mode()&fs.ModeNamedPipe == 0:
		return nil, envdb.Fail(envdb.ErrMisuse, "the configuration %s is not a file", path).WithNext("name a file: --config FILE")
	case info.Size() > mostFile:
		return nil, envdb.Fail(envdb.ErrMisuse, "the configuration %s is larger than 4 MB", path).WithNext("name a file: --config FILE")
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, envdb.Fail(envdb.ErrMisuse, "read the configuration: %w", err).WithNext("make the file readable for the user that runs envdb")
	}
	return content, nil
}
