package serve

import (
	"fmt"
	"math"
	"net"
	"os"
	"strconv"
	"time"
)

// notifier tells systemd of the server's life, as sd_notify(3) does: a datagram to
// the socket that NOTIFY_SOCKET names. Its zero value tells nobody.
type notifier struct {
	socket string
	every  time.Duration // of signs of life; 0: none are wanted
	last   time.Time
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

func (n *notifier) ready()             { n.send("READY=1\nSTATUS=serving") }
func (n *notifier) stopping()          { n.send("STOPPING=1\nSTATUS=draining") }
func (n *notifier) status(text string) { n.send("STATUS=" + text) }

// reloading has the time that Type=notify-reload compares.
func (n *notifier) reloading() {
	n.send(fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d\nSTATUS=reloading", monotonic()))
}

// watchdog is how often alive is to be called.
func (n *notifier) watchdog() time.Duration {
	if n.every == 0 {
		return math.MaxInt64
	}
	return n.every
}

// alive is a sign of life, where one is due.
func (n *notifier) alive() {
	if n.every > 0 && time.Since(n.last) >= n.every/2 {
		n.last = time.Now()
		n.send("WATCHDOG=1")
	}
}
