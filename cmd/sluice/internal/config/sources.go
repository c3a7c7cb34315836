package config

import (
	"crypto/sha256"
	"os"
)

// Sources are the files that a configuration comes from, itself and those of ${file:}, with the SHA-256 of what each held.
//
// Contents are compared, not times: a Kubernetes volume swaps a symbolic link above the files, file systems differ in how fine
// their times are, and a file that is written anew with the same text is no change.
type Sources map[string][sha256.Size]byte

// read reads a file and takes it in.
func (s Sources) read(name string) ([]byte, error) {
	p, err := os.ReadFile(name)
	if err == nil {
		s[name] = sha256.Sum256(p)
	} else {
		s[name] = [sha256.Size]byte{}
	}
	return p, err
}

// Now returns the same files with what they hold at present; all zero stands for one that cannot be read.
func (s Sources) Now() Sources {
	now := Sources{}
	for name := range s {
		_, _ = now.read(name) // what the next Load says about it is for the reader
	}
	return now
}
