package dataconn

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"testing"
)

// network is a connection whose reads give what is waiting, as much as is asked for, and whose writes are counted.
type network struct {
	net.Conn
	waiting  []byte
	segment  int // the most that one read gives; 0: all
	received []int
	sent     []int
	bytes    bytes.Buffer
	room     int // writes that succeed
}

var errBroken = errors.New("broken")

func (n *network) Read(p []byte) (int, error) {
	if len(n.waiting) == 0 {
		return 0, io.EOF
	}
	if n.segment > 0 {
		p = p[:min(len(p), n.segment)]
	}
	k := copy(p, n.waiting)
	n.waiting = n.waiting[k:]
	n.received = append(n.received, k)
	return k, nil
}

func (n *network) Write(p []byte) (int, error) {
	if len(n.sent) == n.room {
		return 0, errBroken
	}
	n.sent = append(n.sent, len(p))
	return n.bytes.Write(p)
}

func noise(n int) []byte {
	p := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(p)
	return p
}

// TestBulkReads: from a client that is fast for long, several records are received at once; from a slow one, what is asked for. The
// end of the transport is seen when all has been read, not before.
func TestBulkReads(t *testing.T) {
	want := noise(3*bulkFrom + 12345)
	n := &network{waiting: want}
	c := &rawConn{Conn: n, in: []byte("hello")}
	head := make([]byte, 5)
	if _, err := io.ReadFull(c, head); err != nil || string(head) != "hello" || len(n.received) > 0 {
		t.Fatalf("%q, %v, after %d reads", head, err, len(n.received))
	}
	var got []byte
	for p := make([]byte, record+512); ; {
		if n.segment == 0 && len(got) > 2*bulkFrom {
			if m := slices.Max(n.received); m != bulkSize {
				t.Errorf("%d bytes at once, want %d", m, bulkSize)
			}
			n.segment = 1000
		}
		k, err := c.Read(p)
		got = append(got, p[:k]...)
		if err == io.EOF {
			break
		}
		if err != nil || c.eof.Load() {
			t.Fatal(err, c.eof.Load())
		}
	}
	if !bytes.Equal(got, want) || !c.eof.Load() {
		t.Errorf("%d bytes of %d, end seen: %v", len(got), len(want), c.eof.Load())
	}
	if i := slices.Index(n.received, bulkSize); i*(record+512) < bulkFrom-record {
		t.Errorf("in bulk from read %d on", i)
	}
	if c.bulk != nil {
		t.Error("a slow client keeps the buffer")
	}
}

// TestGatheredWrites: records leave together, in order, all of them; behind one that could not be sent nothing follows.
func TestGatheredWrites(t *testing.T) {
	want := noise(10 * record)
	n := &network{room: 100}
	c := &rawConn{Conn: n}
	records := func() (sent int, err error) {
		for p := range slices.Chunk(want, record+22) {
			k, err := c.Write(p)
			if sent += k; err != nil {
				return sent, err
			}
		}
		return sent, nil
	}
	if k, err := c.gather(records); k != len(want) || err != nil {
		t.Fatal(k, err)
	}
	if !bytes.Equal(n.bytes.Bytes(), want) || len(n.sent) != 3 {
		t.Errorf("%d bytes in %d writes", n.bytes.Len(), len(n.sent))
	}
	if k, err := c.Write([]byte("now")); k != 3 || err != nil || len(n.sent) != 4 {
		t.Error(k, err, n.sent)
	}

	n.room = len(n.sent) + 1
	if _, err := c.gather(records); !errors.Is(err, errBroken) {
		t.Errorf("%v", err)
	}
	n.room = 100
	if _, err := c.Write([]byte("close_notify")); !errors.Is(err, errBroken) {
		t.Errorf("%v behind a gap", err)
	}
	if k, err := c.gather(func() (int, error) { return c.Write([]byte("more")) }); err == nil || k != 0 {
		t.Errorf("%d, %v behind a gap", k, err)
	}
	if len(n.sent) != 5 {
		t.Errorf("%d writes", len(n.sent))
	}
}

// TestBuffersAreFew: who stalls keeps a buffer, and there are only so many; they come back when a connection is given up, and whoever
// finds none goes on without.
func TestBuffersAreFew(t *testing.T) {
	most := bulks.most.Load()
	bulks.most.Store(bulks.taken.Load() + 2)
	defer bulks.most.Store(most)
	before := bulks.taken.Load()
	var conns []*rawConn
	for range 3 {
		c := &rawConn{Conn: &network{waiting: noise(3 * bulkFrom)}}
		conns = append(conns, c)
		for c.received < 2*bulkFrom {
			if _, err := c.Read(make([]byte, record+512)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if conns[0].bulk == nil || conns[1].bulk == nil || conns[2].bulk != nil {
		t.Error("the buffers are with the wrong ones")
	}
	for _, c := range conns {
		c.aborted.Store(true)
		c.stand()
		c.stand()
	}
	if n := bulks.taken.Load() - before; n != 0 {
		t.Errorf("%d are not given back", n)
	}
	if !conns[2].sit() || bulks.taken.Load() != before {
		t.Error("one that was given up keeps a seat")
	}
}
