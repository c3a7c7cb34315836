package vfs

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sluice/backend"
	"sluice/backend/mem"
	"sluice/backend/transfer"
)

// recovered has another process look for what is left, until nothing is.
func recovered(t *testing.T, s backend.Store) {
	t.Helper()
	engine := transfer.New(transfer.Config{})
	for range 10 {
		left, err := Recover(t.Context(), s, engine)
		if err != nil {
			t.Errorf("recover: %v", err)
		}
		if !left {
			return
		}
		time.Sleep(transfer.Beat)
	}
	t.Error("something is left")
}

// buried makes the journals of a store those of a process that is known to be dead.
func buried(t *testing.T, s *mem.Store, engine *transfer.Engine) {
	t.Helper()
	home, _, found := strings.Cut(engine.Owner(), ".")
	if !found {
		t.Skip("this system does not tell which processes are dead")
	}
	for _, key := range s.Keys() {
		if strings.HasPrefix(key, journals) && !strings.HasSuffix(key, listSuffix) {
			j, obj, err := load(t.Context(), s, engine, key, "")
			if err != nil {
				t.Fatal(err)
			}
			m := newMove(s, engine, j)
			m.key = key
			m.Owner = home + "." + rand.Text() + ".engine.move"
			wantErr(t, "bury", m.write(t.Context(), backend.Condition{ETag: obj.ETag}), nil)
		}
	}
}

// The process dies at each of its requests in turn: before the request took effect, after it, or while it is on its way, so that
// the store carries it out when all has been recovered. Each time the whole directory is under one of its names, and nothing else is there.
func TestRenameDirCrash(t *testing.T) {
	for _, c := range []struct{ old, moved []string }{
		{[]string{"p/d/", "p/d//h", "p/d/a", "p/d/b/c", "q/"}, []string{"p/", "q/", "q/e/", "q/e//h", "q/e/a", "q/e/b/c"}},
		{[]string{"p/d_$folder$", "q/"}, []string{"p/", "q/", "q/e/"}},
	} {
		for _, mode := range []string{"before", "after", "late"} {
			forward, back := 0, 0
			for step, hit := 1, true; hit; step++ {
				synctest.Test(t, func(t *testing.T) {
					s := mem.New(mem.Config{})
					fill(t, s, c.old...)
					dying := &mortal{Store: s, at: step, answer: mode == "after"}
					if mode == "late" {
						dying.late = make(chan struct{})
					}
					tree := newTree(t, Mount{Path: "/", Store: dying, Rights: Full})
					done := make(chan error)
					go func() { done <- tree.Rename(t.Context(), "/p/d", "/q/e") }()
					time.Sleep(time.Hour)
					recovered(t, s)
					if mode == "late" {
						close(dying.late)
					}
					err := <-done
					recovered(t, s)
					if hit = dying.hit; !hit && err != nil { // that the journal alone stays is no failure
						t.Errorf("step %d: %v", step, err)
					}
					switch got := s.Keys(); {
					case slices.Equal(got, c.moved):
						forward++
					case slices.Equal(got, c.old) && err != nil:
						back++
					default:
						t.Errorf("step %d, %s: %v: %q", step, mode, err, got)
					}
				})
			}
			if forward < 5 || back < 5 {
				t.Errorf("%s: %d forward, %d back: not all phases were reached", mode, forward, back)
			}
		}
	}
}

