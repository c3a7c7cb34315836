package protocol

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"sluice/backend"
	"sluice/backend/vfs"
	"sluice/protocol/wire"
)

// defaultHash is what HASH answers with until OPTS HASH says otherwise.
const defaultHash = "SHA-256"

// hashCommands are the algorithms of the commands that came before HASH.
var hashCommands = map[string]string{
	"XCRC": "CRC32", "MD5": "MD5", "XMD5": "MD5", "XSHA": "SHA-1", "XSHA1": "SHA-1", "XSHA256": "SHA-256", "XSHA512": "SHA-512",
}

// hashFeature is the line of FEAT; a star marks the algorithm that is chosen (draft-bryan-ftp-hash 3.1).
func (s *session) hashFeature() string {
	line := "HASH "
	for _, h := range vfs.Hashes {
		if line += h; h == s.digest {
			line += "*"
		}
		line += ";"
	}
	return line
}

// optsHash chooses the algorithm, or tells it.
func (s *session) optsHash(arg string) wire.Reply {
	if arg == "" {
		return reply(200, s.digest)
	}
	for _, h := range vfs.Hashes {
		if strings.EqualFold(arg, h) {
			s.digest = h
			return reply(200, h)
		}
	}
	return reply(504, "Unknown hash; there are "+strings.Join(vfs.Hashes, ", "))
}

// hash answers with the digest of a file, or of the range that RANG or REST gave (draft-bryan-ftp-hash 4).
func (s *session) hash(t *transfer, arg string) job {
	name, digest := s.path(arg), s.digest
	return func(ctx context.Context) (wire.Reply, error) {
		length := int64(-1)
		if t.limit != nil {
			length = *t.limit - t.rest
		}
		sum, n, err := t.fs.Hash(ctx, name, digest, t.rest, length)
		if err != nil {
			return wire.Reply{}, err
		}
		return reply(213, fmt.Sprintf("%s %d-%d %s %s", digest, t.rest, t.rest+n, hex.EncodeToString(sum), arg)), nil
	}
}

// digestOf answers the commands that came before HASH: a path, perhaps in quotes, and perhaps the first byte and the one behind the
// last.
func (s *session) digestOf(t *transfer, verb string, code int, arg string) job {
	digest := hashCommands[verb]
	cwd, names := s.cwd, s.names
	return func(ctx context.Context) (wire.Reply, error) {
		name, offset, length, err := t.hashRange(ctx, arg, func(p string) string { return wire.Join(cwd, names.Decode(p)) })
		if err != nil {
			return wire.Reply{}, err
		}
		sum, _, err := t.fs.Hash(ctx, name, digest, offset, length)
		if err != nil {
			return wire.Reply{}, err
		}
		text := strings.ToUpper(hex.EncodeToString(sum))
		if verb == "MD5" { // draft-twine-ftpmd5-00 3.1
			text = wire.Quote(names.Encode(name)) + " " + text
		}
		return reply(code, text), nil
	}
}

// hashRange reads the argument of XCRC and its like. Numbers behind a name without quotes may belong to it: what exists decides.
func (t *transfer) hashRange(ctx context.Context, arg string, abs func(string) string) (name string, offset, length int64, err error) {
	path, rest := arg, ""
	if strings.HasPrefix(arg, `"`) {
		if path, rest, err = wire.CutQuoted(arg); err != nil {
			return "", 0, 0, err
		}
	} else if _, err := wire.Number(arg[strings.LastIndexByte(arg, ' ')+1:]); err != nil {
		return abs(arg), 0, -1, nil
	} else if _, err := t.fs.Stat(backend.AllowPartial(ctx), abs(arg)); errors.Is(err, backend.ErrNotExist) {
		f := strings.Split(arg, " ")
		n := len(f)
		for n > 1 && len(f)-n < 2 {
			if _, err := wire.Number(f[n-1]); err != nil {
				break
			}
			n--
		}
		path, rest = strings.Join(f[:n], " "), strings.Join(f[n:], " ")
	}
	switch numbers := strings.Fields(rest); len(numbers) {
	case 0:
		return abs(path), 0, -1, nil
	case 1:
		offset, err = wire.Number(numbers[0])
		return abs(path), offset, -1, err
	case 2:
		first, last, ok := cutNumbers(rest)
		if !ok || last < first {
			return "", 0, 0, wire.ErrArgument
		}
		return abs(path), first, last - first, nil
	}
	return "", 0, 0, wire.ErrArgument
}

// cutNumbers reads two numbers.
func cutNumbers(arg string) (a, b int64, ok bool) {
	f := strings.Fields(arg)
	if len(f) != 2 {
		return 0, 0, false
	}
	a, err := wire.Number(f[0])
	if err != nil {
		return 0, 0, false
	}
	b, err = wire.Number(f[1])
	return a, b, err == nil
}
