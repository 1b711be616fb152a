package logical

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// message is a message of a server.
func message(kind byte, body string) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(body)+4)), body...)
}

// sentRows is what a server sends for a COPY TO.
func sentRows(s stream) []byte {
	all := message('H', "\x01\x00\x00")
	header := len(s.bytes)
	for _, row := range s.rows {
		header -= len(row)
	}
	if s.format == formatBinary {
		header -= len("\xff\xff")
	}
	rest := s.bytes
	for i, row := range s.rows {
		n := len(row)
		if i == 0 {
			n += header // the server sends it with the first row
		}
		if i%100 == 7 {
			all = append(all, message('N', "SNOTICE\x00\x00")...)
		}
		all = append(all, message('d', string(rest[:n]))...)
		rest = rest[n:]
	}
	if len(rest) > 0 {
		all = append(all, message('d', string(rest))...)
	}
	all = append(append(all, message('c', "")...), message('C', "COPY 1\x00")...)
	return append(all, message('Z', "T")...)
}

// readWire reads a COPY that a server sent.
func readWire(from io.Reader, format string, emit func(piece) error) error {
	var c cutter
	c.reset(format, wideCuts(), emit)
	w := new(wire)
	w.attach(from)
	if err := w.exchange(pgproto3.NewFrontend(w, io.Discard), "COPY", &c); err != nil {
		return err
	}
	return c.finish()
}

func TestWirePassesEveryRowOn(t *testing.T) {
	t.Parallel()
	rows := slices.Concat(someRows(3000, 200), [][]byte{bytes.Repeat([]byte("w"), 3*wireBuffer), bytes.Repeat([]byte("x"), wireBuffer)}, someRows(2000, 5))
	for _, s := range []stream{textStream(rows), binaryStream(rows), textStream(nil), binaryStream(nil)} {
		sent := sentRows(s)
		readers := map[string]func() io.Reader{
			"whole":       func() io.Reader { return bytes.NewReader(sent) },
			"halves":      func() io.Reader { return iotest.HalfReader(bytes.NewReader(sent)) },
			"with an end": func() io.Reader { return iotest.DataErrReader(bytes.NewReader(sent)) },
			"single byte": func() io.Reader { return iotest.OneByteReader(bytes.NewReader(sent)) },
		}
		for name, reader := range readers {
			var got []byte
			count := 0
			err := readWire(reader(), s.format, func(p piece) error {
				got = append(got, p.data...)
				count += int(p.rows)
				return nil
			})
			if err != nil || !bytes.Equal(got, bytes.Join(s.rows, nil)) || count != len(s.rows) {
				t.Errorf("%s, %s: %d rows of %d, %d bytes, %v", s.format, name, count, len(s.rows), len(got), err)
			}
		}
	}
}

func TestWireRefusesWhatIsNoCopy(t *testing.T) {
	t.Parallel()
	row := message('d', "a\tb\n")
	failed := message('E', "SERROR\x00C57014\x00Mstopped\x00\x00")
	end := slices.Concat(message('c', ""), message('C', "COPY 1\x00"), message('Z', "T"))
	cases := map[string]struct {
		sent [][]byte
		want string
	}{
		"the connection breaks off":      {[][]byte{row, row[:7]}, "unexpected EOF"},
		"in a header":                    {[][]byte{row, row[:3]}, "unexpected EOF"},
		"in a large row":                 {[][]byte{message('d', strings.Repeat("x", 2*wireBuffer))[:wireBuffer+9]}, "unexpected EOF"},
		"no end":                         {[][]byte{row}, "unexpected EOF"},
		"the server fails":               {[][]byte{row, failed, message('Z', "E")}, "stopped"},
		"the server fails and hangs up":  {[][]byte{row, failed}, "stopped"},
		"the server's error breaks off":  {[][]byte{row, failed[:20]}, "unexpected EOF"},
		"the server's error is none":     {[][]byte{message('E', "S")}, "error"},
		"rows of a query":                {[][]byte{message('D', "\x00\x00"), end}, "kind 'D'"},
		"a length below that of nothing": {[][]byte{row, {'d', 0, 0, 0, 3}, end}, "message of 3 bytes"},
		"a length below 0":               {[][]byte{{'N', 0xff, 0, 0, 0}, end}, "message of -"},
		"half a row":                     {[][]byte{message('d', "a\tb"), end}, "middle of a row"},
	}
	for name, c := range cases {
		err := readWire(bytes.NewReader(slices.Concat(c.sent...)), formatText, func(piece) error { return nil })
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
	err := readWire(bytes.NewReader(slices.Concat(failed, message('Z', "E"))), formatText, nil)
	if said := new(pgconn.PgError); !errors.As(err, &said) || said.Code != "57014" {
		t.Errorf("got %v, want the server's error", err)
	}
}

// What the store says ends the COPY.
func TestWireReturnsTheCuttersError(t *testing.T) {
	t.Parallel()
	full := errors.New("full")
	err := readWire(bytes.NewReader(sentRows(textStream(someRows(40000, 400)))), formatText, func(piece) error { return full })
	if !errors.Is(err, full) {
		t.Errorf("got %v, want the cutter's error", err)
	}
}

func TestWireKeepsWhatNobodyAskedFor(t *testing.T) {
	t.Parallel()
	later := message('S', "TimeZone\x00UTC\x00")
	w := new(wire)
	w.attach(bytes.NewReader(append(sentRows(textStream(someRows(3, 10))), later...)))
	var c cutter
	c.reset(formatText, wideCuts(), func(piece) error { return nil })
	frontend := pgproto3.NewFrontend(w, io.Discard)
	if err := w.exchange(frontend, "COPY", &c); err != nil {
		t.Fatal(err)
	}
	got, err := frontend.Receive()
	if status, ok := got.(*pgproto3.ParameterStatus); err != nil || !ok || status.Value != "UTC" {
		t.Errorf("got %v, %v, want the parameter's status", got, err)
	}
}

// benchStream is 16 MiB of rows of some 100 bytes.
func benchStream(format string) stream {
	rows := someRows(160_000, 70)
	if format == formatBinary {
		return binaryStream(rows)
	}
	return textStream(rows)
}

// BenchmarkCutter finds the rows in a COPY stream, hashes and cuts them.
func BenchmarkCutter(b *testing.B) {
	for _, format := range []string{formatText, formatBinary} {
		b.Run(format, func(b *testing.B) {
			s := benchStream(format)
			b.SetBytes(int64(len(s.bytes)))
			b.ReportAllocs()
			var c cutter
			for b.Loop() {
				c.reset(s.format, wideCuts(), func(piece) error { return nil })
				for rest := s.bytes; len(rest) > 0; {
					n := min(wireBuffer, len(rest))
					c.add(rest[:n])
					if err := c.advance(); err != nil {
						b.Fatal(err)
					}
					rest = rest[n:]
				}
				if err := c.finish(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkCopyFrame does the same from the server's messages.
func BenchmarkCopyFrame(b *testing.B) {
	for _, format := range []string{formatText, formatBinary} {
		b.Run(format, func(b *testing.B) {
			s := benchStream(format)
			sent := sentRows(s)
			b.SetBytes(int64(len(s.bytes)))
			b.ReportAllocs()
			var c cutter
			var w wire
			from := bytes.NewReader(nil)
			frontend := pgproto3.NewFrontend(from, io.Discard)
			for b.Loop() {
				from.Reset(sent)
				w.attach(from)
				c.reset(s.format, wideCuts(), func(piece) error { return nil })
				if err := w.exchange(frontend, "COPY", &c); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