// The same with what comes after a crash: whoever finishes the rename dies as well, at each of its requests.
func TestRecoverCrash(t *testing.T) {
	old := []string{"p/d/", "p/d/a", "p/d/b/c", "q/"}
	moved := []string{"p/", "q/", "q/e/", "q/e/a", "q/e/b/c"}
	for first := 1; first < 40; first++ {
		for second, hit := 1, true; hit; second++ {
			synctest.Test(t, func(t *testing.T) {
				s := mem.New(mem.Config{})
				fill(t, s, old...)
				_ = newTree(t, Mount{Path: "/", Store: &mortal{Store: s, at: first}, Rights: Full}).Rename(t.Context(), "/p/d", "/q/e")
				engine, dying := transfer.New(transfer.Config{}), &mortal{Store: s, at: second}
				_, _ = Recover(t.Context(), dying, engine)
				time.Sleep(transfer.Watch)
				_, _ = Recover(t.Context(), dying, engine)
				hit = dying.hit
				recovered(t, s)
				if got := s.Keys(); !slices.Equal(got, moved) && !slices.Equal(got, old) {
					t.Errorf("steps %d and %d: %q", first, second, got)
				}
			})
		}
	}
}

// A process that is known to be dead is not waited for.
func TestRecoverAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for step := range 30 {
			s := mem.New(mem.Config{})
			fill(t, s, "d/a", "d/b")
			tree := newTree(t, Mount{Path: "/", Store: &mortal{Store: s, at: step}, Rights: Full})
			_ = tree.Rename(t.Context(), "/d", "/e")
			buried(t, s, tree.engine)
			began := time.Now()
			left, err := Recover(t.Context(), s, transfer.New(transfer.Config{}))
			if left || err != nil || time.Since(began) > time.Second {
				t.Errorf("step %d: left %v, %v, after %v", step, left, err, time.Since(began))
			}
			if got := s.Keys(); !slices.Equal(got, []string{"e/a", "e/b"}) && !slices.Equal(got, []string{"d/a", "d/b"}) {
				t.Errorf("step %d: %q", step, got)
			}
		}
	})
}

// A rename that was answered with an error is not carried out later, by the process that has said so.
func TestRecoverGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := mem.New(mem.Config{})
		fill(t, s, "d/a", "d/b")
		tree := newTree(t, Mount{Path: "/", Store: &mortal{Store: s, at: 13}, Rights: Full})
		if err := tree.Rename(t.Context(), "/d", "/e"); err == nil || !slices.Contains(s.Keys(), "e/a") {
			t.Fatalf("%v: %q", err, s.Keys())
		}
		for range 5 {
			_, err := Recover(t.Context(), s, tree.engine)
			wantErr(t, "recover", err, nil)
			time.Sleep(transfer.Beat)
		}
		wantKeys(t, s, "d/a", "d/b")
	})
}

// A rename that takes long keeps its journal young, and Recover leaves it alone, in this process and in another.
func TestRecoverLeavesLiving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := mem.New(mem.Config{Delay: func(op, _ string) time.Duration {
			if op == "copy" {
				return 7 * time.Minute
			}
			return 0
		}})
		fill(t, s, "d/a", "d/b")
		tree := newTree(t, Mount{Path: "/", Store: s, Rights: Full}, Mount{Path: "/again", Store: s, Prefix: "x/", Rights: Full})
		done := make(chan error)
		go func() { done <- tree.Rename(t.Context(), "/d", "/e") }()
		other := transfer.New(transfer.Config{})
		for range 80 {
			time.Sleep(transfer.Beat)
			for _, engine := range []*transfer.Engine{tree.engine, other} {
				if left, err := Recover(t.Context(), s, engine); !left || err != nil {
					t.Fatalf("left %v, %v", left, err)
				}
			}
		}
		wantErr(t, "rename", <-done, nil)
		wantKeys(t, s, "e/a", "e/b")
	})
}

