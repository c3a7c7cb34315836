//go:build unix

package file

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// flock takes the lock on a file that this process and others have open. It waits for it, or reports that it is not free.
func flock(f *os.File, wait bool) (taken bool, err error) {
	how := syscall.LOCK_EX
	if !wait {
		how |= syscall.LOCK_NB
	}
	for {
		err := syscall.Flock(int(f.Fd()), how)
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, syscall.EWOULDBLOCK):
			return false, nil
		case !errors.Is(err, syscall.EINTR):
			return false, os.NewSyscallError("flock", err)
		}
	}
}

func funlock(f *os.File) error {
	return os.NewSyscallError("flock", syscall.Flock(int(f.Fd()), syscall.LOCK_UN))
}

// sysStat returns the inode and the change time, in Unix nanoseconds.
func sysStat(fi fs.FileInfo) (inode uint64, changed int64) {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0
	}
	return st.Ino, ctime(st)
}
