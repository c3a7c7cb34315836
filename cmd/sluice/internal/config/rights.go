package config

import (
	"errors"
	"fmt"
	"strings"

	"sluice/backend/vfs"
)

var presets = map[string]vfs.Rights{
	"full": vfs.Full, "readonly": vfs.ReadOnly, "dropbox": vfs.Dropbox, "worm": vfs.Worm,
}

var verbs = map[string]vfs.Rights{
	"list": vfs.List, "read": vfs.Read, "create": vfs.Create, "overwrite": vfs.Overwrite,
	"append": vfs.Append, "rename": vfs.Rename, "delete": vfs.Delete, "mkdir": vfs.Mkdir,
}

// ParseRights reads one preset or a list of verbs; no words at all are full rights.
func ParseRights(words []string) (vfs.Rights, error) {
	if words == nil {
		return vfs.Full, nil
	}
	if len(words) == 1 {
		if r, ok := presets[words[0]]; ok {
			return r, nil
		}
	}
	var rights vfs.Rights
	for _, w := range words {
		r, ok := verbs[w]
		if !ok {
			return 0, fmt.Errorf("must be full, readonly, dropbox or worm, or a list of %s", strings.Join([]string{
				"list", "read", "create", "overwrite", "append", "rename", "delete", "mkdir"}, ", "))
		}
		rights |= r
	}
	if rights == 0 {
		return 0, errors.New("must not be empty")
	}
	return rights, nil
}

var conflicts = map[string]vfs.Conflict{
	"": vfs.ConflictOverwrite, "overwrite": vfs.ConflictOverwrite, "refuse": vfs.ConflictRefuse, "rename": vfs.ConflictRename,
}

// ParseConflict reads the value of onConflict; empty is overwrite.
func ParseConflict(word string) (vfs.Conflict, error) {
	c, ok := conflicts[word]
	if !ok {
		return 0, errors.New("must be overwrite, refuse or rename")
	}
	return c, nil
}
