package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// expand replaces ${env:NAME} by a variable of the environment and ${file:PATH} by the contents of a file without the line
// ends behind it, as read gives them. PATH is relative to dir. Everything else stays, ${user} among it.
func expand(s, dir string, read func(name string) ([]byte, error)) (string, error) {
	var out strings.Builder
	for {
		before, rest, ok := strings.Cut(s, "${")
		out.WriteString(before)
		if !ok {
			return out.String(), nil
		}
		name, after, closed := strings.Cut(rest, "}")
		kind, arg, colon := strings.Cut(name, ":")
		switch {
		case closed && kind == "env" && colon:
			v, ok := os.LookupEnv(arg)
			if !ok {
				return "", fmt.Errorf("the environment has no variable %s", arg)
			}
			out.WriteString(v)
		case closed && kind == "file" && colon:
			v, err := read(inside(dir, arg))
			if err != nil {
				return "", fmt.Errorf("cannot read the file %s: %w", inside(dir, arg), reason(err))
			}
			out.WriteString(strings.TrimRight(string(v), "\r\n"))
		case closed && colon:
			return "", fmt.Errorf("${%s:...} is unknown: there are ${env:NAME} and ${file:PATH}", kind)
		default:
			out.WriteString("${")
			s = rest
			continue
		}
		s = after
	}
}

// inside returns path as seen from dir.
func inside(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// reason returns what is wrong with a file without its name, which the caller has said.
func reason(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
