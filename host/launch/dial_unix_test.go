//go:build unix

package launch

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// victim is a socket of another program, and whether somebody has called it.
func victim(t *testing.T, network, address string) (at string, called func() bool) {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	calls := make(chan struct{}, 100)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				close(calls)
				return
			}
			_ = c.Close()
			calls <- struct{}{}
		}
	}()
	// Whoever called did so before this one, which is the last.
	return l.Addr().String(), func() bool {
		c, err := net.Dial(network, l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
		<-calls
		select {
		case <-calls:
			return true
		case <-time.After(50 * time.Millisecond):
			return false
		}
	}
}

// TestSocketOfAnother: a plugin does not have the host call somebody else's socket by a link, as
// it starts or later, nor a port if it has no network.
func TestSocketOfAnother(t *testing.T) {
	at, called := victim(t, "unix", filepath.Join(shortDir(t), "v"))
	for name, cmd := range map[string]Command{
		"a link":               act("link", "ELSEWHERE="+at),
		"a link to its folder": act("link", "ELSEWHERE="+filepath.Dir(at), "BELOW=/v"),
	} {
		_, err := Start(t.Context(), Options{Command: cmd, StartTimeout: time.Minute})
		var e *Error
		if !errors.As(err, &e) || e.Op != "handshake" || !strings.Contains(err.Error(), "it names the socket") || !strings.Contains(err.Error(), "a link") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if called() {
		t.Fatal("the other socket was called")
	}

	folder := shortDir(t)
	own := filepath.Join(folder, "s")
	l, err := net.Listen("unix", own)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	defer l.Close()
	r := &osRunner{sockets: folder}
	if _, err := r.dial(t.Context(), ""); err == nil {
		t.Error("it was called before it named an address")
	}
	if _, _, err := r.PluginToHost("unix", own); err != nil {
		t.Fatal(err)
	}
	c, err := r.dial(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	if err := os.Remove(own); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(at, own); err != nil { // after it was looked at
		t.Fatal(err)
	}
	for _, dial := range map[string]func() (net.Conn, error){
		"as the host does":    func() (net.Conn, error) { return r.dial(t.Context(), "") },
		"as on other systems": func() (net.Conn, error) { return dialPlain(t.Context(), folder, own) },
	} {
		if c, err := dial(); err == nil || !strings.Contains(err.Error(), "a link") {
			t.Errorf("%v, %v", c, err)
		}
	}
	if err := os.Remove(own); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(own, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err := r.dial(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("a file: %v, %v", c, err)
	}
	if called() {
		t.Fatal("the other socket was called")
	}

	port, _ := victim(t, "tcp", "127.0.0.1:0")
	for name, b := range map[string]*box{"confined": {}, "confined with a network": {Network: true}, "not confined": nil} {
		r := &osRunner{box: b}
		if _, _, err := r.PluginToHost("tcp", port); (err != nil) != (name == "confined") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// shortDir is a folder whose name leaves room for that of a socket.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "vg")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
