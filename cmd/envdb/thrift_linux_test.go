package main

import (
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Not parallel: what others run maps the program again.
func TestUnmapProgram(t *testing.T) {
	before := mappedKiB(t)
	unmapProgram()
	if after := mappedKiB(t); after >= before*3/4 {
		t.Errorf("of %d KiB of files %d are still mapped", before, after)
	}
}

// mappedKiB is how much of files is in this process's memory.
func mappedKiB(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^RssFile:\s+(\d+) kB$`).FindSubmatch(status)
	if found == nil {
		t.Fatalf("no RssFile in\n%s", status)
	}
	n, err := strconv.Atoi(string(found[1]))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Pages that the loader changed before it closed them stay: the file does not
// have them.
func TestCleanMappings(t *testing.T) {
	t.Parallel()
	const smaps = `55d0a0000000-55d0a1000000 r-xp 00000000 fe:00 12 /usr/bin/envdb
Size:              16384 kB
Rss:                9000 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me
55d0a1000000-55d0a2000000 r--p 01000000 fe:00 12 /usr/bin/envdb
Size:              16384 kB
Anonymous:           120 kB
VmFlags: rd mr mw me
55d0a2000000-55d0a2100000 rw-p 02000000 fe:00 12 /usr/bin/envdb
Anonymous:             0 kB
55d0a2100000-55d0a2200000 r--p 02100000 fe:00 12 /usr/bin/envdb
Anonymous:             0 kB
7f0000000000-7f0000100000 r-xp 00000000 fe:00 13 /usr/lib/libc.so.6
Anonymous:             0 kB
`
	got := cleanMappings(strings.NewReader(smaps), "/usr/bin/envdb")
	want := []mapping{{0x55d0a0000000, 0x55d0a1000000}, {0x55d0a2100000, 0x55d0a2200000}}
	if !slices.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
}