// Who was held up for so long that somebody else has finished his rename begins nothing any more.
func TestRecoverFromLiving(t *testing.T) {
	for _, at := range []int{10, 20, 130, 150} { // while it copies, and while it deletes
		synctest.Test(t, func(t *testing.T) {
			s := mem.New(mem.Config{})
			var moved []string
			for i := range 100 {
				fill(t, s, fmt.Sprintf("d/%02d", i))
				moved = append(moved, fmt.Sprintf("e/%02d", i))
			}
			slow := &mortal{Store: s, at: at, held: make(chan struct{})}
			tree := newTree(t, Mount{Path: "/", Store: slow, Rights: Full})
			done := make(chan error)
			go func() { done <- tree.Rename(t.Context(), "/d", "/e") }()
			synctest.Wait()
			recovered(t, s)
			wantKeys(t, s, moved...)
			close(slow.held)
			wantErr(t, "rename", <-done, ErrBusy)
			wantKeys(t, s, moved...)
			if slow.n > at+2*moveParallel+10 { // those that were under way, what became of them, and a look at the journal
				t.Errorf("held up at request %d, it has sent %d", at, slow.n)
			}
		})
	}
}

// After a crash people go on working: what they have put there since is theirs.
func TestRecoverSparesOthers(t *testing.T) {
	for _, confirmed := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := mem.New(mem.Config{})
			engine := transfer.New(transfer.Config{})
			fill(t, s, "d/a", "d/b", "d/c", "d/f")
			m := newMove(s, engine, journal{From: "d/", To: "e/"})
			if err := errors.Join(m.collect(t.Context(), 10), m.create(t.Context()), m.copyAll(t.Context())); err != nil {
				t.Fatal(err)
			}
			if confirmed {
				wantErr(t, "save", m.save(t.Context(), deleting), nil)
			}
			time.Sleep(time.Minute)
			put(t, s, "d/a", []byte("NEW"), nil) // changed at the source
			put(t, s, "e/b", []byte("new"), nil) // at the destination, with the same size
			_ = s.Delete(t.Context(), "e/c", backend.DeleteOptions{})
			put(t, s, "e/d", []byte("new"), nil)
			recovered(t, s)
			if confirmed {
				// every copy was confirmed, so the sources go, whatever became of the copies: somebody has used them up
				wantKeys(t, s, "d/a", "e/a", "e/b", "e/d", "e/f")
			} else {
				wantKeys(t, s, "d/a", "d/b", "d/c", "d/f", "e/a", "e/b", "e/d")
			}
		})
	}
}

// The items of a large directory do not lie in the journal, and are not left behind either.
func TestRecoverLarge(t *testing.T) {
	const n = inlined + 1
	var old, moved []string
	for i := range n {
		old, moved = append(old, fmt.Sprintf("d/%04d", i)), append(moved, fmt.Sprintf("e/%04d", i))
	}
	forward, back := 0, 0
	for _, answer := range []bool{false, true} {
		for _, step := range []int{5, 6, 7, 8, 9, 10, 500, n + 8, n + 9, n + 10, n + 11, n + 12, 2*n + 8, 2*n + 9, 2*n + 10, 2*n + 11, 2*n + 12, 2*n + 13} {
			synctest.Test(t, func(t *testing.T) {
				s := mem.New(mem.Config{})
				fill(t, s, old...)
				dying := &mortal{Store: s, at: step, answer: answer}
				err := newTree(t, Mount{Path: "/", Store: dying, Rights: Full}).Rename(t.Context(), "/d", "/e")
				recovered(t, s)
				switch got := s.Keys(); {
				case slices.Equal(got, moved):
					forward++
				case slices.Equal(got, old) && err != nil:
					back++
				default:
					t.Errorf("step %d: %v: %d keys from %q to %q", step, err, len(got), got[0], got[len(got)-1])
				}
			})
		}
	}
	if forward < 10 || back < 5 {
		t.Errorf("%d forward, %d back: not all phases were reached", forward, back)
	}
}

// A list whose journal is gone arrived too late, and is removed when nobody can be writing its journal any more.
func TestRecoverStray(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := mem.New(mem.Config{})
		fill(t, s, journals+"X"+listSuffix, "a")
		engine := transfer.New(transfer.Config{})
		if left, err := Recover(t.Context(), s, engine); !left || err != nil || len(s.Keys()) != 2 {
			t.Errorf("left %v, %v: %q", left, err, s.Keys())
		}
		recovered(t, s)
		wantKeys(t, s, "a")
	})
}

