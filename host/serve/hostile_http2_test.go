package serve_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/codes"

	"github.com/vaeguard/vaeguard/host/serve/inference"
)

// wire2 is a connection of HTTP/2 whose frames a test writes itself. What comes is read beside, and no window is
// ever opened for it.
type wire2 struct {
	net.Conn
	*http2.Framer
	out    *bufio.Writer
	fields bytes.Buffer
	hpack  *hpack.Encoder
	next   uint32 // id of a stream

	mu     sync.Mutex
	said   map[uint32]*told2
	away   string
	closed chan struct{}
	change chan struct{}
}

// told2 is what a stream was answered.
type told2 struct {
	text  string
	ended bool
}

// http2 speaks HTTP/2 with a listener.
func (s *running) http2(t *testing.T, listener string, settings ...http2.Setting) *wire2 {
	t.Helper()
	c := s.dial(t, listener)
	t.Cleanup(func() { _ = c.Close() })
	w := &wire2{Conn: c, out: bufio.NewWriterSize(c, 64<<10), next: 1, said: map[uint32]*told2{}, closed: make(chan struct{}), change: make(chan struct{}, 1)}
	w.Framer = http2.NewFramer(w.out, c)
	w.AllowIllegalWrites = true
	w.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	w.hpack = hpack.NewEncoder(&w.fields)
	_ = c.SetDeadline(time.Now().Add(3 * clientSeconds * time.Second))
	_, _ = w.out.WriteString(http2.ClientPreface)
	_ = w.WriteSettings(settings...)
	go w.listen()
	return w
}

// listen notes what comes.
func (w *wire2) listen() {
	defer close(w.closed)
	for {
		f, err := w.ReadFrame()
		var one http2.StreamError
		if err != nil && !errors.As(err, &one) {
			return
		}
		w.mu.Lock()
		id := uint32(0)
		if f != nil {
			id = f.Header().StreamID
		}
		at := w.said[id]
		if at == nil {
			at = &told2{}
			w.said[id] = at
		}
		switch f := f.(type) {
		case *http2.MetaHeadersFrame:
			for _, h := range f.Fields {
				switch h.Name {
				case ":status":
					at.text += h.Value + " "
				case "grpc-status":
					n, _ := strconv.Atoi(h.Value)
					at.text += codes.Code(n).String() + " "
				case "grpc-message":
					at.text += h.Value
				}
			}
			at.ended = at.ended || f.StreamEnded()
		case *http2.DataFrame:
			if len(at.text) < 4096 {
				at.text += string(f.Data())
			}
			at.ended = at.ended || f.StreamEnded()
		case *http2.RSTStreamFrame:
			at.text, at.ended = at.text+"RST_STREAM "+f.ErrCode.String(), true
		case *http2.GoAwayFrame:
			w.away += "GOAWAY " + f.ErrCode.String() + " " + string(f.DebugData())
		}
		w.mu.Unlock()
		select {
		case w.change <- struct{}{}:
		default:
		}
	}
}

// answer is what a stream was answered, once it or the connection has ended. Of stream 0 it is how the
// connection ended.
func (w *wire2) answer(id uint32) string {
	_ = w.out.Flush()
	ended := false
	for {
		w.mu.Lock()
		at := w.said[id]
		said := w.away
		if at != nil {
			said = at.text + said
		}
		w.mu.Unlock()
		switch {
		case ended:
			return said + " the connection ended"
		case id != 0 && at != nil && at.ended:
			return said
		}
		select {
		case <-w.change:
		case <-w.closed:
			ended = true
		}
	}
}

// begun waits for the headers of an answer, which need no window.
func (w *wire2) begun(id uint32) {
	_ = w.out.Flush()
	for {
		w.mu.Lock()
		at := w.said[id]
		begun := at != nil && at.text != ""
		w.mu.Unlock()
		if begun {
			return
		}
		select {
		case <-w.change:
		case <-w.closed:
			return
		}
	}
}

// headers opens a stream. fields are names and values.
func (w *wire2) headers(end bool, fields ...string) uint32 {
	return w.pieces(end, true, fields...)
}

