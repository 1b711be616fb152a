package console_test

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/console"
)

// terminal opens a pseudo-terminal; see pty(7). read returns what was written
// to it up to its closing.
func terminal(t *testing.T) (tty *os.File, read func() string) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	control, err := master.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var number int
	if cerr := control.Control(func(fd uintptr) {
		if err = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); err == nil {
			number, err = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
		if err == nil {
			err = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 100})
		}
	}); err != nil || cerr != nil {
		t.Fatal(err, cerr)
	}
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	var shown strings.Builder
	var reading sync.WaitGroup
	reading.Go(func() { _, _ = io.Copy(&shown, master) }) // ends with EIO
	return tty, func() string {
		_ = tty.Close()
		reading.Wait()
		_ = master.Close()
		return shown.String()
	}
}

func TestProgressOnATerminal(t *testing.T) {
	t.Setenv("TERM", "xterm")
	tty, read := terminal(t)
	s := console.NewScreen(tty, console.Auto)
	var wg sync.WaitGroup
	deadline := time.Now().Add(700 * time.Millisecond)
	for w := range 4 {
		wg.Go(func() {
			for i := int64(0); time.Now().Before(deadline); i++ {
				s.Report(envdb.Progress{Step: fmt.Sprint("copy ", w%2), Done: min(i, 999), Total: 1000, Unit: "bytes"})
				time.Sleep(time.Millisecond) // the pace of the work, not a wait
			}
		})
	}
	fmt.Fprintln(s, "a line from the log")
	wg.Wait()
	s.Report(envdb.Progress{Step: "copy 0", Done: 1000, Total: 1000, Unit: "bytes"})
	s.Stop()
	fmt.Fprintln(s, "after the bars")
	shown := read()
	for _, want := range []string{"━", "%", "of 1000 B", "a line from the log\r\n", "copy 0: 1000 B in ", "after the bars\r\n"} {
		if !strings.Contains(shown, want) {
			t.Errorf("the terminal did not show %q:\n%q", want, shown)
		}
	}
	if last := shown[strings.LastIndex(shown, "after the bars"):]; strings.Contains(last, "━") {
		t.Errorf("a bar after the end: %q", last)
	}
}
