package sweep_test

import (
	"bytes"
	"encoding/binary"
	"io"
)

// message is a message of PostgreSQL's protocol: its kind, its length, its
// body. See "Message Formats" in the PostgreSQL manual.
type message []byte

func newMessage(kind byte, body []byte) message {
	m := append(message{kind}, 0, 0, 0, 0)
	binary.BigEndian.PutUint32(m[1:], uint32(4+len(body)))
	return append(m, body...)
}

func readMessage(in io.Reader) (message, error) {
	head := make([]byte, 5)
	if _, err := io.ReadFull(in, head); err != nil {
		return nil, err
	}
	m := append(message(head), make([]byte, binary.BigEndian.Uint32(head[1:])-4)...)
	_, err := io.ReadFull(in, m[5:])
	return m, err
}

// startup is the first message of a client, which has no kind.
type startup []byte

func readStartup(in io.Reader) (startup, error) {
	head := make([]byte, 8)
	if _, err := io.ReadFull(in, head); err != nil {
		return nil, err
	}
	s := append(startup(head), make([]byte, binary.BigEndian.Uint32(head)-8)...)
	_, err := io.ReadFull(in, s[8:])
	return s, err
}

func (s startup) code() uint32 { return binary.BigEndian.Uint32(s[4:]) }

func (m message) kind() byte { return m[0] }

// text returns the nth string of the body.
func (m message) text(n int) string {
	parts := bytes.SplitN(m[5:], []byte{0}, n+2)
	if len(parts) <= n {
		return ""
	}
	return string(parts[n])
}

// thatFails returns what the server will refuse in the message's stead. So the
// server knows of the error as well as the client does: a transaction is
// aborted on both sides.
func (m message) thatFails() message {
	const nonsense = "injected fault\x00"
	switch m.kind() {
	case 'Q':
		return newMessage('Q', []byte(nonsense))
	case 'c':
		return newMessage('f', []byte(nonsense))
	}
	return newMessage('P', append([]byte("\x00"+nonsense), 0, 0))
}

// endsAnswer reports whether the server has done what it was asked to: it is
// ready for more, or waits for data, or sends some.
func (m message) endsAnswer() bool { return bytes.IndexByte([]byte("ZGHW"), m.kind()) >= 0 }

// asksWho reports whether the server wants a password before it does anything.
func (m message) asksWho() bool { return m.kind() == 'R' && binary.BigEndian.Uint32(m[5:]) != 0 }

// injectedError is what a server says whose disk is full.
func injectedError() message {
	return newMessage('E', []byte("SERROR\x00VERROR\x00C53100\x00Minjected fault\x00\x00"))
}
