package serve_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/vaeguard/vaeguard/host/serve/inference"
	"github.com/vaeguard/vaeguard/host/serve/servetest"
)

// crowd keeps the classifier from answering and asks until a model's queue, of two rows, is full. The end lets all be
// answered.
func crowd(t *testing.T, s *running, w servetest.Trained, path string) (end func()) {
	t.Helper()
	w.Control(t, servetest.Hold)
	var wg sync.WaitGroup
	for n := range 4 { // two that are judged, two that wait
		wg.Go(func() {
			if code, text, _ := s.post(path, oneRow); code != http.StatusOK {
				t.Errorf("%d: %s", code, text)
			}
		})
		await(t, "one more waits", func() bool {
			_, text := s.get("admin", "/metrics")
			return strings.Contains(text, fmt.Sprintf(`vaeguard_waiting_rows{model="small"} %d`, n+1))
		})
	}
	return func() {
		w.Control(t, servetest.Works)
		wg.Wait()
	}
}

var oneRow = fmt.Sprintf(`{"inputs":[{"name":"x","shape":[1,64],"datatype":"FP32","data":[%s0]}]}`, strings.Repeat("0,", 63))

// answerTo sends what it is given over a connection and reads an answer's status, and a header.
func answerTo(t *testing.T, c net.Conn, r *bufio.Reader, request string) (code int, retry string) {
	t.Helper()
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	a, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, a.Body); err != nil {
		t.Fatal(err)
	}
	return a.StatusCode, a.Header.Get("Retry-After")
}

// TestRefusesUnread: a server that has no room says so before a request has come, over REST, V1 and gRPC; whoever then
// sends it has the connection for another one.
func TestRefusesUnread(t *testing.T) {
	dir := t.TempDir()
	w := servetest.Train(t, components(), dir+"/small", 0)
	s := run(t, dir, `listen: {http: 127.0.0.1:0, grpc: 127.0.0.1:0, admin: 127.0.0.1:0}
models: [{name: small, detector: small, batching: {max_rows: 1}}]
limits: {queue: 2, deadline: 0s, read: 2m}
`)
	const path = "/v2/models/small/infer"
	end := crowd(t, s, w, path)
	head := func(path string, length int, more string) string {
		return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%s\r\n", path, length, more)
	}
	for name, c := range map[string]struct {
		path, more string
		body       string
	}{
		"REST":            {path: path, body: oneRow},
		"V1":              {path: "/v1/models/small:predict", body: `{"instances":[[0]]}`},
		"a large body":    {path: path, body: strings.Repeat(" ", 4<<20)},
		"compressed":      {path: path, more: "Content-Encoding: gzip\r\n", body: "no gzip"},
		"leave was asked": {path: path, more: "Expect: 100-continue\r\n", body: ""},
	} {
		conn := s.dial(t, "http")
		r := bufio.NewReader(conn)
		want := http.StatusTooManyRequests
		length := len(c.body)
		if name == "leave was asked" {
			length = 1 << 20
		}
		if code, retry := answerTo(t, conn, r, head(c.path, length, c.more)); code != want || retry == "" {
			t.Errorf("%s: %d before its body, Retry-After %q, want %d", name, code, retry, want)
		}
		if c.body != "" { // and the connection goes on
			if code, _ := answerTo(t, conn, r, c.body+"GET /v2/health/live HTTP/1.1\r\nHost: here\r\n\r\n"); code != http.StatusOK {
				t.Errorf("%s: %d for the next request of its connection", name, code)
			}
		}
		_ = conn.Close()
	}

	conn, err := grpc.NewClient(s.Address("grpc").String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	call, err := conn.NewStream(t.Context(), &grpc.StreamDesc{ClientStreams: true}, inference.ModelInfer) // and no message
	if err != nil {
		t.Fatal(err)
	}
	err = call.RecvMsg(&inference.ModelInferResponse{})
	told := status.Convert(err)
	after := false
	for _, d := range told.Details() {
		_, is := d.(*errdetails.RetryInfo)
		after = after || is
	}
	if told.Code() != codes.ResourceExhausted || !after {
		t.Errorf("a call without a message: %v, when to come back is told: %t", err, after)
	}
	_, text := s.get("admin", "/metrics")
	for _, want := range []string{`vaeguard_refusal_seconds_count{way="http"}`, `vaeguard_refusal_seconds_count{way="grpc"} 1`, `vaeguard_requests_total{model="small",outcome="overloaded",way="grpc"} 1`} {
		if !strings.Contains(text, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
	end()
	if code, text, _ := s.post(path, oneRow); code != http.StatusOK {
		t.Errorf("after it: %d %s", code, text)
	}
}

// TestProxyRefusesUnread: before a model server, what could not be judged for want of room is refused unread where
// failures are closed, and passes unread where they are open.
func TestProxyRefusesUnread(t *testing.T) {
	for _, closed := range []bool{true, false} {
		t.Run(fmt.Sprintf("closed %t", closed), func(t *testing.T) {
			var asked atomic.Int64
			upstream := serveFunc(t, func(rw http.ResponseWriter, r *http.Request) {
				if _, err := io.Copy(io.Discard, r.Body); err == nil {
					asked.Add(1)
				}
				rw.Header().Set("Content-Type", "application/json")
				_, _ = fmt.Fprintf(rw, `{"model_name":"small","outputs":[{"name":"p","shape":[1,10],"datatype":"FP32","data":[%s1]}]}`, strings.Repeat("0,", 9))
			})
			dir := t.TempDir()
			w := servetest.Train(t, components(), dir+"/small", 0)
			failure := map[bool]string{true: "closed", false: "open"}[closed]
			s := run(t, dir, fmt.Sprintf(`listen: {http: 127.0.0.1:0, admin: 127.0.0.1:0}
models: [{name: small, detector: small, batching: {max_rows: 1}, policy: annotate, on_failure: %s, upstream: {url: %q}}]
limits: {queue: 2, deadline: 0s}
`, failure, upstream))
			end := crowd(t, s, w, "/v2/models/small/infer")
			defer end()
			before := asked.Load()
			conn := s.dial(t, "http")
			defer conn.Close()
			r := bufio.NewReader(conn)
			text := "no JSON at all"
			head := fmt.Sprintf("POST /v2/models/small/infer HTTP/1.1\r\nHost: here\r\nContent-Length: %d\r\n\r\n", len(text))
			if closed {
				if code, retry := answerTo(t, conn, r, head); code != http.StatusServiceUnavailable || retry == "" {
					t.Errorf("%d before its body, Retry-After %q", code, retry)
				}
				if code, _ := answerTo(t, conn, r, text+"GET /v2 HTTP/1.1\r\nHost: here\r\n\r\n"); code != http.StatusOK {
					t.Errorf("%d for the next request of its connection", code)
				}
				if n := asked.Load() - before; n != 1 { // GET /v2
					t.Errorf("the model server was asked %d times, want 1", n)
				}
				return
			}
			code, _, h := s.post("/v2/models/small/infer", text)
			if code != http.StatusOK || h.Get("X-Vaeguard-Verdict") != "unjudged: failed" || asked.Load() == before {
				t.Errorf("%d, verdict %q", code, h.Get("X-Vaeguard-Verdict"))
			}
		})
	}
}