// pieces opens a stream with headers in as many frames as they take. Without last the end of them is never said.
func (w *wire2) pieces(end, last bool, fields ...string) uint32 {
	w.fields.Reset()
	for i := 0; i < len(fields); i += 2 {
		_ = w.hpack.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return w.block(end, last, w.fields.Bytes())
}

func (w *wire2) block(end, last bool, b []byte) uint32 {
	const frame = 16 << 10
	id := w.next
	w.next += 2
	first := b[:min(len(b), frame)]
	b = b[len(first):]
	_ = w.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: first, EndStream: end, EndHeaders: last && len(b) == 0})
	for len(b) > 0 {
		next := b[:min(len(b), frame)]
		b = b[len(next):]
		_ = w.WriteContinuation(id, last && len(b) == 0, next)
	}
	return id
}

// open are the headers of a request that a listener takes.
func open(listener string, more ...string) []string {
	if listener == "grpc" {
		return append([]string{":method", "POST", ":scheme", "http", ":path", inference.ModelInfer, ":authority", "a", "content-type", "application/grpc", "te", "trailers"}, more...)
	}
	return append([]string{":method", "POST", ":scheme", "http", ":path", "/v2/models/small/infer", ":authority", "a"}, more...)
}

// prefixed is a message as gRPC frames it.
func prefixed(compressed byte, length int, b []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{compressed}, uint32(length)), b...)
}

// table2 is a block of headers in which a name of n bytes goes into the table, and is then meant times times, a
// byte each.
func table2(n, times int, fields []string) []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	for i := 0; i < len(fields); i += 2 {
		_ = e.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	_ = e.WriteField(hpack.HeaderField{Name: "x-bomb", Value: strings.Repeat("b", n)})
	one := b.Len()
	_ = e.WriteField(hpack.HeaderField{Name: "x-bomb", Value: strings.Repeat("b", n)}) // now an index
	again := bytes.Clone(b.Bytes()[one:])
	return append(b.Bytes(), bytes.Repeat(again, times)...)
}

