package logical

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// wireBuffer is how much a wire asks of the connection at once. The server
// sends 8 KiB at a time; while rows are hashed and stored, more of that piles
// up in the socket.
const wireBuffer = 256 << 10

// wire is what a session reads from its server. pgx reads through it; a COPY,
// which is millions of small messages, is read from it directly and in large
// pieces. It is used by one goroutine at a time, as its session is.
type wire struct {
	from io.Reader
	// buf[start:end] was read and not used yet. It is empty whenever pgx has
	// the session, unless the server said something that nobody asked for.
	buf        []byte
	start, end int
}

// attach makes the wire read from r. It is called for each try to connect.
func (w *wire) attach(r io.Reader) io.Reader {
	w.from, w.start, w.end = r, 0, 0
	return w
}

// Read is what pgx calls.
func (w *wire) Read(p []byte) (int, error) {
	if w.start < w.end {
		n := copy(p, w.buf[w.start:w.end])
		w.start += n
		return n, nil
	}
	return w.from.Read(p)
}

// copyOut runs a COPY … TO STDOUT over the session that the wire belongs to,
// and passes what it sends to the cutter. The session is of no use after any
// error but the server's.
func (w *wire) copyOut(ctx context.Context, conn *pgconn.PgConn, sql string, c *cutter) error {
	for conn.Frontend().ReadBufferLen() > 0 { // what nobody asked for
		if _, err := conn.ReceiveMessage(ctx); err != nil {
			return err
		}
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Conn().SetDeadline(time.Unix(1, 0)) })
	err := w.exchange(conn.Frontend(), sql, c)
	if !stop() {
		return cmp.Or(ctx.Err(), err)
	}
	return err
}

func (w *wire) exchange(frontend *pgproto3.Frontend, sql string, c *cutter) error {
	frontend.SendQuery(&pgproto3.Query{String: sql})
	if err := frontend.Flush(); err != nil {
		return fmt.Errorf("ask for rows: %w", err)
	}
	var said error // the server's own error
	for {
		kind, err := w.next(c)
		switch {
		case err != nil:
			return cmp.Or(said, err)
		case kind == messageError:
			if said, err = w.serverError(); err != nil {
				return err
			}
		case kind == messageReady:
			return said
		}
	}
}

// The messages of a COPY TO. See "Message Formats" in the PostgreSQL manual.
const (
	messageData  = 'd'
	messageError = 'E'
	messageReady = 'Z'
	// messagesPassedOver are CopyOutResponse, CopyDone and CommandComplete,
	// and what a server may say at any time: a notice, a parameter's new
	// value, a notification.
	messagesPassedOver = "HcCNSA"

	messageHeader = 1 + 4 // its kind, and its length without the kind
)

// next passes on the data at hand, or else takes the next message of another
// kind, and returns the kind. An error's body is left for serverError.
func (w *wire) next(c *cutter) (byte, error) {
	if err := w.need(messageHeader); err != nil {
		return 0, err
	}
	kind := w.buf[w.start]
	size, err := bodySize(w.buf[w.start:])
	if err != nil {
		return 0, err
	}
	switch {
	case kind == messageData && messageHeader+size > len(w.buf):
		w.start += messageHeader
		return kind, w.passLarge(size, c)
	case kind == messageData:
		if err := w.need(messageHeader + size); err != nil {
			return 0, err
		}
		return kind, w.passRows(c)
	case kind == messageError:
		return kind, nil
	case kind == messageReady || isPassedOver(kind):
		return kind, w.skip(messageHeader + size)
	}
	return 0, fmt.Errorf("the server sent a message of kind %q during COPY", kind)
}

func isPassedOver(kind byte) bool {
	for i := range len(messagesPassedOver) {
		if messagesPassedOver[i] == kind {
			return true
		}
	}
	return false
}

// bodySize returns the length of a message behind its header.
func bodySize(header []byte) (int, error) {
	size := int(int32(binary.BigEndian.Uint32(header[1:]))) - 4
	if size < 0 {
		return 0, fmt.Errorf("the server sent a message of %d bytes", size+4)
	}
	return size, nil
}

// passRows passes on all messages with data that the buffer holds whole.
func (w *wire) passRows(c *cutter) error {
	at := w.start
	for w.end-at >= messageHeader && w.buf[at] == messageData {
		body := at + messageHeader
		size := int(binary.BigEndian.Uint32(w.buf[at+1:])) - 4
		if size < 0 || w.end-body < size {
			break // next sees to it
		}
		c.add(w.buf[body : body+size])
		at = body + size
	}
	w.start = at
	return c.advance()
}

// passLarge passes on the body of a message that is larger than the buffer; it
// is read to where it will lie.
func (w *wire) passLarge(size int, c *cutter) error {
	n := min(size, w.end-w.start)
	into, err := c.extend(size)
	if err != nil {
		return err
	}
	copy(into, w.buf[w.start:w.start+n])
	w.start += n
	if _, err := io.ReadFull(w.from, into[n:]); err != nil {
		return brokenOff(err)
	}
	return c.advance()
}

// need reads until the buffer holds n bytes, which fit.
func (w *wire) need(n int) error {
	if w.buf == nil {
		w.buf = make([]byte, wireBuffer)
	}
	if w.end-w.start >= n {
		return nil
	}
	w.end = copy(w.buf, w.buf[w.start:w.end])
	w.start = 0
	got, err := io.ReadAtLeast(w.from, w.buf[w.end:], n-w.end)
	w.end += got
	return brokenOff(err)
}

// skip passes over the next n bytes.
func (w *wire) skip(n int) error {
	for n > 0 {
		if err := w.need(1); err != nil {
			return err
		}
		some := min(n, w.end-w.start)
		w.start += some
		n -= some
	}
	return nil
}

// serverError takes the error that the server sent.
func (w *wire) serverError() (said, err error) {
	size, err := bodySize(w.buf[w.start:])
	if err != nil {
		return nil, err
	}
	w.start += messageHeader
	body := make([]byte, size)
	if _, err := io.ReadFull(w, body); err != nil {
		return nil, brokenOff(err)
	}
	var message pgproto3.ErrorResponse
	if err := message.Decode(body); err != nil {
		return nil, fmt.Errorf("read the server's error: %w", err)
	}
	return pgconn.ErrorResponseToPgError(&message), nil
}

// brokenOff is the error of a stream that ended before its end.
func brokenOff(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
