package serve_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vaeguard/vaeguard/host/serve/inference"
	"github.com/vaeguard/vaeguard/host/serve/servetest"
)

var update = flag.Bool("update", false, "rewrite the table of SECURITY.md")

const (
	securityPage = "../SECURITY.md"
	clientsBegin = "<!-- hostile clients of the server: written by TestHostileServed -update -->\n"
	clientsEnd   = "<!-- end of hostile clients of the server -->\n"
	// What answering one client may take: bytes that are allocated, in all, and seconds.
	clientMiB     = 96
	clientSeconds = 60
	callKiB       = 12 // of each where an intruder makes thousands
)

// intruder is a client that means harm.
type intruder struct {
	kind, what string
	listener   string        // "": http
	send       string        // what it writes
	slowly     time.Duration // between two drips
	drip       string        // sent over and over, as long as it is taken
	times      int           // of send, each on a connection of its own; 0: 1
	want       string        // in what it is answered; "": the connection ends without
	cause      string        // in its body
	never      string        // that the answer does not hold
	// do is what it does in the place of sending, and what it is told; says is in that, and in the table.
	do   func(*testing.T, *running) string
	says string
	// calls is how many it makes, where that is what harms: each may take some more.
	calls int
}

func infer(headers, body string) string {
	return "POST /v2/models/small/infer HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + headers + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(body)) + body
}

func get(path string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
}

// zeros are n of them, compressed: as often as it takes 16 MiB, each a member of its own.
func zeros(n int64) string {
	const member = 16 << 20
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.CopyN(w, zeroReader{}, member) // to memory
	_ = w.Close()
	return strings.Repeat(b.String(), int(n/member))
}

type zeroReader struct{}

func (zeroReader) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

func tensorOf(shape, datatype, data string) string {
	return `{"inputs":[{"name":"x","shape":` + shape + `,"datatype":"` + datatype + `","data":` + data + `}]}`
}

