package serve_test

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/vaeguard/vaeguard/host/serve/events"
	"github.com/vaeguard/vaeguard/host/serve/inference"
	"github.com/vaeguard/vaeguard/host/serve/servetest"
)

// collector takes spans by OTLP over HTTP.
type collector struct {
	*httptest.Server
	mu    sync.Mutex
	spans []*tracepb.Span
	names []string // of services
}

func newCollector(t *testing.T) *collector {
	c := &collector{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		m := &coltracepb.ExportTraceServiceRequest{}
		if err == nil {
			err = proto.Unmarshal(body, m)
		}
		if err != nil || r.URL.Path != "/v1/traces" {
			t.Errorf("%s: %v", r.URL.Path, err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, rs := range m.ResourceSpans {
			for _, a := range rs.Resource.Attributes {
				if a.Key == "service.name" {
					c.names = append(c.names, a.Value.GetStringValue())
				}
			}
			for _, ss := range rs.ScopeSpans {
				c.spans = append(c.spans, ss.Spans...)
			}
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(c.Close)
	return c
}

// tree are the spans of a trace below one of them, as name(children…) sorted by their start.
func (c *collector) tree(trace, parent string) string {
	var below []*tracepb.Span
	for _, s := range c.spans {
		if hex.EncodeToString(s.TraceId) == trace && hex.EncodeToString(s.ParentSpanId) == parent {
			below = append(below, s)
		}
	}
	slices.SortFunc(below, func(a, b *tracepb.Span) int { return int(int64(a.StartTimeUnixNano) - int64(b.StartTimeUnixNano)) })
	var out []string
	for _, s := range below {
		text := s.Name
		if inner := c.tree(trace, hex.EncodeToString(s.SpanId)); inner != "" {
			text += "(" + inner + ")"
		}
		out = append(out, text)
	}
	return strings.Join(out, " ")
}

// parent is a caller's span.
func parent(n int) (trace, span, header string) {
	trace, span = fmt.Sprintf("%032x", n), fmt.Sprintf("%016x", n)
	return trace, span, "00-" + trace + "-" + span + "-01"
}

// Spans go from the caller's over the queue, the classifier's answers and both halves of the
// auto-encoder into the plugin, over HTTP and gRPC, and through a proxy to the model server.
func TestTraces(t *testing.T) {
	c := newCollector(t)
	dir := t.TempDir()
	w := servetest.Train(t, components(), filepath.Join(dir, "guard"), 0)
	w.Control(t, servetest.Trace)
	traces := "traces: {url: '" + c.URL + "'}\n"
	const all = "listen: {http: '127.0.0.1:0', grpc: '127.0.0.1:0'}\n"
	model := run(t, dir, all+traces+"events: {}\nmodels: [{name: small, detector: guard}]\n")
	http, remote := model.Address("http").String(), model.Address("grpc").String()
	front := run(t, dir, all+traces+"models: [{name: small, detector: guard, upstream: {url: 'http://"+http+"', grpc: '"+remote+"'}}]\n")
	body := `{"inputs":[{"name":"x","shape":[1,64],"datatype":"FP32","data":[` + strings.TrimSuffix(strings.Repeat("0.5,", 64), ",") + `]}],"outputs":[{"name":"probabilities"}]}`
	ask := func(s *running, header string) {
		t.Helper()
		if code, text, _ := s.post("/v2/models/small/infer", body, "Traceparent", header); code != 200 {
			t.Fatalf("%d %s", code, text)
		}
	}
	call := func(s *running, header string, values ...float32) {
		t.Helper()
		conn, err := grpc.NewClient(s.Address("grpc").String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if len(values) == 0 {
			values = make([]float32, 64)
		}
		x := &inference.InferTensorContents{Fp32Contents: values}
		ctx := metadata.AppendToOutgoingContext(context.Background(), "traceparent", header)
		if err := conn.Invoke(ctx, inference.ModelInfer, &inference.ModelInferRequest{ModelName: "small", Inputs: []*inference.ModelInferRequest_InferInputTensor{{Name: "x", Datatype: "FP32", Shape: []int64{int64(len(values) / 64), 64}, Contents: x}},
			Outputs: []*inference.ModelInferRequest_InferRequestedOutputTensor{{Name: "probabilities"}}}, &inference.ModelInferResponse{}); err != nil {
			t.Fatal(err)
		}
	}
	_, _, direct := parent(1)
	_, _, directCall := parent(2)
	_, _, proxied := parent(3)
	_, _, proxiedCall := parent(4)
	_, _, unsampled := parent(5)
	unsampled = strings.TrimSuffix(unsampled, "01") + "00"
	event := func(s *running, id, header, request, answer string) {
		t.Helper()
		for kind, data := range map[string]string{events.TypeRequest: request, events.TypeResponse: answer} {
			event := fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"x","type":%q,"traceparent":%q,"data":%s}`, id, kind, header, data)
			if code, text, _ := s.post("/events", event, "Content-Type", "application/cloudevents+json"); code != 200 {
				t.Fatalf("%d %s", code, text)
			}
		}
	}
	const known = 20
	random := rand.New(rand.NewPCG(1, 2))
	for n := range known { // until the answers are known for the classifier's, it is asked too
		values := make([]float32, 16*64)
		for i := range values {
			values[i] = random.Float32()
		}
		text, err := json.Marshal(values)
		if err != nil {
			t.Fatal(err)
		}
		many := `{"inputs":[{"name":"x","shape":[16,64],"datatype":"FP32","data":` + string(text) + `}],"outputs":[{"name":"probabilities"}]}`
		var answer string
		for _, s := range []*running{front, model} {
			code, text, _ := s.post("/v2/models/small/infer", many, "Traceparent", unsampled)
			if answer = text; code != 200 {
				t.Fatalf("%d %s", code, text)
			}
		}
		call(front, unsampled, values...)
		event(model, fmt.Sprint("known", n), unsampled, many, answer)
	}
	judged := func(n int64) {
		for end := time.Now().Add(time.Minute); model.Events().Counters().Judged < n && time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		}
	}
	judged(known)
	ask(model, direct)
	call(model, directCall)
	ask(front, proxied)
	call(front, proxiedCall)
	ask(model, unsampled)
	_, _, logged := parent(6)
	code, answer, _ := model.post("/v2/models/small/infer", body)
	if code != 200 {
		t.Fatalf("%d %s", code, answer)
	}
	event(model, "1", logged, body, answer)
	judged(known + 1)
	for _, s := range []*running{front, model} { // what is left is sent with the end
		if err := s.stop(); err != nil {
			t.Fatal(err)
		}
	}
	const whole = "judge(queue batch(encode decode P and Q))"
	const infer = "inference.GRPCInferenceService/ModelInfer"
	for n, want := range map[int]string{1: "POST(" + whole + ")", 2: "/" + infer + "(" + whole + ")",
		3: "POST(P(POST(" + whole + ")) judge(queue batch(encode decode Q)))", 4: "/" + infer + "(P(/" + infer + "(" + whole + ")) judge(queue batch(encode decode Q)))", 5: "", 6: "judge(queue batch(encode decode Q))"} {
		trace, span, _ := parent(n)
		if got := c.tree(trace, span); got != want {
			t.Errorf("trace %d:\n%s, want\n%s", n, got, want)
		}
	}
	var asked []string // the spans in which the plugin was
	for _, s := range c.spans {
		if s.Name == "P and Q" || s.Name == "Q" {
			asked = append(asked, "00-"+hex.EncodeToString(s.TraceId)+"-"+hex.EncodeToString(s.SpanId)+"-01")
		}
	}
	for _, p := range asked {
		if !slices.Contains(w.Parents(t), p) {
			t.Errorf("the plugin was not told of %s: %v", p, w.Parents(t))
		}
	}
	if len(asked) != 8 || len(c.names) == 0 || c.names[0] != "vaeguard" {
		t.Errorf("%d spans in the plugin, of services %v", len(asked), c.names)
	}
}

// A collector that is not there costs a warning, and no request.
func TestTracesNowhere(t *testing.T) {
	dir := t.TempDir()
	servetest.Train(t, components(), filepath.Join(dir, "guard"), 0)
	s := run(t, dir, listens+"traces: {url: 'http://127.0.0.1:1'}\nmodels: [{name: small, detector: guard}]\n")
	if code, text, _ := s.post("/judge/small", body(1, 1)); code != 200 {
		t.Errorf("%d %s", code, text)
	}
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	if err := (&running{t: t}).start(dir, listens+"traces: {sample: 0.5}\nmodels: [{name: small, detector: guard}]\n"); err == nil || !strings.Contains(err.Error(), "OTEL_EXPORTER_OTLP_ENDPOINT") {
		t.Errorf("traces to nowhere: %v", err)
	}
}
