package caller

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/vaeguard/vaeguard/sdk"
)

// A connection begins with a proof of the key at both ends:
//
//	vaeguard: magic, 32 random bytes a
//	lender:   32 random bytes b, HMAC-SHA256(key, "lender" a b)
//	vaeguard: HMAC-SHA256(key, "vaeguard" a b)
//
// Then there are frames: a byte that says which, the length of what follows (uint32,
// little-endian), and that many bytes. vaeguard sends a call, the name of a method
// of sdk/proto, and a message, its request; the lender answers with a message or an
// error, "KIND\nTEXT" with the kinds of package sdk, and the next call may
// follow. Of Differentiate, messages go to and fro until the connection is closed.
const (
	magic = "vaeguard caller 1\n"

	frameCall    = 'C'
	frameMessage = 'M'
	frameError   = 'X'

	nonceSize = 32
	headSize  = 5
)

// maxError is the longest text of an error that is read, in bytes.
const maxError = 1 << 16

// greeting is how long a proof may take: nothing is computed for it.
const greeting = 30 * time.Second

// link is where the lender is reached. It keeps connections that no call uses.
type link struct {
	network, address string
	key              []byte

	mu     sync.Mutex
	free   []*channel
	closed bool
}

// newLink reads the value of Variable.
func newLink(where string) (*link, error) {
	parts := strings.SplitN(where, " ", 3)
	if len(parts) != 3 || parts[0] != "unix" && parts[0] != "tcp" {
		return nil, sdk.Errorf(sdk.FailedPrecondition, "%s is not of the form: unix KEY PATH, or tcp KEY HOST:PORT", Variable)
	}
	key, err := hex.DecodeString(parts[1])
	if err != nil || len(key) != sha256.Size {
		return nil, sdk.Errorf(sdk.FailedPrecondition, "%s has no key of %d bytes in hex", Variable, sha256.Size)
	}
	return &link{network: parts[0], address: parts[2], key: key}, nil
}

// take is a connection to the lender, a new one if none is free.
func (l *link) take(ctx context.Context) (*channel, error) {
	l.mu.Lock()
	if n := len(l.free); n > 0 {
		c := l.free[n-1]
		l.free = l.free[:n-1]
		l.mu.Unlock()
		return c, nil
	}
	l.mu.Unlock()
	var d net.Dialer
	conn, err := d.DialContext(ctx, l.network, l.address)
	if err != nil {
		return nil, gone(ctx, err)
	}
	c := &channel{conn: conn, in: bufio.NewReaderSize(conn, 1<<16)}
	if err := c.greet(ctx, l.key); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return c, nil
}

// give keeps a connection for the next call.
func (l *link) give(c *channel) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		_ = c.conn.Close()
		return
	}
	l.free = append(l.free, c)
}

func (l *link) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for _, c := range l.free {
		_ = c.conn.Close()
	}
	l.free = nil
}

// channel is one connection.
type channel struct {
	conn net.Conn
	in   *bufio.Reader
}

// during does f, which ends early if ctx does; the channel is of no use then.
func (c *channel) during(ctx context.Context, f func() error) error {
	stop := context.AfterFunc(ctx, func() { _ = c.conn.Close() })
	err := f()
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		_ = c.conn.Close()
	}
	return gone(ctx, err)
}

// greet proves the key to the lender, and has it proved.
func (c *channel) greet(ctx context.Context, key []byte) error {
	ctx, cancel := context.WithTimeout(ctx, greeting)
	defer cancel()
	return c.during(ctx, func() error {
		a := make([]byte, nonceSize)
		_, _ = rand.Read(a) // never fails
		if _, err := c.conn.Write(append([]byte(magic), a...)); err != nil {
			return err
		}
		answer := make([]byte, nonceSize+sha256.Size)
		if _, err := io.ReadFull(c.in, answer); err != nil {
			return err
		}
		b := answer[:nonceSize]
		if !hmac.Equal(answer[nonceSize:], proof(key, "lender", a, b)) {
			return status.Error(codes.FailedPrecondition, "who answers there does not know the key, and is not the program that lends the model")
		}
		_, err := c.conn.Write(proof(key, "vaeguard", a, b))
		return err
	})
}

func proof(key []byte, who string, a, b []byte) []byte {
	h := hmac.New(sha256.New, key)
	_, _ = h.Write(slices.Concat([]byte(who), a, b)) // never fails
	return h.Sum(nil)
}

// send writes frames in one go: kinds[i] with parts[i].
func (c *channel) send(kinds string, parts ...[]byte) error {
	var all net.Buffers
	for i, p := range parts {
		head := make([]byte, headSize)
		head[0] = kinds[i]
		binary.LittleEndian.PutUint32(head[1:], uint32(len(p)))
		all = append(all, head, p)
	}
	_, err := all.WriteTo(c.conn)
	return err
}

// receive reads a message of at most room bytes. What the lender says went wrong is
// a status, after which the connection is as good as before.
func (c *channel) receive(room int) ([]byte, error) {
	var head [headSize]byte
	if _, err := io.ReadFull(c.in, head[:]); err != nil {
		return nil, err
	}
	n := int64(binary.LittleEndian.Uint32(head[1:]))
	switch head[0] {
	case frameMessage:
		if n > int64(room) {
			return nil, status.Errorf(codes.Internal, "the answer has %d bytes, at most %d were asked for", n, room)
		}
	case frameError:
		if n > maxError {
			return nil, status.Errorf(codes.Internal, "an error of %d bytes", n)
		}
	default:
		return nil, status.Errorf(codes.Internal, "a frame of kind %q", head[0])
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(c.in, body); err != nil {
		return nil, err
	}
	if head[0] == frameError {
		return nil, &refusal{refused(string(body))}
	}
	return body, nil
}

// refusal is an answer too: an error that the lender reports.
type refusal struct{ error }

// refused is the status of an error frame.
func refused(text string) error {
	kind, message, _ := strings.Cut(text, "\n")
	code, ok := map[string]codes.Code{
		"invalid_argument": codes.InvalidArgument, "unimplemented": codes.Unimplemented, "failed_precondition": codes.FailedPrecondition,
		"resource_exhausted": codes.ResourceExhausted,
	}[kind]
	if !ok {
		code = codes.Internal
	}
	return status.Error(code, message)
}

// gone is err as a status. A connection that fails is no reason to start the plugin
// again, since the lender would not come back.
func gone(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return status.FromContextError(ctx.Err()).Err()
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	return status.Error(codes.FailedPrecondition, fmt.Sprintf("the program that lends the model does not answer: %v", err))
}