func intruders() []intruder {
	chunked := "POST /v2/models/small/infer HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: "
	return []intruder{
		{kind: "smuggling", what: "two lengths", send: "POST /v2/models/small/infer HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n{}   ", want: " 400 "},
		{kind: "smuggling", what: "an encoding that hides chunks", cause: "Unsupported transfer encoding", send: chunked + "xchunked\r\n\r\n0\r\n\r\n", want: " 501 "},
		{kind: "smuggling", what: "two encodings", cause: "Unsupported transfer encoding", send: chunked + "identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", want: " 501 "},
		{kind: "smuggling", what: "a space before the colon", cause: "invalid header name", send: "GET /v2 HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\nhello", want: " 400 "},
		{kind: "smuggling", what: "a chunk of 2^68 bytes", cause: "http chunk length too large", send: chunked + "chunked\r\n\r\nfffffffffffffffff\r\n", want: " 400 "},
		{kind: "smuggling", what: "lengths and a second request in the body", cause: "the body is no JSON", send: "POST /v2/models/small/infer HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 60\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /v2/models/small HTTP/1.1\r\nHost: a\r\n\r\n", want: " 400 ", never: "\"platform\""},
		{kind: "headers", what: "two megabytes of them", cause: "Header Fields Too Large", send: "GET /v2 HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", 2<<20) + "\r\n\r\n", want: " 431 "},
		{kind: "headers", what: "line breaks in the name of a model", cause: "there is no model", send: get("/v2/models/a%0d%0aSet-Cookie:%20x=1%0d%0a/ready"), want: " 404 ", never: "\nSet-Cookie"},
		{kind: "headers", what: "escapes in the name of a request", send: "GET /v2/models/none HTTP/1.1\r\nHost: a\r\nX-Request-Id: a\x1b[2J\r\n\r\n", want: " 400 "},
		{kind: "headers", what: "a host of its own", send: "GET http://198.51.100.7/latest/meta-data HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n", want: " 404 "},
		{kind: "headers", what: "CONNECT to elsewhere", send: "CONNECT 198.51.100.7:443 HTTP/1.1\r\nHost: 198.51.100.7:443\r\nConnection: close\r\n\r\n", want: " 40"},
		{kind: "paths", what: "a model that leads out of the folder", cause: "there is no model", send: get("/v2/models/..%2f..%2f..%2fetc%2fpasswd/ready"), want: " 404 ", never: "root:"},
		{kind: "paths", what: "a path that does", send: get("/v2/models/small/../../../../etc/passwd"), want: " 30", never: "root:"},
		{kind: "paths", what: "a model to load from elsewhere", cause: "there is no model", listener: "admin", send: "POST /v2/repository/models/..%2f..%2fetc/load HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}", want: " 40"},
		{kind: "paths", what: "a name of 60 kB", cause: "there is no model", send: get("/v2/models/" + strings.Repeat("n", 60_000) + "/ready"), want: " 404 "},
		{kind: "bodies", what: "a gigabyte that comes as one megabyte", cause: "the body has more than 1048576 bytes", send: infer("Content-Encoding: gzip\r\n", zeros(1<<30)), want: " 413 "},
		{kind: "bodies", what: "a compressed body that is none", cause: "gzip: invalid header", send: infer("Content-Encoding: gzip\r\n", "no gzip at all"), want: " 400 "},
		{kind: "bodies", what: "a length of a terabyte", cause: "the body has more than 1048576 bytes", send: "POST /v2/models/small/infer HTTP/1.1\r\nHost: a\r\nContent-Length: 1099511627776\r\n\r\n", want: " 413 "},
		{kind: "bodies", what: "100,000 lists in each other", cause: "more than 10000 levels", send: infer("", tensorOf("[1,64]", "FP32", strings.Repeat("[", 100_000)+strings.Repeat("]", 100_000))), want: " 400 "},
		{kind: "bodies", what: "a million objects in each other", cause: "more than 10000 levels", send: infer("", strings.Repeat("{", 1<<20)), want: " 400 "},
		{kind: "bodies", what: "a shape of 2^62 numbers", cause: "has more than 268435456 elements", send: infer("", tensorOf("[4611686018427387904]", "FP32", "[1]")), want: " 400 "},
		{kind: "bodies", what: "shapes whose sizes overflow", cause: "has more than 268435456 elements", send: infer("", tensorOf("[4294967296,4294967296]", "FP32", "[1]")), want: " 400 "},
		{kind: "bodies", what: "a negative shape", cause: "a negative dimension", send: infer("", tensorOf("[-1,64]", "FP32", "[]")), want: " 400 "},
		{kind: "bodies", what: "100,000 inputs", cause: "a list of 100000, want at most 16384", send: infer("", `{"inputs":[`+strings.TrimSuffix(strings.Repeat("{},", 100_000), ",")+"]}"), want: " 400 "},
		{kind: "bodies", what: "a header of JSON longer than the body", cause: "to have 999999999 bytes, the body has 2", send: infer("Inference-Header-Content-Length: 999999999\r\n", "{}"), want: " 400 "},
		{kind: "bodies", what: "a header of JSON of minus one", cause: "want a number of bytes", send: infer("Inference-Header-Content-Length: -1\r\n", "{}"), want: " 400 "},
		{kind: "bodies", what: "binary data that is not there", cause: "and 0 bytes are left", send: infer("Inference-Header-Content-Length: 112\r\n", `{"inputs":[{"name":"x","shape":[1,64],"datatype":"FP32","parameters":{"binary_data_size":4611686018427387904}}]}`), want: " 400 "},
		{kind: "bodies", what: "a type that does not exist", cause: "FP999", send: infer("", tensorOf("[1,64]", "FP999", "[1]")), want: " 400 "},
		{kind: "bodies", what: "words for numbers", cause: "too few for FP32", send: infer("", tensorOf("[1,64]", "FP32", `["x"]`)), want: " 400 "},
		{kind: "slow", what: "headers that never end", send: "GET /v2 HTTP/1.1\r\nHost: a\r\nX: ", drip: "x", slowly: 100 * time.Millisecond},
		{kind: "slow", what: "a body that never ends", send: "POST /v2/models/small/infer HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n", drip: " ", slowly: 100 * time.Millisecond},
		{kind: "many", what: "300 connections that say nothing", send: "", times: 300, want: "*"},
		{kind: "many", what: "2,000 names of models", cause: "there is no model", times: 2000, send: "GET /v2/models/name-N HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", want: " 404 "},
	}
}

