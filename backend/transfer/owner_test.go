package transfer

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sluice/backend"
	"sluice/backend/mem"
)

// neighbour lets this test binary, started as a process of its own, tell its name and then wait to be killed.
const neighbour = "SLUICE_TRANSFER_TEST_NEIGHBOUR"

func TestMain(m *testing.M) {
	if os.Getenv(neighbour) != "" {
		fmt.Println(New(Config{}).Owner())
		time.Sleep(time.Minute)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// That a process on this machine is dead is known as soon as it is, and not before.
func TestOwnerKilled(t *testing.T) {
	e := New(Config{})
	if !strings.Contains(e.Owner(), ".") {
		t.Skip("this system does not tell which processes are dead")
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), neighbour+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	owner, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	owner = strings.TrimSpace(owner)
	s, obj := mem.New(mem.Config{}), backend.Object{Key: "k", ETag: "1"}
	if e.Dead(s, obj, owner) || e.Dead(s, obj, e.Owner()) {
		t.Error("a living process is said to be dead")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	if !e.Dead(s, obj, owner+".more") {
		t.Error("a killed process is not said to be dead")
	}
	_, rest, _ := strings.Cut(owner, ".")
	for _, elsewhere := range []string{"other." + rest, "." + rest, rest, "", "."} {
		if e.Dead(s, obj, elsewhere) {
			t.Errorf("%q is said to be dead, and nobody can know", elsewhere)
		}
	}
}

// Of a process elsewhere it shows by its not writing, whatever the clocks of store and machine say.
func TestOwnerSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, s := New(Config{}), mem.New(mem.Config{})
		for _, clock := range []time.Duration{0, -24 * time.Hour, 24 * time.Hour} {
			for i := range 10 { // it beats
				obj := backend.Object{Key: "k", ETag: fmt.Sprint(clock, i), Updated: time.Now().Add(clock)}
				if e.Dead(s, obj, "elsewhere") {
					t.Errorf("clock %v: dead at beat %d", clock, i)
				}
				time.Sleep(Beat)
			}
			last := backend.Object{Key: "k", ETag: fmt.Sprint(clock, 9), Updated: time.Now().Add(clock)}
			time.Sleep(Watch - Beat - time.Millisecond)
			if e.Dead(s, last, "elsewhere") {
				t.Errorf("clock %v: dead too early", clock)
			}
			time.Sleep(time.Millisecond)
			if !e.Dead(s, last, "elsewhere") {
				t.Errorf("clock %v: not dead", clock)
			}
		}
	})
}
