package cluster

import "syscall"

// attributes let the server run as its account, out of reach of a terminal's
// Ctrl-C, and end at once when this process does, unless it shall outlive it.
func attributes(who *syscall.Credential, outlives bool) *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Credential: who, Setsid: true}
	if !outlives {
		a.Pdeathsig = syscall.SIGQUIT
	}
	return a
}
