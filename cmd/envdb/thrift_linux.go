package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
)

// unmapProgram lets go of the pages of the program's own code and constants that
// are in memory. The kernel maps sixteen of them for each that is used, so that a
// start and one backup leave most of the program mapped; what waiting needs comes
// back from the page cache, without a read.
func unmapProgram() {
	self, err := os.Executable()
	if err != nil {
		return
	}
	maps, err := os.Open("/proc/self/smaps")
	if err != nil {
		return
	}
	defer maps.Close()
	for _, m := range cleanMappings(maps, self) {
		// What fails stays mapped.
		_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, m.from, m.to-m.from, syscall.MADV_DONTNEED)
	}
}

// mapping is a stretch of memory that shows a file.
type mapping struct{ from, to uintptr }

// cleanMappings reads smaps(5) and returns the mappings of a file that nobody may
// write and that are as the file is. That a mapping cannot be written is not
// enough: in a position-independent executable the loader wrote addresses into
// some before it closed them, and those pages exist nowhere else.
func cleanMappings(smaps io.Reader, file string) []mapping {
	var clean []mapping
	var now mapping
	ours := false
	for lines := bufio.NewScanner(smaps); lines.Scan(); {
		line := lines.Text()
		var next mapping
		var may string
		if _, err := fmt.Sscanf(line, "%x-%x %s", &next.from, &next.to, &may); err == nil {
			now, ours = next, !strings.Contains(may, "w") && strings.HasSuffix(line, " "+file)
			continue
		}
		var own int
		if _, err := fmt.Sscanf(line, "Anonymous: %d kB", &own); err == nil && ours && own == 0 {
			clean = append(clean, now)
		}
	}
	return clean
}