// What a dead process has sent arrives while another one goes on with its rename: a copy just before that one makes it, and the delete of
// a copy, by which it wanted to take everything back, when the other could already be deleting the source.
func TestRecoverLate(t *testing.T) {
	for _, c := range []struct {
		inTheWay     string // at the destination when the process has copied
		last, behind string // its last request, and the one of the other that it comes before: operation and start of the key
		want         []string
	}{
		{"", "copy e/b", "copy e/", []string{"e/a", "e/b", "e/c"}},
		{"e/c", "delete e/", "delete d/", []string{"d/a", "d/b", "d/c"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			is := func(want, op, key string) bool { return strings.HasPrefix(op+" "+key, want) }
			var armed, sent atomic.Bool
			late := make(chan struct{})
			s := mem.New(mem.Config{Fault: func(op, key string) error {
				if !armed.Load() {
					return nil
				}
				if is(c.behind, op, key) && !sent.Swap(true) {
					close(late)
				}
				time.Sleep(time.Second) // in which that arrives
				return nil
			}})
			fill(t, s, "d/a", "d/b", "d/c")
			copies := 0
			dying := &mortal{Store: s, late: late, when: func(op, key string) bool {
				if op == "copy" {
					copies++
				}
				if c.inTheWay != "" && op == "list" && copies == 3 {
					fill(t, s, c.inTheWay)
				}
				return is(c.last, op, key)
			}}
			done := make(chan error)
			go func() {
				done <- newTree(t, Mount{Path: "/", Store: dying, Rights: Full}).Rename(t.Context(), "/d", "/e")
			}()
			time.Sleep(time.Hour)
			if c.inTheWay != "" {
				wantErr(t, "make way", s.Delete(t.Context(), c.inTheWay, backend.DeleteOptions{}), nil)
			}
			armed.Store(true)
			recovered(t, s)
			if !sent.Swap(true) {
				close(late)
			}
			if err := <-done; err == nil || !dying.hit {
				t.Errorf("hit %v, %v", dying.hit, err)
			}
			wantKeys(t, s, c.want...)
		})
	}
}

// Who has put a file where the mark of a directory was keeps it.
func TestRecoverSparesMark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := mem.New(mem.Config{})
		put(t, s, "d", nil, map[string]string{"hdi_isfolder": "true"})
		m := newMove(s, transfer.New(transfer.Config{}), journal{From: "d/", To: "e/", Marks: []string{"d"}})
		if err := errors.Join(m.create(t.Context()), m.forward(t.Context())); err != nil {
			t.Fatal(err)
		}
		fill(t, s, "d")
		recovered(t, s)
		wantKeys(t, s, "d", "e/")
	})
}

// Where the version of an object is a digest of its content, the same content uploaded again is not the source of a rename that was
// cut off before.
func TestRecoverSparesSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := mem.New(mem.Config{})
		fill(t, s, "d/a", "d/b")
		engine := transfer.New(transfer.Config{})
		m := newMove(s, engine, journal{From: "d/", To: "e/"})
		if err := errors.Join(m.collect(t.Context(), 10), m.create(t.Context()), m.forward(t.Context())); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		fill(t, s, "d/a")
		again, err := s.Stat(t.Context(), "d/a")
		wantErr(t, "stat", err, nil)
		m.Items[0].ETag = again.ETag
		wantErr(t, "save", m.save(t.Context(), deleting), nil)
		recovered(t, s)
		wantKeys(t, s, "d/a", "e/a", "e/b")
	})
}