// TestHostileServed: clients that mean harm are refused with a status, at most with some memory and time; the server
// answers its users as before, and no line of its logs and metrics is theirs.
func TestHostileServed(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for slow clients")
	}
	dir := t.TempDir()
	servetest.Train(t, components(), filepath.Join(dir, "guard"), 0)
	lure := newCanary(t)
	s := run(t, dir, "listen: {http: '127.0.0.1:0', grpc: '127.0.0.1:0', admin: '127.0.0.1:0'}\nmodels: [{name: small, detector: guard}]\nlimits: {body: 1MiB, read: 2s}\n"+
		fmt.Sprintf("events: {reply_url: %q}\n", lure.replyURL()))
	front, model := runProxy(t, filepath.Join(dir, "guard"))
	var page strings.Builder
	page.WriteString("\n| kind | client | the server says |\n|---|---|---|\n")
	for _, c := range slices.Concat(intruders(), http2Intruders(), callIntruders(), eventIntruders(lure), proxyIntruders(front, model)) {
		says := "*nothing: it ends the connection*"
		if code := strings.TrimSpace(c.want); c.do != nil {
			says = strings.TrimSpace(c.says + " " + c.cause)
		} else if c.want == "*" {
			says = "*nothing*"
		} else if code != "" {
			says = strings.TrimSpace(code + strings.Repeat("x", 3-len(code)) + " " + c.cause)
		}
		fmt.Fprintf(&page, "| %s | %s | %s |\n", c.kind, c.what, says)
		t.Run(c.kind+"/"+c.what, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			began, said := time.Now(), ""
			for i := range max(1, c.times) {
				if c.do != nil {
					if said = c.do(t, s); !strings.Contains(said, c.says) || !strings.Contains(said, c.cause) || c.never != "" && strings.Contains(said, c.never) {
						t.Fatalf("%.600q, want %q and %q", said, c.says, c.cause)
					}
					continue
				}
				if c.want == "*" {
					conn := s.dial(t, c.listener)
					t.Cleanup(func() { _ = conn.Close() })
					continue
				}
				got := s.raw(t, c, i)
				status, _, _ := strings.Cut(got, "\r\n")
				_, said, _ = strings.Cut(got, "\r\n\r\n")
				if !strings.Contains(status, c.want) || c.want == "" && strings.HasPrefix(got, "HTTP/1.1 2") {
					t.Fatalf("%.300q, want %q", got, c.want)
				}
				if !strings.Contains(said, c.cause) {
					t.Fatalf("%.300q, want %q", said, c.cause)
				}
				if c.never != "" && strings.Contains(got, c.never) {
					t.Fatalf("%.300q has %q", got, c.never)
				}
			}
			took := time.Since(began)
			runtime.ReadMemStats(&after)
			mib := (after.TotalAlloc - before.TotalAlloc) >> 20
			t.Logf("%d MiB, %v, %.200q", mib, took.Round(time.Millisecond), said)
			if mib > clientMiB+uint64(c.calls)*callKiB>>10 || took > clientSeconds*time.Second && c.times == 0 {
				t.Errorf("%d MiB and %v, the budget is %d and %d s", mib, took, clientMiB+uint64(c.calls)*callKiB>>10, clientSeconds)
			}
			if code, text, _ := s.post("/judge/small", body(1, 2)); code != 200 {
				t.Errorf("afterwards an honest client is answered with %d %s", code, text)
			}
			if got := s.call(t, inference.ModelInfer, asking(t, nil)); got != "OK " {
				t.Errorf("afterwards an honest call is answered with %s", got)
			}
		})
	}
	page.WriteString("\n")
	holdEvents(t, s, lure)
	if text := s.log.String(); strings.ContainsAny(text, "\x1b\r\u202e") {
		t.Errorf("the log: %.2000q", text)
	}
	for line := range strings.Lines(s.access.String()) {
		if !json.Valid([]byte(line)) || strings.ContainsAny(line, "\x1b\r\u202e") {
			t.Errorf("a line of the access log: %.200q", line)
		}
	}
	if _, text := s.get("admin", "/metrics"); len(text) > 1<<20 || strings.Contains(text, "name-1999") {
		t.Errorf("the metrics have %d bytes, of names that clients made up", len(text))
	}
	holdTable(t, page.String())
}

// dial connects to a listener.
func (s *running) dial(t *testing.T, listener string) net.Conn {
	t.Helper()
	if listener == "" {
		listener = "http"
	}
	c, err := net.Dial("tcp", s.Address(listener).String())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// raw sends what an intruder does, and gives what comes back until the end of the connection.
func (s *running) raw(t *testing.T, c intruder, n int) string {
	t.Helper()
	conn := s.dial(t, c.listener)
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(3 * clientSeconds * time.Second)); err != nil {
		t.Fatal(err)
	}
	go func() {
		_, err := io.WriteString(conn, strings.Replace(c.send, "-N ", fmt.Sprintf("-%d ", n), 1))
		for err == nil && c.drip != "" {
			time.Sleep(c.slowly)
			_, err = io.WriteString(conn, c.drip)
		}
	}()
	got, _ := io.ReadAll(io.LimitReader(conn, 1<<20)) // a reset is an end too
	return string(got)
}

// holdTable holds that SECURITY.md has just these clients, and with -update writes them.
func holdTable(t *testing.T, page string) {
	t.Helper()
	text, err := os.ReadFile(securityPage)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, begins := strings.Cut(string(text), clientsBegin)
	old, tail, ends := strings.Cut(rest, clientsEnd)
	switch {
	case !begins || !ends:
		t.Fatal("SECURITY.md has no place for the table")
	case old == page:
	case *update:
		if err := os.WriteFile(securityPage, []byte(head+clientsBegin+page+clientsEnd+tail), 0o600); err != nil {
			t.Fatal(err)
		}
	default:
		t.Error("SECURITY.md does not have the table as it is: go test ./host/serve -run TestHostileServed -update")
	}
}
