package proxy_test

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/vaeguard/vaeguard/host/serve/inference"
	"github.com/vaeguard/vaeguard/host/serve/proxy"
	"github.com/vaeguard/vaeguard/host/serve/tensors"
)

// What the model server may read otherwise than the guard is not judged: a verdict would be about other rows than the answer.
func TestReadOtherwise(t *testing.T) {
	b := stand(t, proxy.Annotate, func(m *proxy.Model, _ *proxy.Options) { m.Input = "pixels" })
	x, _ := b.rows(t, 12)
	row := x.Rows(0, 1)
	good, _ := tensors.AppendRequest(nil, request(row), nil)
	zipped := func(raw bool) []byte {
		var out bytes.Buffer
		if raw {
			z, err := flate.NewWriter(&out, flate.BestSpeed)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = z.Write(good)
			_ = z.Close()
			return out.Bytes()
		}
		z := gzip.NewWriter(&out)
		_, _ = z.Write(good)
		_ = z.Close()
		return out.Bytes()
	}
	two := request(row)
	two.Inputs = append([]tensors.Tensor{tensors.FromFloat32s("else", []int64{1, features}, make([]float32, features))}, two.Inputs...)
	second, _ := tensors.AppendRequest(nil, two, nil)
	two.Inputs[0], two.Inputs[1] = two.Inputs[1], two.Inputs[0]
	first, _ := tensors.AppendRequest(nil, two, nil)
	one := newUpstream()
	predicts := httptest.NewServer(one.predictor(false))
	t.Cleanup(predicts.Close)
	old := stand(t, proxy.Annotate, func(m *proxy.Model, _ *proxy.Options) { m.URL = predicts.URL })
	lone, err := json.Marshal(map[string]any{"instances": [][]float32{row.Data}})
	if err != nil {
		t.Fatal(err)
	}
	v1, err := json.Marshal(map[string]any{"instances": [][]float32{row.Data}, "inputs": [][]float32{make([]float32, features)}})
	if err != nil {
		t.Fatal(err)
	}
	event, err := json.Marshal(map[string]any{"instances": [][]float32{row.Data}, "data": map[string]any{"instances": [][]float32{make([]float32, features)}},
		"id": "1", "type": "t", "source": "s", "time": "now", "specversion": "1.0"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, path string
		body       []byte
		header     http.Header
		want       string
	}{
		{"as it is", "/v2/models/m/infer", good, nil, "judged"},
		{"rows after another input", "/v2/models/m/infer", second, nil, "unjudged: unreadable"},
		{"rows before another input", "/v2/models/m/infer", first, nil, "judged"},
		{"a coding that ends here", "/v2/models/m/infer", zipped(false), http.Header{"Content-Encoding": {"gzip"}, "Connection": {"keep-alive, content-encoding"}}, "unjudged: unreadable"},
		{"a length that ends here", "/v2/models/m/infer", good, http.Header{"Inference-Header-Content-Length": {fmt.Sprint(len(good))}, "Connection": {"Inference-Header-Content-Length"}}, "judged"},
		{"deflate without zlib's header", "/v2/models/m/infer", zipped(true), http.Header{"Content-Encoding": {"deflate"}}, "unjudged: unreadable"},
		{"instances", "/v1/models/m:predict", lone, nil, "judged"},
		{"inputs beside instances", "/v1/models/m:predict", v1, nil, "unjudged: unreadable"},
		{"an event beside instances", "/v1/models/m:predict", event, nil, "unjudged: unreadable"},
	} {
		at := b.url
		if strings.HasPrefix(c.path, "/v1") {
			at = old.url
		}
		text, err := ask(t, at, "POST", c.path, c.header, c.body)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(text, "X-Vaeguard-Verdict: "+c.want+"\r\n") {
			t.Errorf("%s: %s, want %s", c.name, text, c.want)
		}
	}
}

// switching is a model server that takes up any protocol, and counts how often.
func switching(t *testing.T, other http.Handler) (url string, took *atomic.Int64) {
	t.Helper()
	took = &atomic.Int64{}
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		to := r.Header.Get("Upgrade")
		if to == "" {
			other.ServeHTTP(w, r)
			return
		}
		took.Add(1)
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\nunseen", to)
	}))
	t.Cleanup(up.Close)
	return up.URL, took
}

