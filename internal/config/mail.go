package config

import (
	"net"
	"net/mail"
	"strconv"
	"strings"
)

// SMTP is a server that takes mail.
type SMTP struct {
	Server             string // host:port
	From               string
	To                 []string
	Username, Password Secret
	TLS                TLS
}

// TLS says how a connection to a mail server is protected.
type TLS string

// StartTLS begins in the clear and refuses to go on so.
const (
	StartTLS TLS = "starttls"
	FullTLS  TLS = "tls"
	NoTLS    TLS = "none"
)

func (n *notified) smtp(v value, get lookup) *SMTP {
	s := &SMTP{}
	seen := v.object(fields{
		"server":   func(v value) { s.Server = v.mailServer() },
		"from":     func(v value) { s.From = v.mailAddress() },
		"to":       func(v value) { s.To = v.mailAddresses() },
		"username": func(v value) { s.Username = n.keep(Secret{from: v.references(), get: get}) },
		"password": func(v value) { s.Password = n.keep(v.hidden(get, nil)) },
		"tls":      func(v value) { s.TLS = TLS(v.choice("value", string(StartTLS), string(FullTLS), string(NoTLS))) },
	})
	v.require(seen, "server", "from", "to")
	host, port, _ := net.SplitHostPort(s.Server)
	_, hasPassword := seen["password"]
	_, hasUsername := seen["username"]
	switch {
	case hasPassword != hasUsername:
		v.fault("has a username or a password, and both are needed")
	case s.TLS == NoTLS && hasPassword && !loopback(host):
		v.hint("write tls: starttls", "would send the password to another machine for everyone on the way to read")
	case s.TLS == "" && port == "465":
		s.TLS = FullTLS
	case s.TLS == "":
		s.TLS = StartTLS
	}
	return s
}

func (v value) mailServer() string {
	given := v.text()
	if given == "" {
		return ""
	}
	host, port, err := net.SplitHostPort(given)
	if n, errPort := strconv.ParseUint(port, 10, 16); err != nil || errPort != nil || n == 0 || host == "" || strings.ContainsAny(host, " /@") {
		v.hint("write smtp.example.com:587", "is not a server with a port")
	}
	return given
}

func (v value) mailAddress() string {
	given := v.text()
	if given == "" {
		return ""
	}
	if _, err := mail.ParseAddress(given); err != nil {
		v.hint("write ops@example.com", "is not a mail address")
	}
	return given
}

func (v value) mailAddresses() []string {
	var all []string
	for _, item := range v.list() {
		if address := item.mailAddress(); address != "" {
			all = append(all, address)
		}
	}
	if len(all) == 0 && v.kind() == "a list" {
		v.fault("is empty")
	}
	return all
}
