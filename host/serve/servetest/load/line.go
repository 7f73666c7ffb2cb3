package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// lines are connections to one address over HTTP/1.1, each for one request at a time. Of a request they take less
// processor time than http.Client, which on few cores would measure itself.
type lines struct {
	at     string
	dialer net.Dialer

	mu   sync.Mutex
	idle []*line // the one that was used last is used first
}

// line is a connection.
type line struct {
	net.Conn
	r *bufio.Reader
}

// answerTime is the most that an answer may take.
const answerTime = 30 * time.Second

// get is a connection that nobody uses. fresh says that it is new.
func (l *lines) get(ctx context.Context) (c *line, fresh bool, err error) {
	l.mu.Lock()
	if n := len(l.idle); n > 0 {
		c, l.idle = l.idle[n-1], l.idle[:n-1]
	}
	l.mu.Unlock()
	if c != nil {
		return c, false, nil
	}
	conn, err := l.dialer.DialContext(ctx, "tcp", l.at)
	if err != nil {
		return nil, true, err
	}
	return &line{conn, bufio.NewReader(conn)}, true, nil
}

func (l *lines) put(c *line) {
	l.mu.Lock()
	l.idle = append(l.idle, c)
	l.mu.Unlock()
}

// ask sends a request as it is on the wire, and gives its answer's status and, unless that is 200, its body.
func (l *lines) ask(ctx context.Context, request []byte) (status int, text string, err error) {
	for {
		c, fresh, err := l.get(ctx)
		if err != nil {
			return 0, "", err
		}
		status, text, begun, err := l.askOn(c, request)
		if err != nil && !fresh && !begun {
			continue // it was closed while nobody used it
		}
		return status, text, err
	}
}

// askOn asks over a connection. begun says that something of an answer came.
func (l *lines) askOn(c *line, request []byte) (status int, text string, begun bool, err error) {
	if err := c.SetDeadline(time.Now().Add(answerTime)); err != nil {
		return 0, "", false, errors.Join(err, c.Close())
	}
	_, sent := c.Write(request) // a server may answer before it has read all
	if _, err := c.r.Peek(1); err != nil {
		return 0, "", false, errors.Join(sent, err, c.Close())
	}
	a, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return 0, "", true, errors.Join(err, c.Close())
	}
	if a.StatusCode == http.StatusOK {
		_, err = io.Copy(io.Discard, a.Body)
	} else {
		var b []byte
		b, err = io.ReadAll(a.Body)
		text = string(b)
	}
	if err != nil || a.Close || sent != nil {
		return a.StatusCode, text, true, errors.Join(err, c.Close())
	}
	l.put(c)
	return a.StatusCode, text, true, nil
}

// close ends what is idle.
func (l *lines) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.idle {
		_ = c.Close() // nobody is told anything by it
	}
	l.idle = nil
}

// post is a request on the wire.
func post(host, path string, body []byte, header int) []byte {
	return fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/octet-stream\r\nInference-Header-Content-Length: %d\r\nContent-Length: %d\r\n\r\n%s", path, host, header, len(body), body)
}