// http2Intruders speak HTTP/2 with both listeners.
func http2Intruders() []intruder {
	bomb := map[string][]byte{"http": table2(3000, 12_000, open("http")), "grpc": table2(3000, 12_000, open("grpc"))}
	on := func(listener string, do func(t *testing.T, w *wire2) string, settings ...http2.Setting) func(*testing.T, *running) string {
		return func(t *testing.T, s *running) string { return do(t, s.http2(t, listener, settings...)) }
	}
	resets := func(listener string) func(*testing.T, *running) string {
		return func(t *testing.T, s *running) string {
			w := s.http2(t, listener)
			for range 20_000 {
				id := w.headers(false, open(listener)...)
				if w.WriteRSTStream(id, http2.ErrCodeCancel) != nil {
					break
				}
			}
			said := w.answer(w.headers(true, open(listener)...))
			if strings.Contains(said, "ENHANCE_YOUR_CALM") { // where they come so fast that too many wait for a goroutine
				w = s.http2(t, listener)
				said = w.answer(w.headers(true, open(listener)...))
			}
			return said
		}
	}
	endless := func(listener string) func(*testing.T, *running) string {
		return on(listener, func(_ *testing.T, w *wire2) string {
			id := w.pieces(false, false, open(listener, "x", strings.Repeat("x", 10_000))...)
			w.fields.Reset()
			_ = w.hpack.WriteField(hpack.HeaderField{Name: "y", Value: strings.Repeat("y", 10_000), Sensitive: true})
			for range 10_000 {
				if w.WriteContinuation(id, false, w.fields.Bytes()) != nil {
					break
				}
			}
			return w.answer(0)
		})
	}
	return []intruder{
		{kind: "HTTP/2", what: "20,000 requests, each reset at once", do: resets("http"), calls: 20_000, says: "400", cause: "the body is no JSON"},
		{kind: "HTTP/2", what: "20,000 calls, each reset at once", do: resets("grpc"), calls: 20_000, says: "Internal", cause: "received no request message"},
		{kind: "HTTP/2", what: "headers of a request that never end", do: endless("http"), says: "the connection ended"},
		{kind: "HTTP/2", what: "metadata of a call that never end", do: endless("grpc"), says: "the connection ended"},
		{kind: "HTTP/2", what: "a header that is meant 12,000 times", do: on("http", func(_ *testing.T, w *wire2) string {
			return w.answer(w.block(true, true, bomb["http"]))
		}), says: "431"},
		{kind: "HTTP/2", what: "metadata that are meant 12,000 times", do: on("grpc", func(_ *testing.T, w *wire2) string {
			return w.answer(w.block(true, true, bomb["grpc"]))
		}), says: "RST_STREAM FRAME_SIZE_ERROR"},
		{kind: "HTTP/2", what: "100,000 settings", do: on("http", func(_ *testing.T, w *wire2) string {
			for range 100_000 {
				if w.WriteSettings(http2.Setting{ID: http2.SettingMaxFrameSize, Val: 1 << 14}) != nil {
					break
				}
			}
			return w.answer(w.headers(true, open("http")...))
		}), says: "400"},
		{kind: "HTTP/2", what: "100,000 pings", do: on("grpc", func(_ *testing.T, w *wire2) string {
			for i := range 100_000 {
				if w.WritePing(false, [8]byte{byte(i)}) != nil {
					break
				}
			}
			return w.answer(0)
		}), says: "GOAWAY ENHANCE_YOUR_CALM too_many_pings"},
		{kind: "HTTP/2", what: "windows that grow beyond all numbers", do: on("http", func(_ *testing.T, w *wire2) string {
			_ = w.WriteWindowUpdate(0, 1<<31-1)
			return w.answer(0)
		}), says: "GOAWAY FLOW_CONTROL_ERROR"},
		{kind: "HTTP/2", what: "streams that go backwards", do: on("http", func(_ *testing.T, w *wire2) string {
			w.next = 101
			w.headers(false, open("http")...)
			w.next = 7
			w.headers(false, open("http")...)
			return w.answer(0)
		}), says: "GOAWAY PROTOCOL_ERROR"},
		{kind: "HTTP/2", what: "a body that is longer than it said", do: on("http", func(_ *testing.T, w *wire2) string {
			id := w.headers(false, open("http", "content-length", "2")...)
			_ = w.WriteData(id, true, []byte("{}GET /v2 HTTP/1.1\r\n\r\n"))
			return w.answer(id)
		}), says: "RST_STREAM PROTOCOL_ERROR"},
		{kind: "HTTP/2", what: "chunks inside of frames", do: on("http", func(_ *testing.T, w *wire2) string {
			id := w.headers(false, open("http", "transfer-encoding", "chunked")...)
			_ = w.WriteData(id, true, []byte("0\r\n\r\n"))
			return w.answer(id)
		}), says: "400"},
		{kind: "slow", what: "200 requests whose bodies never come", do: on("http", func(_ *testing.T, w *wire2) string {
			last := uint32(0)
			for range 200 {
				last = w.headers(false, open("http")...)
			}
			return w.answer(last)
		}), says: "400", cause: "the body ends early"},
		{kind: "slow", what: "calls whose messages never come", do: on("grpc", func(_ *testing.T, w *wire2) string {
			last := uint32(0)
			for range 500 {
				last = w.headers(false, open("grpc")...)
				_ = w.WriteData(last, false, prefixed(0, 1<<20, []byte("so far")))
			}
			return w.answer(last)
		}), says: "DeadlineExceeded", cause: "context deadline exceeded"},
		{kind: "slow", what: "50 answers that it gives no window for", do: on("http", func(t *testing.T, w *wire2) string {
			last := uint32(0)
			for range 50 {
				last = w.headers(true, ":method", "GET", ":scheme", "http", ":path", "/v2/models/small", ":authority", "a")
			}
			return w.answer(last)
		}, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}), says: "200 RST_STREAM INTERNAL_ERROR"},
		{kind: "slow", what: "answers to calls that it gives no window for", do: on("grpc", func(t *testing.T, w *wire2) string {
			const rows = 200 // which is about what the first window of a stream takes
			m := asking(t, func(m *inference.ModelInferRequest) {
				m.Inputs[0].Shape[0] = rows
				m.RawInputContents[0] = make([]byte, rows*64*4)
				m.Outputs = []*inference.ModelInferRequest_InferRequestedOutputTensor{{Name: "reconstruction"}}
			})
			for range 30 { // of 50 kB each
				id := w.headers(false, open("grpc")...)
				frames := prefixed(0, len(m), m)
				for len(frames) > 0 {
					n := min(len(frames), 16<<10)
					_ = w.WriteData(id, n == len(frames), frames[:n])
					frames = frames[n:]
				}
				w.begun(id)
			}
			return w.answer(0)
		}, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}), says: "the connection ended"},
	}
}
