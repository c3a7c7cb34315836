//go:build !unix

package file

import (
	"fmt"
	"io/fs"
	"os"

	"sluice/backend"
)

// flock fails, and Open with it: the store needs a Unix system.
func flock(*os.File, bool) (bool, error) {
	return false, fmt.Errorf("file locks: %w", backend.ErrUnsupported)
}

func funlock(*os.File) error { return backend.ErrUnsupported }

func sysStat(fs.FileInfo) (inode uint64, changed int64) { return 0, 0 }
