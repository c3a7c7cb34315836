package transfer

import (
	"fmt"
	"runtime/debug"
)

// guard returns what f returns, or a panic of f as an error with its stack. It is for goroutines of this package, where nobody else could
// recover: one bad answer of a store would end the process with all its sessions.
func guard(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return f()
}
