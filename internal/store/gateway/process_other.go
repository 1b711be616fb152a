//go:build unix && !linux

package gateway

import "syscall"

// attributes keep the server out of reach of a terminal's Ctrl-C. Only Linux
// can end a child with its parent.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }
