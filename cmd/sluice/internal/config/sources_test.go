package config

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// TestSources: what the configuration includes counts as well as itself; that it was written anew does not.
func TestSources(t *testing.T) {
	dir := t.TempDir()
	file, hashFile := filepath.Join(dir, "sluice.yaml"), filepath.Join(dir, "hash")
	const text = `tls: {certificates: [{cert: tls.crt, key: tls.key}]}
stores: {local: {type: file, path: data}}
users: [{name: ann, password: "${file:hash}", mounts: [{path: /, store: local}]}]
`
	write(t, file, text)
	write(t, hashFile, hash)
	c, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	if got := slices.Sorted(maps.Keys(c.Sources)); !slices.Equal(got, []string{hashFile, file}) {
		t.Fatalf("sources %q", got)
	}
	same := func() bool { return maps.Equal(c.Sources, c.Sources.Now()) }
	later := time.Now().Add(time.Hour)
	write(t, file, text)
	if err := os.Chtimes(file, later, later); err != nil || !same() {
		t.Errorf("the same text counts as a change (%v)", err)
	}
	write(t, hashFile, hash+"\n")
	if same() {
		t.Error("a change of an included file is not seen")
	}
	write(t, hashFile, hash)
	if !same() {
		t.Error("a change that was taken back is still there")
	}
	if err := os.Remove(hashFile); err != nil || same() {
		t.Errorf("an included file that is gone is not seen (%v)", err)
	}
}