// No other protocol on a connection leads around the guard: what is asked in one is not seen.
func TestTunnels(t *testing.T) {
	upgrade := func(to string) http.Header { return http.Header{"Connection": {"Upgrade"}, "Upgrade": {to}} }
	url, took := switching(t, http.HandlerFunc(echo))
	p, err := proxy.New(none{}, []proxy.Model{{Name: "m", URL: url, Policy: proxy.Block, Closed: true}}, proxy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	front := httptest.NewServer(p)
	t.Cleanup(front.Close)
	for _, target := range []string{"GET /", "GET /v2/health/live", "GET /v2/models/other", "POST /v2/models/other/infer",
		"POST /v2/repository/index", "POST /v2/models/m/trace/setting", "GET /v2/models/m"} {
		method, path, _ := strings.Cut(target, " ")
		if got, err := ask(t, front.URL, method, path, upgrade("websocket"), nil); err != nil || !strings.HasPrefix(got, "403") {
			t.Errorf("%s: %v %s", target, err, got)
		}
		if got, err := ask(t, front.URL, method, path, upgrade("h2c"), nil); err != nil || !strings.HasPrefix(got, "200") { // as some clients offer with each request
			t.Errorf("%s, and HTTP/2: %v %s", target, err, got)
		}
	}
	if n := took.Load(); n > 0 {
		t.Errorf("%d tunnels around a guard that is closed", n)
	}
	u := newUpstream()
	url, took = switching(t, u)
	b := stand(t, proxy.Block, func(m *proxy.Model, _ *proxy.Options) { m.URL = url })
	x, want := b.rows(t, 12)
	body, _ := tensors.AppendRequest(nil, request(x), nil)
	for _, to := range []string{"h2c", "websocket"} {
		if got, err := ask(t, b.url, "POST", "/v2/models/m/infer", upgrade(to), body); err != nil || !strings.HasPrefix(got, "403") || !strings.Contains(got, flags(want)) {
			t.Errorf("%s: %v %s", to, err, got)
		}
	}
	if n := took.Load(); n > 0 {
		t.Errorf("%d inferences were answered in another protocol", n)
	}
	if got, err := ask(t, b.url, "GET", "/v2/models/other", upgrade("websocket"), nil); err != nil || !strings.HasPrefix(got, "101") { // nothing is closed
		t.Errorf("%v %s", err, got)
	}
}

// A part of an answer is not taken for one that need not be judged.
func TestParts(t *testing.T) {
	for _, closed := range []bool{false, true} {
		b := stand(t, proxy.Block, func(m *proxy.Model, _ *proxy.Options) {
			u := newUpstream()
			up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { u.ServeHTTP(partly{w}, r) }))
			t.Cleanup(up.Close)
			m.URL, m.Closed = up.URL, closed
		})
		x, _ := b.rows(t, 12)
		body, _ := tensors.AppendRequest(nil, request(x), nil)
		code, text, h := b.post(t, body, "Range", "bytes=0-")
		if closed && (code != http.StatusServiceUnavailable || bytes.Contains(text, []byte("logits"))) {
			t.Errorf("%d %s", code, text)
		}
		if !closed && (code != http.StatusPartialContent || h.Get("X-Vaeguard-Verdict") != "unjudged: failed") {
			t.Errorf("%d %v", code, h)
		}
	}
}

// partly answers with a part, which is the whole.
type partly struct{ http.ResponseWriter }

func (p partly) Write(b []byte) (int, error) {
	p.WriteHeader(http.StatusPartialContent)
	return p.ResponseWriter.Write(b)
}

// No path leads out of that of the model server.
func TestLeadsOut(t *testing.T) {
	var paths []string
	up := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { paths = append(paths, r.RequestURI) }))
	t.Cleanup(up.Close)
	p, err := proxy.New(none{}, []proxy.Model{{Name: "m", URL: up.URL + "/mine/"}}, proxy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	front := httptest.NewServer(p)
	t.Cleanup(front.Close)
	for _, target := range []string{"/../theirs", "/a/../../theirs", "/%2e%2e/theirs", "/..%2ftheirs", `/..\theirs`, "/..;/theirs", "/a/..", "http://x/../theirs"} {
		if got, err := ask(t, front.URL, "GET", target, nil, nil); err != nil || !strings.HasPrefix(got, "400") || len(paths) > 0 {
			t.Errorf("%s: %v %s, asked for %q", target, err, got, paths)
			paths = nil
		}
	}
	if got, err := ask(t, front.URL, "GET", "/a/..b/...?c=/../", nil, nil); err != nil || !strings.HasPrefix(got, "200") || len(paths) != 1 || paths[0] != "/mine/a/..b/...?c=/../" {
		t.Errorf("%v %s, asked for %q", err, got, paths)
	}
}