// The answer to each writing of the journal in turn is lost: the rename goes its way all the same, and leaves nothing.
func TestRenameDirLostAnswers(t *testing.T) {
	for lost, hit := 1, true; hit; lost++ {
		synctest.Test(t, func(t *testing.T) {
			var writes atomic.Int32
			s := mem.New(mem.Config{
				Delay: func(op, _ string) time.Duration {
					if op == "copy" || op == "delete" {
						return 7 * time.Second // with a beat in it
					}
					return 0
				},
				Lost: func(op, key string) error {
					if op == "put" && strings.HasPrefix(key, journals) && int(writes.Add(1)) == lost {
						return backend.ErrUnavailable
					}
					return nil
				},
			})
			fill(t, s, "d/a", "d/b")
			err := newTree(t, Mount{Path: "/", Store: s, Rights: Full}).Rename(t.Context(), "/d", "/e")
			hit = int(writes.Load()) >= lost
			switch got := s.Keys(); {
			case err == nil && slices.Equal(got, []string{"e/a", "e/b"}):
			case err != nil && slices.Equal(got, []string{"d/a", "d/b"}) && hit:
			default:
				t.Errorf("answer %d: %v: %q", lost, err, got)
			}
		})
	}
}

// The beats of a rename want no buffer: they would wait for one behind the transfers, and its journal would look like that of a dead process.
func TestRenameDirWithoutBuffers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := mem.New(mem.Config{Delay: func(op, _ string) time.Duration {
			if op == "copy" {
				return time.Minute
			}
			return 0
		}})
		fill(t, s, "d/a", "d/b")
		budget := transfer.NewBudget(0, 0)
		tree, err := New(Config{Mounts: []Mount{{Path: "/", Store: s, Rights: Full}}, Engine: transfer.New(transfer.Config{Budget: budget})})
		wantErr(t, "new", err, nil)
		wantErr(t, "rename", tree.Rename(t.Context(), "/d", "/e"), nil)
		if peak := budget.Peak(); peak > 0 || s.Count("put") < 12 {
			t.Errorf("%d bytes of buffers for %d writes", peak, s.Count("put"))
		}
	})
}

// A delete that the store has failed is not tried again when somebody else has taken the rename over.
func TestRenameDirTakenBetweenTries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m *move
		tries := 0
		var s *mem.Store
		s = mem.New(mem.Config{Fault: func(op, key string) error {
			if op != "delete" || key != "d/a" {
				return nil
			}
			tries++
			time.Sleep(transfer.Watch)
			put(t, s, m.key, []byte(`{"Owner": "another"}`), nil)
			return backend.ErrUnavailable
		}})
		fill(t, s, "d/a")
		m = newMove(s, transfer.New(transfer.Config{}), journal{From: "d/", To: "e/"})
		if err := errors.Join(m.collect(t.Context(), 10), m.create(t.Context()), m.forward(t.Context())); err != nil {
			t.Fatal(err)
		}
		if err := m.finish(t.Context(), m.items); !errors.Is(err, errLost) || tries != 1 {
			t.Errorf("%d tries, %v", tries, err)
		}
	})
}

// All has moved, and only the journal cannot be removed: that is no failure, and it is removed later.
func TestRenameDirJournalStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mended atomic.Bool
		s := mem.New(mem.Config{Fault: func(op, key string) error {
			if op == "delete" && strings.HasPrefix(key, journals) && !mended.Load() {
				return backend.ErrUnavailable
			}
			return nil
		}})
		fill(t, s, "d/a")
		wantErr(t, "rename", newTree(t, Mount{Path: "/", Store: s, Rights: Full}).Rename(t.Context(), "/d", "/e"), nil)
		mended.Store(true)
		recovered(t, s)
		wantKeys(t, s, "e/a")
	})
}

