package transfer

import (
	"crypto/rand"
	"errors"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"

	"sluice/backend"
)

// An owner names itself in what it leaves in a store as HOME.PROCESS.ENGINE: where it runs, what others there can find it by while it
// lives, and which Engine of the process it is. Where it could not be found, the name is ENGINE alone.

// process is this process as others in its home find it. It holds a socket open until the kernel closes it at the end of the process,
// however that comes: no name of such a socket outlives it, and none is given twice.
var process = sync.OnceValue(func() (p struct {
	name   string // HOME.PROCESS; empty where nobody can find it
	socket *net.UnixConn
}) {
	at, token := home(), rand.Text()
	if at == "" {
		return p
	}
	if socket, err := net.ListenUnixgram("unixgram", door(token)); err == nil {
		p.name, p.socket = at+"."+token, socket
	}
	return p
})

// home names this machine since its last start, and the network namespace in it, which a pod keeps when its container
// starts anew. Within one, abstract names of sockets have one meaning (unix(7)): another namespace can only have the same number when
// nothing is left of the first. Empty where the system does not tell.
func home() string {
	if runtime.GOOS != "linux" {
		return ""
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	namespace, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return ""
	}
	return digest(strings.TrimSpace(string(boot)) + " " + namespace)
}

// door is the abstract address of a process's socket.
func door(token string) *net.UnixAddr {
	return &net.UnixAddr{Name: "@sluice/" + token, Net: "unixgram"}
}

// gone reports whether it is certain that the process of an owner is dead: it was one of this home, and nothing holds its socket.
// Any doubt is false.
func gone(owner string) bool {
	at, rest, _ := strings.Cut(owner, ".")
	token, _, found := strings.Cut(rest, ".")
	if !found || at != home() {
		return false
	}
	conn, err := net.DialUnix("unixgram", nil, door(token))
	if err == nil {
		_ = conn.Close() // nothing was sent
		return false
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// Owner is the name of this Engine in what it leaves in stores. Names may be made of it by adding ".", and more.
func (e *Engine) Owner() string { return e.id }

// Dead reports whether the owner of an object, who writes it every Beat while he lives and begins nothing later than Tenure after he
// did, is dead: either it is certain that the process has ended, or this Engine has looked at the object before and
// long enough ago, by its own clock, and it is still that version. For the latter it has to be asked again after Watch.
func (e *Engine) Dead(store backend.Store, obj backend.Object, owner string) bool {
	s := e.observe(placeOf(store, obj.Key), obj.ETag)
	return s.unchanged() || gone(owner)
}
