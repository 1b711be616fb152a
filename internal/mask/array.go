package mask

import (
	"bytes"
	"encoding/binary"
)

// arrayField masks each element of an array of texts.
func (k *Key) arrayField(element field, inBinary bool) field {
	if inBinary {
		return binaryArray(element)
	}
	return textArray(element)
}

// binaryArray is for arrays in binary: the number of dimensions, flags, the
// type, two numbers per dimension, then each element behind its length. See
// array_send in PostgreSQL.
func binaryArray(element field) field {
	return func(dst, in []byte) ([]byte, bool, error) {
		if len(in) < 12 {
			return dst, false, malformed("array")
		}
		head := 12 + 8*int(binary.BigEndian.Uint32(in))
		if head < 12 || len(in) < head {
			return dst, false, malformed("array")
		}
		dst = append(dst, in[:head]...)
		for in = in[head:]; len(in) > 0; {
			if len(in) < 4 {
				return dst, false, malformed("array")
			}
			size := int(int32(binary.BigEndian.Uint32(in)))
			if in = in[4:]; size < 0 {
				dst = binary.BigEndian.AppendUint32(dst, nullLength)
				continue
			}
			if len(in) < size {
				return dst, false, malformed("array")
			}
			var err error
			if dst, err = framed(dst, in[:size], element); err != nil {
				return dst, false, err
			}
			in = in[size:]
		}
		return dst, false, nil
	}
}

// nullLength is the length of what is NULL: -1.
const nullLength = 0xffffffff

// framed appends a masked value behind its length.
func framed(dst, in []byte, f field) ([]byte, error) {
	at := len(dst)
	dst, null, err := f(append(dst, 0, 0, 0, 0), in)
	if err != nil {
		return dst, err
	}
	if null {
		return binary.BigEndian.AppendUint32(dst[:at], nullLength), nil
	}
	binary.BigEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
	return dst, nil
}

// textArray is for arrays as array_out writes them: braces, commas, and quotes
// around what needs them.
func textArray(element field) field {
	return func(dst, in []byte) ([]byte, bool, error) {
		for len(in) > 0 {
			switch c := in[0]; c {
			case '{', '}', ',':
				dst, in = append(dst, c), in[1:]
				continue
			case '[': // bounds, up to the =
				end := bytes.IndexByte(in, '=')
				if end < 0 {
					return dst, false, malformed("array")
				}
				dst, in = append(dst, in[:end+1]...), in[end+1:]
				continue
			}
			value, rest, quoted := arrayElement(in)
			if in = rest; !quoted && string(value) == "NULL" {
				dst = append(dst, "NULL"...)
				continue
			}
			masked, _, err := element(nil, value)
			if err != nil {
				return dst, false, err
			}
			dst = append(dst, '"')
			for _, c := range masked {
				if c == '"' || c == '\\' {
					dst = append(dst, '\\')
				}
				dst = append(dst, c)
			}
			dst = append(dst, '"')
		}
		return dst, false, nil
	}
}

// arrayElement cuts the first element off, without quotes and escapes.
func arrayElement(in []byte) (value, rest []byte, quoted bool) {
	if in[0] != '"' {
		end := bytes.IndexAny(in, ",}")
		if end < 0 {
			end = len(in)
		}
		return in[:end], in[end:], false
	}
	for i := 1; i < len(in); i++ {
		switch in[i] {
		case '"':
			return value, in[i+1:], true
		case '\\':
			i++
		}
		if i < len(in) {
			value = append(value, in[i])
		}
	}
	return value, nil, true
}
