package mask_test

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

func itoa(n int) string { return strconv.Itoa(n) }

// shown writes a value of the binary format as COPY's text does.
func shown(typeName string, b []byte) string {
	epoch := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	switch typeName {
	case "bytea":
		return fmt.Sprintf(`\\x%x`, b)
	case "uuid":
		return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
	case "integer":
		return itoa(int(int32(binary.BigEndian.Uint32(b))))
	case "bigint":
		return itoa(int(int64(binary.BigEndian.Uint64(b))))
	case "inet":
		ip, _ := netip.AddrFromSlice(b[4:])
		return ip.String()
	case "date":
		return epoch.AddDate(0, 0, int(int32(binary.BigEndian.Uint32(b)))).Format(time.DateOnly)
	case "timestamp with time zone":
		return epoch.Add(time.Duration(int64(binary.BigEndian.Uint64(b))) * time.Microsecond).Format("2006-01-02 15:04:05.999999+00")
	case "numeric(12,3)":
		return numeric(b)
	}
	return string(b)
}

// numeric writes one with three digits behind the point.
func numeric(b []byte) string {
	weight := int(int16(binary.BigEndian.Uint16(b[2:])))
	var whole, behind strings.Builder
	for i := 0; i <= weight; i++ {
		fmt.Fprintf(&whole, "%04d", group(b, i))
	}
	fmt.Fprintf(&behind, "%04d", group(b, weight+1))
	text := strings.TrimLeft(whole.String(), "0") + "." + behind.String()[:3]
	if b[4] == 0x40 {
		text = "-" + text
	}
	return text
}

func group(b []byte, i int) int {
	if at := 8 + 2*i; at < len(b) {
		return int(binary.BigEndian.Uint16(b[at:]))
	}
	return 0
}
