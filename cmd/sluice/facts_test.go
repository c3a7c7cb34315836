package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// MLST says of a directory what MLSD says, also of one that nobody has made but by putting something into it.
func TestFactsOfDirectory(t *testing.T) {
	r := boot(t, base+"users:\n"+account("ann", ""))
	dir := filepath.Join(r.dir, "data", "d")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "f"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(dir, time.Time{}, time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)); err != nil {
		t.Fatal(err)
	}
	c := connect(t, r.implicit, trust(t, r.ca), "")
	c.login("ann", "secret", "230")
	const want = "type=dir;modify=20010203040506;"
	if list, _ := c.transfer("MLSD", ""); !strings.Contains(list, want) {
		t.Errorf("MLSD: %q", list)
	}
	if facts := c.do("MLST d", "250"); !strings.Contains(facts, want) {
		t.Errorf("MLST: %q", facts)
	}
}

// The configuration says how large a directory may be that is renamed.
func TestRenameLimit(t *testing.T) {
	r := boot(t, base+"transfer: {renameLimit: 2}\nusers:\n"+account("ann", ""))
	for _, name := range []string{"few/1", "many/1", "many/2", "many/3"} {
		file := filepath.Join(r.dir, "data", name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	c := connect(t, r.implicit, trust(t, r.ca), "")
	c.login("ann", "secret", "230")
	c.do("RNFR many", "350")
	c.do("RNTO more", "553")
	c.do("RNFR few", "350")
	c.do("RNTO none", "250")
}
