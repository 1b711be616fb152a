//go:build unix && !linux

package cluster

import "syscall"

// attributes let the server run as its account, out of reach of a terminal's
// Ctrl-C. Only Linux can end a child with its parent.
func attributes(who *syscall.Credential, _ bool) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: who, Setsid: true}
}
