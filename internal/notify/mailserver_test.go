package notify_test

import (
	"bufio"
	"cmp"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// mailServer is a server of mail of a few lines, that can misbehave.
type mailServer struct {
	host    string // 127.0.0.1 if empty
	address string
	// offers are its extensions; answers go before what it would say, by the
	// command: "MAIL": "451 later". An empty answer ends the connection, "-" never
	// comes.
	offers  []string
	answers map[string]string
	// implicit begins with TLS.
	implicit bool

	mu       sync.Mutex
	commands []string
	letters  []string
}

// certificate is one for 127.0.0.1, and who trusts it.
func certificate(t *testing.T) *httptest.Server {
	t.Helper()
	s := httptest.NewTLSServer(nil)
	t.Cleanup(s.Close)
	return s
}

func serveMail(t *testing.T, s *mailServer, secure *tls.Config) *mailServer {
	t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(cmp.Or(s.host, "127.0.0.1"), "0"))
	if err != nil {
		t.Fatal(err)
	}
	s.address = listener.Addr().String()
	var serving sync.WaitGroup
	stopped := make(chan struct{})
	serving.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer c.Close()
				if s.implicit {
					s.converse(tls.Server(c, secure), secure, stopped)
				} else {
					s.converse(c, secure, stopped)
				}
			})
		}
	})
	t.Cleanup(func() {
		close(stopped)
		listener.Close()
		serving.Wait()
	})
	return s
}

// converse speaks SMTP until the connection ends.
func (s *mailServer) converse(c net.Conn, secure *tls.Config, stopped <-chan struct{}) {
	r := bufio.NewReader(c)
	say := func(text string) { fmt.Fprintf(c, "%s\r\n", text) }
	if s.answer("greeting", say, stopped) {
		return
	}
	for {
		text, err := r.ReadString('\n')
		if err != nil {
			return
		}
		text = strings.TrimRight(text, "\r\n")
		verb, _, _ := strings.Cut(strings.ToUpper(text), " ")
		s.note(text)
		if verb != "EHLO" && s.answer(verb, say, stopped) {
			return
		}
		if s.answers[verb] != "" {
			continue
		}
		switch verb {
		case "EHLO":
			say("250-mail.example.com\r\n250-" + strings.Join(append(s.offers, "8BITMIME"), "\r\n250-") + "\r\n250 SIZE 1000000")
		case "STARTTLS":
			say("220 go on")
			c = tls.Server(c, secure)
			r = bufio.NewReader(c)
		case "AUTH":
			say("235 welcome")
		case "DATA":
			say("354 go on")
			var letter strings.Builder
			for {
				l, err := r.ReadString('\n')
				if err != nil {
					return
				}
				if l == ".\r\n" {
					break
				}
				letter.WriteString(l)
			}
			if s.answer("letter", say, stopped) {
				return
			}
			if s.answers["letter"] != "" {
				continue
			}
			s.mu.Lock()
			s.letters = append(s.letters, letter.String())
			s.mu.Unlock()
			say("250 taken")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}

// answer says what was asked for instead, and reports whether that was the end.
func (s *mailServer) answer(verb string, say func(string), stopped <-chan struct{}) (end bool) {
	instead, found := s.answers[verb]
	switch {
	case !found:
		if verb == "greeting" {
			say("220 mail.example.com")
		}
		return false
	case instead == "-":
		<-stopped
		return true
	case instead == "":
		return true
	}
	say(instead)
	return false
}

func (s *mailServer) note(command string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.commands = append(s.commands, command)
}

// got returns the letters and the commands, those of AUTH in the clear.
func (s *mailServer) got() (letters, commands []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.commands {
		words := strings.Fields(c)
		if plain, err := base64.StdEncoding.DecodeString(words[len(words)-1]); err == nil && words[0] == "AUTH" {
			c = strings.Join(words[:len(words)-1], " ") + " " + strings.ReplaceAll(string(plain), "\x00", "|")
		}
		commands = append(commands, c)
	}
	return append([]string(nil), s.letters...), commands
}
