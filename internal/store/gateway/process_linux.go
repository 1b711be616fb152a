package gateway

import "syscall"

// attributes keep the server out of reach of a terminal's Ctrl-C and end it
// when this process does.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
}