// Names may have colons, at which verbs begin too.
func TestColons(t *testing.T) {
	asked := 0
	up := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
	t.Cleanup(up.Close)
	p, err := proxy.New(none{}, []proxy.Model{{Name: "m", Model: "a:b", URL: up.URL, Closed: true}}, proxy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	front := httptest.NewServer(p)
	t.Cleanup(front.Close)
	for _, target := range []string{"/v2/models/a:b/infer", "/v2/models/a%3Ab/infer", "/v1/models/a:b:predict", "/v1/models/a:b:explain", "/v2/models/a:b/generate"} {
		if got, err := ask(t, front.URL, "POST", target, nil, []byte(`{"inputs": []}`)); err != nil || strings.HasPrefix(got, "200") || asked > 0 {
			t.Errorf("%s went around: %v %s", target, err, got)
			asked = 0
		}
	}
}

// The model of a call is the one that all readers of its message see.
func TestCallsNameOneModel(t *testing.T) {
	asked := 0
	up := listen(t, grpc.NewServer(grpc.ForceServerCodecV2(asBytes{}), grpc.UnknownServiceHandler(func(_ any, s grpc.ServerStream) error {
		asked++
		return s.SendMsg(&wire{mem.BufferSlice{mem.SliceBuffer("")}})
	})))
	p, err := proxy.New(none{}, []proxy.Model{{Name: "m", URL: "http://127.0.0.1:1", GRPC: up, Closed: true}}, proxy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	c := connect(t, listen(t, grpc.NewServer(p.ServerOptions()...)))
	other := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), "other")
	const mine, theirs = 1<<3 | uint64(protowire.BytesType), 1 << 32 // of which C++ keeps what is below
	for name, m := range map[string][]byte{
		"a field that others take for the first": protowire.AppendString(protowire.AppendVarint(other, theirs|mine), "m"),
		"a length that others take for one":      append(protowire.AppendVarint(append(bytes.Clone(other), byte(mine)), theirs|1), 'm'),
		"an end before its end":                  append(bytes.Clone(other), 0xff),
	} {
		err := c.Invoke(t.Context(), inference.ModelInfer, &wire{mem.BufferSlice{mem.SliceBuffer(m)}}, &wire{}, grpc.ForceCodecV2(asBytes{}))
		if status.Code(err) != codes.InvalidArgument || asked > 0 {
			t.Errorf("%s: %v, asked %d times", name, err, asked)
			asked = 0
		}
	}
	for _, method := range []string{"/grpc.health.v1.Health/../inference.GRPCInferenceService/ModelInfer",
		"/grpc.health.v1.Health/%2e%2e/x", "/inference.model_repository.ModelRepositoryService/a/b"} {
		err := c.Invoke(t.Context(), method, &wire{}, &wire{}, grpc.ForceCodecV2(asBytes{}))
		if status.Code(err) != codes.PermissionDenied || asked > 0 {
			t.Errorf("%s: %v, asked %d times", method, err, asked)
			asked = 0
		}
	}
	if err := c.Invoke(t.Context(), inference.ModelInfer, &wire{mem.BufferSlice{mem.SliceBuffer(other)}}, &wire{}, grpc.ForceCodecV2(asBytes{})); err != nil || asked != 1 {
		t.Errorf("%v, asked %d times", err, asked)
	}
}

// Messages that wait for the model server's answer hold no more than bodies may.
func TestCallsHold(t *testing.T) {
	const most, calls = 64 << 10, 24
	answer := make(chan struct{})
	up := listen(t, grpc.NewServer(grpc.ForceServerCodecV2(asBytes{}), grpc.UnknownServiceHandler(func(_ any, s grpc.ServerStream) error {
		select {
		case <-answer:
		case <-s.Context().Done():
		}
		return s.SendMsg(&wire{mem.BufferSlice{mem.SliceBuffer("")}})
	})))
	p, err := proxy.New(none{}, []proxy.Model{{Name: "m", URL: "http://127.0.0.1:1", GRPC: up}}, proxy.Options{MaxBody: most})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	c := connect(t, listen(t, grpc.NewServer(p.ServerOptions()...)))
	m := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), "other")
	m = protowire.AppendBytes(protowire.AppendTag(m, 9, protowire.BytesType), make([]byte, most-4096))
	ask := func(ctx context.Context) error {
		return c.Invoke(ctx, inference.ModelInfer, &wire{mem.BufferSlice{mem.SliceBuffer(m)}}, &wire{}, grpc.ForceCodecV2(asBytes{}))
	}
	var wg sync.WaitGroup
	var full, fine atomic.Int64
	for range calls {
		wg.Go(func() {
			switch err := ask(t.Context()); status.Code(err) {
			case codes.OK:
				fine.Add(1)
			case codes.ResourceExhausted:
				full.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	await(t, func() bool { return full.Load() == calls-17 }) // 16 bodies, and what is left of them
	close(answer)
	wg.Wait()
	if err := ask(t.Context()); err != nil || fine.Load() != 17 {
		t.Errorf("%v, %d were answered", err, fine.Load())
	}
}