// What a dead process has left of a rename keeps others off what it has to do with, until it is over.
func TestRenameDirOverlaps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := mem.New(mem.Config{})
		fill(t, s, "p/d/a", "p/d/s/b", "q/c/x", "z/")
		m := newMove(s, transfer.New(transfer.Config{}), journal{From: "p/d/", To: "q/e/"})
		if err := errors.Join(m.collect(t.Context(), 10), m.create(t.Context()), m.forward(t.Context())); err != nil {
			t.Fatal(err)
		}
		tree := newTree(t, Mount{Path: "/", Store: s, Rights: Full})
		for _, c := range []struct{ from, to string }{
			{"/p/d", "/z/d"}, {"/p/d/s", "/z/s"}, {"/p", "/z/p"}, {"/q", "/z/q"}, {"/q/e", "/z/e"}, {"/q/e/s", "/z/s"}, {"/z", "/q/e/z"},
		} {
			wantErr(t, c.from+" to "+c.to, tree.Rename(t.Context(), c.from, c.to), ErrBusy)
		}
		wantErr(t, "beside", tree.Rename(t.Context(), "/q/c", "/z/c"), nil)
		put(t, s, journals+"garbage", []byte("none"), nil)
		wantErr(t, "beside", tree.Rename(t.Context(), "/z/c", "/q/c"), nil)
		wantErr(t, "tidy up", s.Delete(t.Context(), journals+"garbage", backend.DeleteOptions{}), nil)
		recovered(t, s)
		wantErr(t, "when it is over", tree.Rename(t.Context(), "/q/e", "/z/e"), nil)
		wantKeys(t, s, "q/c/x", "z/", "z/e/a", "z/e/s/b")
	})
}

// A journal that has come late waits for the rename of the living that it overlaps, and so do others for one another.
func TestRecoverOverlaps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := mem.New(mem.Config{})
		fill(t, s, "d/a")
		engine := transfer.New(transfer.Config{})
		var moves []*move
		for range 3 {
			m := newMove(s, engine, journal{From: "d/", To: "e/"})
			wantErr(t, "begin", errors.Join(m.collect(t.Context(), 10), m.create(t.Context())), nil)
			moves = append(moves, m)
		}
		stop := moves[0].heartbeat(t.Context(), nil)
		other := transfer.New(transfer.Config{})
		for range 5 {
			if left, err := Recover(t.Context(), s, other); !left || err != nil {
				t.Errorf("left %v, %v", left, err)
			}
			time.Sleep(transfer.Beat)
		}
		if n := len(s.Keys()); n != 4 || s.Count("copy") > 0 {
			t.Errorf("%q", s.Keys())
		}
		stop()
		wantErr(t, "finish", errors.Join(moves[0].forward(t.Context()), moves[0].finish(t.Context(), moves[0].items), moves[0].remove(t.Context())), nil)
		recovered(t, s)
		wantKeys(t, s, "e/a")
	})
}

// What a client has put at the destination since the crash is no copy, though it is as long and came soon: it stays, and so does what was never copied.
func TestRecoverSparesSameSize(t *testing.T) {
	for _, phase := range []phase{copying, undoing} {
		synctest.Test(t, func(t *testing.T) {
			s := mem.New(mem.Config{})
			fill(t, s, "d/a", "d/b")
			m := newMove(s, transfer.New(transfer.Config{}), journal{From: "d/", To: "e/"})
			wantErr(t, "begin", errors.Join(m.collect(t.Context(), 10), m.create(t.Context()), m.save(t.Context(), phase)), nil)
			put(t, s, "e/a", []byte("NEW"), nil)
			put(t, s, "e/b", []byte("d/b"), nil) // a copy
			recovered(t, s)
			wantKeys(t, s, "d/a", "d/b", "e/a")
		})
	}
}

// A copy that the store made long after the process that had sent it was killed is a copy all the same.
func TestRecoverLongAfter(t *testing.T) {
	for _, back := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := mem.New(mem.Config{})
			fill(t, s, "d/a", "d/b")
			m := newMove(s, transfer.New(transfer.Config{}), journal{From: "d/", To: "e/"})
			wantErr(t, "begin", errors.Join(m.collect(t.Context(), 10), m.create(t.Context())), nil)
			time.Sleep(time.Hour)
			wantErr(t, "copy", m.copyAll(t.Context()), nil)
			want := []string{"e/a", "e/b"}
			if back {
				fill(t, s, "d/a")
				want = []string{"d/a", "d/b", "e/a"} // who knows whose that is
			}
			recovered(t, s)
			wantKeys(t, s, want...)
		})
	}
}

