package oip

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/vaeguard/vaeguard/sdk"
)

// maxPause is the longest pause before a retry that the server did not ask for.
const maxPause = 10 * time.Second

// fault is why one try of a request failed.
type fault struct {
	kind    sdk.Kind
	retry   bool          // the same request may succeed later
	after   time.Duration // the server asks for this pause at least
	missing bool          // the server does not know what was asked for
	message string
}

func faultf(kind sdk.Kind, format string, args ...any) *fault {
	return &fault{kind: kind, message: fmt.Sprintf(format, args...)}
}

// broken is a fault of the connection. Those that were refused or cut may heal;
// a name that is unknown and a certificate that is wrong do not.
func broken(err error) *fault {
	f := &fault{kind: sdk.FailedPrecondition, message: err.Error()}
	var op *net.OpError
	var dns *net.DNSError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		f.retry, f.message = true, "the connection was cut"
	case errors.As(err, &dns):
	case errors.As(err, &op):
		f.retry = op.Op == "dial" || op.Op == "read" || op.Op == "write"
	case strings.Contains(f.message, "server closed idle connection"):
		f.retry = true
	}
	return f
}

// caller makes requests of one model and decides about retries. What goes
// wrong with the server is FailedPrecondition or Internal, never Unavailable:
// that means the plugin itself, and a new plugin would not help.
type caller struct {
	server, model string // as errors name them
	token         string // never shown
	timeout       time.Duration
	deadline      time.Duration
	backoff       time.Duration
	retries       int
	seed          uint64
	calls         atomic.Uint64
	sleep         func(context.Context, time.Duration) error
}

func newCaller(s *settings, seed uint64) *caller {
	c := &caller{server: s.server(), model: fmt.Sprintf("model %q", s.Model), token: s.Token, timeout: seconds(s.Timeout),
		deadline: seconds(s.Deadline), backoff: seconds(s.Backoff), retries: s.Retries, seed: seed, sleep: sleep}
	if s.Version != "" {
		c.model += " version " + s.Version
	}
	return c
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// pause is the time before retry number try, from 0, of call number call:
// backoff·2^try, of which the upper half is drawn, so that many clients do not
// come back together. Same seed, same pauses.
func (c *caller) pause(call uint64, try int) time.Duration {
	full := min(c.backoff<<min(try, 20), maxPause)
	u := rand.New(rand.NewPCG(c.seed, call<<8|uint64(try))).Float64()
	return full/2 + time.Duration(float64(full/2)*u)
}

// do makes one request, as often as it takes and is allowed: at most 1 +
// retries times, each within timeout, and all together within deadline.
func (c *caller) do(parent context.Context, op string, request func(context.Context) *fault) error {
	call := c.calls.Add(1)
	ctx, cancel := context.WithTimeout(parent, c.deadline)
	defer cancel()
	for try := 0; ; try++ {
		attempt, stop := context.WithTimeout(ctx, c.timeout)
		f := request(attempt)
		late := past(attempt)
		stop()
		switch {
		case f == nil:
			return nil
		case past(parent):
			return fmt.Errorf("%s, %s: %s: %w", c.server, c.model, op, cmp.Or(parent.Err(), context.DeadlineExceeded))
		case past(ctx):
			return c.error(op, faultf(sdk.FailedPrecondition, "no answer within the deadline of %v", c.deadline), try)
		case late:
			return c.error(op, faultf(sdk.FailedPrecondition, "no answer within %v", c.timeout), try)
		case !f.retry || try >= c.retries:
			return c.error(op, f, try)
		}
		pause := max(f.after, c.pause(call, try))
		if end, _ := ctx.Deadline(); time.Until(end) <= pause {
			f.message += fmt.Sprintf("; the next try, in %v, would be after the deadline of %v", pause.Round(time.Millisecond), c.deadline)
			return c.error(op, f, try)
		}
		if c.sleep(ctx, pause) != nil && parent.Err() != nil {
			return fmt.Errorf("%s, %s: %s: %w", c.server, c.model, op, parent.Err())
		}
	}
}

// past says whether ctx is over or its deadline has come: a server that was
// told the deadline may hang up before the timer of ctx goes off here.
func past(ctx context.Context) bool {
	end, ok := ctx.Deadline()
	return ctx.Err() != nil || ok && !time.Now().Before(end)
}

// missing says that the server does not know what was asked for.
type missing struct{ error }

func (m missing) Unwrap() error { return m.error }

// error is f for the user, after some retries.
func (c *caller) error(op string, f *fault, retries int) error {
	message := f.message
	if c.token != "" {
		message = strings.ReplaceAll(message, c.token, "***")
	}
	if retries > 0 {
		message += fmt.Sprintf(" (given up after %d tries)", retries+1)
	}
	err := sdk.Errorf(f.kind, "%s, %s: %s: %s", c.server, c.model, op, message)
	if f.missing {
		return missing{err}
	}
	return err
}

// printable is what a server said, fit for one line of a log.
func printable(text string) string {
	const most = 300
	text = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(text, "�"), func(r rune) bool {
		return unicode.IsSpace(r) || !unicode.IsPrint(r)
	}), " ")
	if runes := []rune(text); len(runes) > most {
		text = string(runes[:most]) + "…"
	}
	return text
}
