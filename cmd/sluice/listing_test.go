package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"iter"
	"net"
	"net/textproto"
	"runtime"
	"strings"
	"testing"
	"time"

	"sluice/backend"
	"sluice/backend/mem"
	"sluice/backend/transfer"
	"sluice/backend/vfs"
	"sluice/cache"
	"sluice/protocol"
	"sluice/protocol/dataconn"
)

const (
	manyRows = 100_000
	pageRows = 1000
)

// endless is a store in which the directory "big" has manyRows files, made page by page while it is listed.
type endless struct {
	*mem.Store
	page func(n int) // is called before page n, from 1 on, is made
}

func (s *endless) Caps() backend.Caps {
	c := s.Store.Caps()
	c.ListMetadata = false
	return c
}

func (s *endless) List(ctx context.Context, prefix string, opts backend.ListOptions) iter.Seq2[backend.Entry, error] {
	if prefix != "big/" {
		return s.Store.List(ctx, prefix, opts)
	}
	return func(yield func(backend.Entry, error) bool) {
		for i := range manyRows {
			if i%pageRows == 0 {
				s.page(i/pageRows + 1)
			}
			key := fmt.Sprintf("big/a file with a name that is as long as names are %06d.dat", i)
			if key <= opts.After {
				continue
			}
			row := backend.Object{Key: key, Size: int64(i), Updated: time.Unix(int64(i), 0), ETag: fmt.Sprintf(`"%032x"`, i), Partial: true}
			if !yield(backend.Entry{Object: row}, nil) {
				return
			}
		}
	}
}

// anybody lets everybody in to one tree.
type anybody struct{ tree vfs.FS }

func (a anybody) Login(context.Context, protocol.Credentials) (protocol.Account, error) {
	return protocol.Account{Name: "ann", FS: a.tree}, nil
}

// serveStore serves a store in the clear, behind a cache of that many bytes, and returns a function that begins a listing: it returns the data
// connection, and what waits for the last reply.
func serveStore(t *testing.T, store backend.Store, memory int64) (begin func(command string) (data io.Reader, end func())) {
	t.Helper()
	tree, err := vfs.New(vfs.Config{
		Mounts: []vfs.Mount{{Path: "/", Store: cache.New(cache.Config{Memory: memory}).Wrap("s", store), Rights: vfs.Full}},
		Engine: transfer.New(transfer.Config{}),
	})
	if err != nil {
		t.Fatal(err)
	}
	port := ports(t, 1)
	passive, err := dataconn.Listen(t.Context(), dataconn.Config{Host: "127.0.0.1", FirstPort: port, LastPort: port})
	if err != nil {
		t.Fatal(err)
	}
	server, err := protocol.New(t.Context(), protocol.Config{Driver: anybody{tree}, Passive: passive, AllowPlain: true})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l, protocol.Explicit) }()
	conn, err := textproto.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		if err := server.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
		if err := passive.Close(); err != nil {
			t.Error(err)
		}
	})
	do := func(command string, code int) {
		t.Helper()
		if command != "" {
			if err := conn.PrintfLine("%s", command); err != nil {
				t.Fatal(err)
			}
		}
		if _, msg, err := conn.ReadResponse(code); err != nil {
			t.Fatalf("%s: %s, %v", command, msg, err)
		}
	}
	do("", 220)
	do("USER ann", 331)
	do("PASS x", 230)
	do("OPTS MLST type;size;modify;", 200)
	return func(command string) (io.Reader, func()) {
		t.Helper()
		do("EPSV", 229)
		data, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			t.Fatal(err)
		}
		do(command, 150)
		return data, func() {
			t.Helper()
			data.Close()
			do("", 226)
		}
	}
}

// The first lines of a long listing come when the store has been asked for the first page, and the rest as the store tells it.
func TestListingStreams(t *testing.T) {
	for _, command := range []string{"MLSD big", "NLST big"} {
		first, asked := make(chan struct{}), 0
		store := &endless{Store: mem.New(mem.Config{}), page: func(n int) {
			asked = n
			if n == 2 {
				select {
				case <-first:
				case <-time.After(20 * time.Second):
					t.Errorf("%s: nothing came of the first page", command)
				}
			}
		}}
		data, end := serveStore(t, store, 0)(command)
		lines := bufio.NewScanner(data)
		count := 0
		for ; lines.Scan(); count++ {
			if want := fmt.Sprintf("%06d.dat", count); !strings.HasSuffix(lines.Text(), want) {
				t.Fatalf("%s: line %d is %q", command, count, lines.Text())
			}
			if count == 0 {
				close(first)
			}
		}
		end()
		if count != manyRows || asked != manyRows/pageRows {
			t.Errorf("%s: %d lines of %d pages", command, count, asked)
		}
	}
}

// A long listing costs no more memory at its end than at its beginning, but for what the cache may keep.
func TestListingMemory(t *testing.T) {
	const keeps = 2 << 20
	for _, command := range []string{"MLSD big", "NLST big"} {
		var early, most uint64
		store := &endless{Store: mem.New(mem.Config{}), page: func(n int) {
			if n%10 != 0 {
				return
			}
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			if n == 10 {
				early = m.HeapAlloc
			}
			most = max(most, m.HeapAlloc)
		}}
		data, end := serveStore(t, store, keeps)(command)
		if _, err := io.Copy(io.Discard, data); err != nil {
			t.Fatal(err)
		}
		end()
		if early == 0 || most > early+keeps+1<<20 {
			t.Errorf("%s: %d KiB at 10,000 rows, up to %d KiB later", command, early>>10, most>>10)
		}
	}
}