// Going back, a copy that arrives soon after the death of who has sent it is still removed.
func TestRecoverWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := mem.New(mem.Config{})
		fill(t, s, "d/a", "d/b")
		engine := transfer.New(transfer.Config{})
		m := newMove(s, engine, journal{From: "d/", To: "e/"})
		wantErr(t, "begin", errors.Join(m.collect(t.Context(), 10), m.create(t.Context()), m.save(t.Context(), undoing)), nil)
		buried(t, s, engine)
		time.AfterFunc(transfer.Tenure, func() { put(t, s, "e/a", []byte("d/a"), nil) })
		left, err := Recover(t.Context(), s, transfer.New(transfer.Config{}))
		if left || err != nil {
			t.Errorf("left %v, %v", left, err)
		}
		time.Sleep(transfer.Watch)
		wantKeys(t, s, "d/a", "d/b")
	})
}

// Where neither versions nor the store's checksums tell, the bytes do.
func TestSame(t *testing.T) {
	long := strings.Repeat("x", 100_000)
	s := unsummed{mem.New(mem.Config{})}
	m := newMove(s, transfer.New(transfer.Config{}), journal{})
	for _, c := range []struct {
		a, b string
		same bool
	}{{long, long, true}, {long, long[1:] + "y", false}, {"a", "b", false}, {"a", "ab", false}, {"", "", true}} {
		put(t, s, "a", []byte(c.a), nil)
		put(t, s, "b", []byte(c.b), nil)
		a, _ := s.Store.Stat(t.Context(), "a")
		b, _ := s.Store.Stat(t.Context(), "b")
		if same, err := m.same(t.Context(), a, b); same != c.same || err != nil {
			t.Errorf("%d and %d bytes: %v, %v", len(c.a), len(c.b), same, err)
		}
		if len(c.a) > 0 {
			put(t, s, "b", []byte(c.a), nil)
			if same, err := m.same(t.Context(), a, b); same || err != nil {
				t.Errorf("another version: %v, %v", same, err)
			}
		}
	}
}

// unsummed is a store that keeps no checksums.
type unsummed struct{ *mem.Store }

func (u unsummed) Stat(ctx context.Context, key string) (backend.Object, error) {
	o, err := u.Store.Stat(ctx, key)
	o.Checksums = nil
	return o, err
}

// mute cannot write journals while it is broken.
type mute struct {
	backend.Store
	broken atomic.Bool
}

func (m *mute) Put(ctx context.Context, key string, p []byte, opts backend.PutOptions) (backend.Object, error) {
	if m.broken.Load() && strings.HasPrefix(key, journals) {
		return backend.Object{}, backend.ErrUnavailable
	}
	return m.Store.Put(ctx, key, p, opts)
}

// A process that cannot write its journal is not taken for one that has given up, by itself, while it is still at the rename.
func TestRecoverLeavesOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m mute
		s := mem.New(mem.Config{Delay: func(op, _ string) time.Duration {
			if op == "copy" {
				m.broken.Store(true)
				return time.Minute
			}
			return 0
		}})
		m.Store = s
		fill(t, s, "d/a", "d/b")
		tree := newTree(t, Mount{Path: "/", Store: &m, Rights: Full})
		done := make(chan error)
		go func() { done <- tree.Rename(t.Context(), "/d", "/e") }()
		for range 10 {
			time.Sleep(transfer.Beat)
			if left, err := Recover(t.Context(), s, tree.engine); !left || err != nil {
				t.Errorf("left %v, %v", left, err)
			}
		}
		m.broken.Store(false)
		wantErr(t, "rename", <-done, nil)
		wantKeys(t, s, "e/a", "e/b")
	})
}
