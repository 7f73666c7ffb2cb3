package oip

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/vaeguard/vaeguard/host/serve/judge"
	"github.com/vaeguard/vaeguard/host/serve/tensors"
)

// receive reads the body of an inference, unless there is no room for one: it would be refused later, and have cost what
// others could have been judged with. release is as that of read.
func (s *service) receive(w http.ResponseWriter, r *http.Request, name, version string) (body []byte, release func(), err error) {
	none := func() {}
	peer := peerOf(r.RemoteAddr)
	if err = s.admit(r.Context(), wayHTTP, peer, name, version); err == nil {
		err = s.full()
	}
	if err != nil {
		return nil, none, err
	}
	if body, release, err = s.read(w, r); err != nil {
		return nil, release, err
	}
	s.yield()
	return body, release, s.admit(r.Context(), wayHTTP, peer, name, version) // others came while it did
}

// refusing is for how long after a refusal others are expected.
const refusing = time.Second

// yield lets others go first who have less to do: what is to be refused is not to wait for what is to be decoded.
func (s *service) yield() {
	if at := s.refused.Load(); at != 0 && time.Since(time.Unix(0, at)) < refusing {
		runtime.Gosched()
	}
}

// The most of a body that was refused is read, so that its client reads the answer and keeps its connection. net/http
// ends the connection of one that goes on.
const mostDrained = 8 << 20

// TurnAway answers a request whose body was not read to its end: at once, though net/http has the body come first, and
// then lets go of what comes of it. The answer says how long it is.
func TurnAway(w http.ResponseWriter, r *http.Request, answer func()) {
	c := http.NewResponseController(w)
	if r.ProtoMajor != 1 || r.ContentLength == 0 || c.EnableFullDuplex() != nil {
		answer()
		return
	}
	answer()
	if c.Flush() == nil && r.Header.Get("Expect") == "" { // who waits for leave to send sends nothing now
		_, _ = io.CopyN(io.Discard, r.Body, mostDrained) // if it ends early, so be it
	}
}

// read reads a body, undoing its compression: neither what comes nor what it becomes
// may have more than MaxBody bytes. release is called once the body is no longer
// held, also after an error.
func (s *service) read(w http.ResponseWriter, r *http.Request) (body []byte, release func(), err error) {
	m := &tensors.Meter{Held: &s.held, Most: s.memory(), Full: &judge.OverloadedError{Reason: "the server holds as many requests as it has memory for", After: time.Second}}
	body, err = s.readInto(m, w, r)
	return body, m.Release, err
}

func (s *service) readInto(m *tensors.Meter, w http.ResponseWriter, r *http.Request) ([]byte, error) {
	most := s.body()
	large := &fault{status: http.StatusRequestEntityTooLarge, code: codes.ResourceExhausted, message: fmt.Sprintf("the body has more than %d bytes", most)}
	if r.ContentLength > most {
		return nil, large
	}
	from, err := decompress(r.Header.Get("Content-Encoding"), http.MaxBytesReader(w, r.Body, most))
	var b bytes.Buffer
	if err == nil {
		if n := r.ContentLength; n > 0 {
			b.Grow(int(min(n, 1<<20)) + bytes.MinRead) // what is declared has yet to come
		}
		m.Reader = io.LimitReader(from, most+1)
		_, err = b.ReadFrom(m)
	}
	var own *fault
	var over *http.MaxBytesError
	var full *judge.OverloadedError
	switch {
	case errors.As(err, &own) || errors.As(err, &full):
		return nil, err
	case errors.As(err, &over) || int64(b.Len()) > most:
		return nil, large
	case err != nil && r.Context().Err() != nil && !errors.Is(err, io.ErrUnexpectedEOF):
		return nil, context.Cause(r.Context())
	case err != nil:
		return nil, malformed(fmt.Errorf("the body ends early or is not what its headers say: %w", err))
	}
	return b.Bytes(), nil
}

// decompress undoes a content coding. deflate is zlib's format, and what some
// clients take for it: its stream alone.
func decompress(coding string, body io.Reader) (io.Reader, error) {
	switch strings.ToLower(strings.TrimSpace(coding)) {
	case "", "identity":
		return body, nil
	case "gzip", "x-gzip":
		return gzip.NewReader(body)
	case "deflate":
		b := bufio.NewReader(body)
		head, err := b.Peek(2)
		if err != nil {
			return nil, err
		}
		if Zlib(head) {
			return zlib.NewReader(b)
		}
		return flate.NewReader(b), nil
	}
	return nil, &fault{status: http.StatusUnsupportedMediaType, message: fmt.Sprintf("content coding %s, want gzip, deflate or none", tensors.Quote(coding))}
}

// minCompressed is the least answer that is compressed: one packet holds less.
const minCompressed = 1400

// send writes an answer, compressed where the client wants it and it pays.
func send(w http.ResponseWriter, r *http.Request, b []byte) error {
	h := w.Header()
	h.Set("Vary", "Accept-Encoding")
	if coding := accepted(r.Header.Values("Accept-Encoding")); coding != "" && len(b) >= minCompressed {
		var out bytes.Buffer
		var z io.WriteCloser
		if coding == "gzip" {
			z, _ = gzip.NewWriterLevel(&out, gzip.BestSpeed) // the level is valid
		} else {
			z, _ = zlib.NewWriterLevel(&out, zlib.BestSpeed)
		}
		if _, err := z.Write(b); err != nil {
			return err
		}
		if err := z.Close(); err != nil {
			return err
		}
		h.Set("Content-Encoding", coding)
		b = out.Bytes()
	}
	h.Set("Content-Length", strconv.Itoa(len(b)))
	_, _ = w.Write(b) // if the client is gone, so be it
	return nil
}

// accepted is the coding of ours that a client likes best, "" for none: gzip if it
// likes both as well.
func accepted(headers []string) string {
	best, most := "", 0.0
	for _, part := range strings.Split(strings.Join(headers, ","), ",") {
		coding, params, _ := strings.Cut(strings.ToLower(part), ";")
		coding = strings.TrimSpace(coding)
		if coding == "*" {
			coding = "gzip"
		}
		if coding != "gzip" && coding != "deflate" {
			continue
		}
		q := 1.0
		if v, ok := strings.CutPrefix(strings.ReplaceAll(params, " ", ""), "q="); ok {
			var err error
			if q, err = strconv.ParseFloat(v, 64); err != nil {
				q = 0
			}
		}
		if q > most || q == most && q > 0 && coding == "gzip" {
			best, most = coding, q
		}
	}
	return best
}

// Zlib reports whether bytes begin as zlib's format does.
func Zlib(b []byte) bool { return len(b) > 1 && b[0]&15 == 8 && (int(b[0])<<8|int(b[1]))%31 == 0 }
