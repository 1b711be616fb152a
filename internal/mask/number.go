package mask

import (
	"encoding/binary"
	"math"
	"strconv"
	"strings"
)

// mostDigits is how many digits are permuted at once.
const mostDigits = 18

// power returns 10 to the nth.
func power(n int) uint64 {
	p := uint64(1)
	for range n {
		p *= 10
	}
	return p
}

// digits replaces the digits of a text, and leaves everything else where it
// is. Different texts stay different.
func (k *Key) digits(dst, in []byte) []byte {
	at := len(dst)
	dst = append(dst, in...)
	out := dst[at:]
	for from := 0; from < len(out); {
		var where [mostDigits]int
		n, value := 0, uint64(0)
		for ; from < len(out) && n < mostDigits; from++ {
			if c := out[from]; c >= '0' && c <= '9' {
				where[n], value = from, value*10+uint64(c-'0')
				n++
			}
		}
		if n == 0 {
			break
		}
		value = k.permute(value, power(n))
		for i := n - 1; i >= 0; i-- {
			out[where[i]], value = byte('0'+value%10), value/10
		}
	}
	return dst
}

// integer replaces a whole number of so many bytes by one with as many digits
// and the same sign. Different numbers stay different.
func (k *Key) integer(v int64, width int) int64 {
	most := uint64(1)<<(8*width-1) - 1
	size, least := uint64(v), uint64(0)
	if v < 0 {
		size, least = uint64(-v), 1
	}
	if size > most {
		return v // the one number that has no positive counterpart
	}
	if n := len(strconv.FormatUint(size, 10)); n > 1 {
		least = power(n - 1)
		most = min(most, least*9+least-1)
	} else {
		most = 9
	}
	masked := int64(least + k.permute(size-least, most-least+1))
	if v < 0 {
		return -masked
	}
	return masked
}

func (k *Key) integerField(width int, inBinary bool) field {
	return func(dst, in []byte) ([]byte, bool, error) {
		if !inBinary {
			v, err := strconv.ParseInt(string(in), 10, 64)
			if err != nil {
				return dst, false, malformed("integer")
			}
			return strconv.AppendInt(dst, k.integer(v, width), 10), false, nil
		}
		if len(in) != width {
			return dst, false, malformed("integer")
		}
		switch width {
		case 2:
			v := int64(int16(binary.BigEndian.Uint16(in)))
			return binary.BigEndian.AppendUint16(dst, uint16(k.integer(v, width))), false, nil
		case 4:
			v := int64(int32(binary.BigEndian.Uint32(in)))
			return binary.BigEndian.AppendUint32(dst, uint32(k.integer(v, width))), false, nil
		}
		v := int64(binary.BigEndian.Uint64(in))
		return binary.BigEndian.AppendUint64(dst, uint64(k.integer(v, width))), false, nil
	}
}

// floatField replaces the digits before the exponent.
func (k *Key) floatField(width int, inBinary bool) field {
	mask := func(v float64) float64 {
		mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(v, 'e', -1, 8*width), "e")
		masked, err := strconv.ParseFloat(string(k.digits(nil, []byte(mantissa)))+"e"+exponent, 8*width)
		if err != nil {
			return 0 // infinite, or not a number
		}
		return masked
	}
	return func(dst, in []byte) ([]byte, bool, error) {
		switch {
		case !inBinary:
			v, err := strconv.ParseFloat(string(in), 64)
			if err != nil {
				return dst, false, malformed("float")
			}
			return strconv.AppendFloat(dst, mask(v), 'g', -1, 8*width), false, nil
		case len(in) != width:
			return dst, false, malformed("float")
		case width == 4:
			v := math.Float32frombits(binary.BigEndian.Uint32(in))
			return binary.BigEndian.AppendUint32(dst, math.Float32bits(float32(mask(float64(v))))), false, nil
		}
		v := math.Float64frombits(binary.BigEndian.Uint64(in))
		return binary.BigEndian.AppendUint64(dst, math.Float64bits(mask(v))), false, nil
	}
}

// decimalField replaces the digits of a numeric, and keeps how many there are
// before and behind the point.
func (k *Key) decimalField(inBinary bool) field {
	return func(dst, in []byte) ([]byte, bool, error) {
		if !inBinary {
			return k.digits(dst, in), false, nil // which leaves NaN and Infinity
		}
		shown, err := numericText(in)
		if err != nil {
			return dst, false, err
		}
		if shown == "" {
			return append(dst, in...), false, nil
		}
		return appendNumeric(dst, string(k.digits(nil, []byte(shown)))), false, nil
	}
}

// The signs of a numeric in binary; see numeric_send in PostgreSQL. What is
// above them is no number.
const (
	positive = 0x0000
	negative = 0x4000
)

// base is how many decimal digits are one digit of a numeric.
const base = 4

// numericText returns a numeric as PostgreSQL writes it, or "" for what is no
// number.
func numericText(in []byte) (string, error) {
	if len(in) < 8 || len(in) != 8+2*int(binary.BigEndian.Uint16(in)) {
		return "", malformed("numeric")
	}
	weight := int(int16(binary.BigEndian.Uint16(in[2:])))
	sign, scale := binary.BigEndian.Uint16(in[4:]), int(binary.BigEndian.Uint16(in[6:]))
	if sign > negative {
		return "", nil
	}
	group := func(i int) string {
		v := 0
		if i >= 0 && 8+2*i < len(in) {
			v = int(binary.BigEndian.Uint16(in[8+2*i:]))
		}
		return strconv.Itoa(10_000 + v)[1:]
	}
	var whole, behind strings.Builder
	for i := 0; i <= weight; i++ {
		whole.WriteString(group(i))
	}
	for i := weight + 1; behind.Len() < scale; i++ {
		behind.WriteString(group(i))
	}
	text := strings.TrimLeft(whole.String(), "0")
	if text == "" {
		text = "0"
	}
	if scale > 0 {
		text += "." + behind.String()[:scale]
	}
	if sign == negative {
		text = "-" + text
	}
	return text, nil
}

// appendNumeric writes a number, as numericText returns it, in binary.
func appendNumeric(dst []byte, shown string) []byte {
	sign := uint16(positive)
	shown, found := strings.CutPrefix(shown, "-")
	if found {
		sign = negative
	}
	whole, behind, _ := strings.Cut(shown, ".")
	scale := len(behind)
	whole = strings.Repeat("0", (base-len(whole)%base)%base) + whole
	behind += strings.Repeat("0", (base-len(behind)%base)%base)
	all, weight := whole+behind, len(whole)/base-1
	for strings.HasPrefix(all, "0000") {
		all, weight = all[base:], weight-1
	}
	for strings.HasSuffix(all, "0000") && len(all)%base == 0 {
		all = all[:len(all)-base]
	}
	if all == "" {
		weight, sign = 0, positive
	}
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(all)/base))
	dst = binary.BigEndian.AppendUint16(dst, uint16(weight))
	dst = binary.BigEndian.AppendUint16(dst, sign)
	dst = binary.BigEndian.AppendUint16(dst, uint16(scale))
	for ; len(all) > 0; all = all[base:] {
		v, _ := strconv.Atoi(all[:base]) // digits only
		dst = binary.BigEndian.AppendUint16(dst, uint16(v))
	}
	return dst
}
