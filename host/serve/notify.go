package serve

import (
	"fmt"
	"math"
	"net"
	"os"
	"strconv"
	"sync"
	"time"
)

// notifier tells systemd of the server's life, as sd_notify(3) does: a datagram to
// the socket that NOTIFY_SOCKET names. Its zero value tells nobody.
type notifier struct {
	socket string
	every  time.Duration // of signs of life; 0: none are wanted
	last   time.Time     // when one was sent

	mu sync.Mutex
	up bool // it was ready once
}

func newNotifier() *notifier {
	n := &notifier{socket: os.Getenv("NOTIFY_SOCKET")}
	if pid := os.Getenv("WATCHDOG_PID"); pid == "" || pid == strconv.Itoa(os.Getpid()) {
		if micros, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64); err == nil && micros > 0 {
			n.every = time.Duration(micros) * time.Microsecond / 2
		}
	}
	return n
}

// send writes one datagram. Nobody can do anything about one that is lost.
func (n *notifier) send(state string) {
	if n.socket == "" {
		return
	}
	name := n.socket
	if name[0] == '@' { // of the abstract namespace
		name = "\x00" + name[1:]
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		return
	}
	_, _ = c.Write([]byte(state))
	_ = c.Close()
}

func (n *notifier) stopping()          { n.send("STOPPING=1\nSTATUS=draining") }
func (n *notifier) status(text string) { n.send("STATUS=" + text) }

const readyState = "READY=1\nSTATUS=serving"

// ready tells that the server has started, the first time that it is called. first says that it was.
func (n *notifier) ready() (first bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.up {
		return false
	}
	n.up = true
	n.send(readyState)
	return true
}

// reload tells that a reload begins, and done that it has ended. It has the time that Type=notify-reload compares. A server
// that has not been ready yet is starting, whatever it reads meanwhile: its manager hears of no reload then, whose end would be
// taken for the start's.
func (n *notifier) reload() (done func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.up {
		return func() {}
	}
	n.send(fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d\nSTATUS=reloading", monotonic()))
	return func() { n.send(readyState) }
}

// watchdog is how often alive is to be called.
func (n *notifier) watchdog() time.Duration {
	if n.every == 0 {
		return math.MaxInt64
	}
	return n.every
}

// due reports whether it is time for a sign of life.
func (n *notifier) due() bool { return n.every > 0 && time.Since(n.last) >= n.every/2 }

// alive is one.
func (n *notifier) alive() {
	n.last = time.Now()
	n.send("WATCHDOG=1")
}
