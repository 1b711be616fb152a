package mask

import (
	"bytes"
	"encoding/binary"
	"math"
	"strconv"
	"time"
)

// shift returns by how many days a moment moves: at least one, at most days,
// to either side.
func (k *Key) shift(value int64, days int) int64 {
	var room [24]byte
	n := int64(k.sum(strconv.AppendInt(room[:0], value, 10)).number() % uint64(2*days))
	if n -= int64(days); n >= 0 {
		n++
	}
	return n
}

// day is one in the microseconds of a timestamp.
const day = int64(24 * time.Hour / time.Microsecond)

// shiftField moves dates, or timestamps, by whole days.
func (k *Key) shiftField(days int, isDate, inBinary bool) field {
	if !inBinary {
		return k.shiftText(days, isDate)
	}
	return func(dst, in []byte) ([]byte, bool, error) {
		switch {
		case isDate && len(in) == 4:
			v := int32(binary.BigEndian.Uint32(in))
			if v != math.MaxInt32 && v != math.MinInt32 { // infinity
				v += int32(k.shift(int64(v), days))
			}
			return binary.BigEndian.AppendUint32(dst, uint32(v)), false, nil
		case !isDate && len(in) == 8:
			v := int64(binary.BigEndian.Uint64(in))
			if v != math.MaxInt64 && v != math.MinInt64 {
				v += k.shift(v, days) * day
			}
			return binary.BigEndian.AppendUint64(dst, uint64(v)), false, nil
		}
		return dst, false, malformed("date")
	}
}

// epoch is where PostgreSQL's dates begin.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// shiftText is for dates in COPY's text, as sessions pinned to ISO and UTC
// write them. It moves each as its binary form would be moved.
func (k *Key) shiftText(days int, isDate bool) field {
	layout := "2006-01-02 15:04:05.999999"
	if isDate {
		layout = time.DateOnly
	}
	return func(dst, in []byte) ([]byte, bool, error) {
		if bytes.HasSuffix(in, []byte("infinity")) {
			return append(dst, in...), false, nil
		}
		shown, zoned := bytes.CutSuffix(in, []byte("+00"))
		at, err := time.Parse(layout, string(shown))
		if err != nil {
			return dst, false, malformed("date after the year 1")
		}
		value := at.Sub(epoch).Microseconds()
		if far := at.Year() - epoch.Year(); far > 250 || far < -250 {
			value = (at.Unix()-epoch.Unix())*1_000_000 + int64(at.Nanosecond())/1000
		}
		if isDate {
			value /= day
		}
		dst = at.AddDate(0, 0, int(k.shift(value, days))).AppendFormat(dst, layout)
		if zoned {
			dst = append(dst, "+00"...)
		}
		return dst, false, nil
	}
}
