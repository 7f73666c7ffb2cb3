package serve_test

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/vaeguard/vaeguard/host/serve"
	"github.com/vaeguard/vaeguard/host/serve/servetest"
)

// A server with an upstream is a proxy: all passes, however long, without the token of
// its own clients, and what it counts is among the metrics.
func TestProxies(t *testing.T) {
	t.Setenv("VG_TEST_BEARER", "much-of-a-token")
	dir := t.TempDir()
	servetest.Train(t, components(), filepath.Join(dir, "guard"), 0)
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			t.Error(err)
		}
		if r.Header.Get("Authorization") != "" {
			t.Error("the token went on")
		}
		w.Header().Set("X-Request-Id", "theirs")
		fmt.Fprintf(w, "%s %d", r.RequestURI, n)
	}))
	t.Cleanup(up.Close)
	s := run(t, dir, "listen: {http: '127.0.0.1:0', grpc: '127.0.0.1:0', admin: '127.0.0.1:0'}\nlimits: {body: 64KiB}\nauth: {bearer: '${VG_TEST_BEARER}'}\n"+
		"models: [{name: small, detector: guard, upstream: {url: '"+up.URL+"', grpc: '127.0.0.1:1', model: theirs}, policy: block}]\n")
	if code, _, _ := s.post("/any//path", "x"); code != http.StatusUnauthorized {
		t.Errorf("%d without a token", code)
	}
	token := []string{"Authorization", "Bearer much-of-a-token"}
	code, text, h := s.post("/any//path?a=b;c", strings.Repeat("x", 1<<20), token...)
	if code != http.StatusOK || text != "/any//path?a=b;c 1048576" || len(h.Values("X-Request-Id")) != 1 || h.Get("X-Request-Id") != "theirs" {
		t.Errorf("%d %s %v", code, text, h)
	}
	if code, text, h = s.post("/v2/models/theirs/infer", strings.Repeat("x", 1<<20), token...); code != http.StatusOK || h.Get("X-Vaeguard-Verdict") != "unjudged: too-large" || !strings.HasSuffix(text, " 1048576") {
		t.Errorf("%d %s %v", code, text, h)
	}
	_, text = s.get("admin", "/metrics")
	for _, line := range []string{`vaeguard_proxy_inferences_total{outcome="unread"} 1`, `vaeguard_proxy_verdicts_total{outcome="blocked"} 0`, `vaeguard_proxy_verdicts_total{outcome="corrected"} 0`, `vaeguard_proxy_passed_total{outcome="passed"} 1`, `vaeguard_answers_total{outcome="foreign"} 0`} {
		if !strings.Contains(text, line) {
			t.Errorf("the metrics lack %s", line)
		}
	}
	if strings.Contains(text, `vaeguard_proxy_inferences_total{outcome="blocked"}`) {
		t.Error("what is blocked is counted twice among inferences")
	}
	c, err := grpc.NewClient(s.Address("grpc").String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.Invoke(t.Context(), "/a.B/C", &emptypb.Empty{}, &emptypb.Empty{}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("a call without a token: %v", err)
	}
}

// A proxy takes events beside, of inferences that went another way; and calls are refused where the model's server
// has no gRPC.
func TestProxyAndEvents(t *testing.T) {
	dir := t.TempDir()
	servetest.Train(t, components(), filepath.Join(dir, "guard"), 0)
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.RequestURI) }))
	t.Cleanup(up.Close)
	s := run(t, dir, "listen: {http: '127.0.0.1:0', grpc: '127.0.0.1:0', admin: '127.0.0.1:0'}\nmodels: [{name: small, detector: guard, upstream: {url: '"+up.URL+"'}}]\nevents: {}\n")
	if code, text, _ := s.post("/events", "{}", "Ce-Specversion", "1.0", "Ce-Id", "1", "Ce-Source", "s", "Ce-Type", "org.kubeflow.serving.inference.request"); code != http.StatusOK || text != "" {
		t.Errorf("%d %s", code, text)
	}
	if c := s.Events().Counters(); c.Events != 1 || c.Waiting != 1 {
		t.Errorf("%+v", c)
	}
	if code, text, _ := s.post("/events/", "{}"); code != http.StatusOK || text != "/events/" {
		t.Errorf("another path: %d %s", code, text)
	}
	c, err := grpc.NewClient(s.Address("grpc").String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	for _, method := range []string{"/inference.GRPCInferenceService/ModelInfer", "/inference.GRPCInferenceService/ServerReady"} {
		if err := c.Invoke(t.Context(), method, &emptypb.Empty{}, &emptypb.Empty{}); status.Code(err) != codes.Unimplemented {
			t.Errorf("%s: %v", method, err)
		}
	}
}

// Events need the token of clients, unless the file says that they need none; others need it in any case.
func TestEventsAndTokens(t *testing.T) {
	t.Setenv("VG_TEST_BEARER", "much-of-a-token")
	dir := t.TempDir()
	servetest.Train(t, components(), filepath.Join(dir, "guard"), 0)
	event := []string{"Ce-Specversion", "1.0", "Ce-Id", strings.Repeat("i", 2000), "Ce-Source", "s", "Ce-Type", "org.kubeflow.serving.inference.request"}
	for token, want := range map[string]int{"clients": http.StatusUnauthorized, "none": http.StatusOK} {
		s := run(t, dir, listens+"models: [{name: small, detector: guard}]\nevents: {token: "+token+"}\nauth: {bearer: '${VG_TEST_BEARER}'}\n")
		if code, text, _ := s.post("/events", "{}", event...); code != want {
			t.Errorf("%s: %d %s, want %d", token, code, text, want)
		}
		if code, text, _ := s.post("/events", "{}", append(event, "Authorization", "Bearer much-of-a-token")...); code != http.StatusOK {
			t.Errorf("%s, with the token: %d %s", token, code, text)
		}
		for _, path := range []string{"/events/", "/events/..", "//events", "/v2/models/small/infer"} {
			if code, text, _ := s.post(path, "{}", event...); code != http.StatusUnauthorized {
				t.Errorf("%s, %s: %d %s", token, path, code, text)
			}
		}
		if told := strings.Contains(s.log.String(), "events.token none"); told != (token == "clients") {
			t.Errorf("%s: told %v", token, told)
		}
		_ = s.stop()
	}
}

// Headers and metadata pass a server with a proxy as they are, both ways, whatever the server itself reads of them.
func TestProxiesHeaders(t *testing.T) {
	dir := t.TempDir()
	servetest.Train(t, components(), filepath.Join(dir, "guard"), 0)
	theirs := http.Header{"X-Request-Id": {"theirs, and long: " + strings.Repeat("x", 200)}, "X-Two": {"a", "b"}}
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name := range r.Header {
			if strings.HasPrefix(name, "X-Forwarded-") || name == "Accept-Encoding" || name == "User-Agent" {
				r.Header.Del(name) // of a connection
			}
		}
		if r.URL.Path == "/named" {
			maps.Copy(w.Header(), theirs)
		}
		_ = r.Header.Write(w)
	}))
	t.Cleanup(up.Close)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	calls := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, s grpc.ServerStream) error {
		md, _ := metadata.FromIncomingContext(s.Context())
		head := metadata.MD{"saw": md.Get("x-request-id"), "two": md.Get("x-two")}
		if method, _ := grpc.MethodFromServerStream(s); method == "/named/Call" {
			head.Set("x-request-id", "theirs")
		}
		err := s.SetHeader(head)
		if in := (&emptypb.Empty{}); err == nil {
			err = s.RecvMsg(in)
		}
		return errors.Join(err, s.SendMsg(&emptypb.Empty{}))
	}))
	go func() { _ = calls.Serve(l) }() // until Stop
	t.Cleanup(calls.Stop)
	s := run(t, dir, "listen: {http: '127.0.0.1:0', grpc: '127.0.0.1:0', admin: '127.0.0.1:0'}\nmodels: [{name: small, detector: guard, upstream: {url: '"+up.URL+"', grpc: '"+l.Addr().String()+"'}}]\n")
	c, err := grpc.NewClient(s.Address("grpc").String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	for name, ids := range map[string][]string{"none": nil, "plain": {"id-1"}, "signs": {"a,b@c{d} e"}, "long": {strings.Repeat("y", 300)}, "several": {"one", "two"}, "empty": {""}} {
		for _, path := range []string{"/unnamed", "/named"} {
			ask := func(to string) (string, http.Header) {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, to+path, http.NoBody)
				if err != nil {
					t.Fatal(err)
				}
				r.Header["X-Request-Id"], r.Header["Traceparent"], r.Header["X-Vaeguard-Mine"], r.Header["Authorization"] = ids, []string{"none"}, []string{"a", "b"}, []string{"Bearer t"}
				a, err := http.DefaultClient.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				defer a.Body.Close()
				text, err := io.ReadAll(a.Body)
				if err != nil {
					t.Fatal(err)
				}
				return string(text), a.Header
			}
			want, _ := ask(up.URL)
			got, h := ask(s.url("http", ""))
			if got != want {
				t.Errorf("%s %s: the model server got\n%s\nwant\n%s", name, path, got, want)
			}
			if path == "/named" && (!slices.Equal(h["X-Request-Id"], theirs["X-Request-Id"]) || !slices.Equal(h["X-Two"], theirs["X-Two"])) || len(h["X-Request-Id"]) != 1 {
				t.Errorf("%s %s: %v", name, path, h)
			}
			var head metadata.MD
			ctx := metadata.NewOutgoingContext(t.Context(), metadata.MD{"x-request-id": ids, "x-two": {"a", "b"}})
			if err := c.Invoke(ctx, path+"/Call", &emptypb.Empty{}, &emptypb.Empty{}, grpc.Header(&head)); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(head.Get("saw"), ids) || len(head.Get("two")) != 2 {
				t.Errorf("%s %s: the model server's calls got %v", name, path, head)
			}
			if got := head.Get("x-request-id"); len(got) != 1 || path == "/named" && got[0] != "theirs" {
				t.Errorf("%s %s: a call has the ids %q", name, path, got)
			}
		}
	}
}

// A server takes events beside its protocols.
func TestTakesEvents(t *testing.T) {
	dir := t.TempDir()
	servetest.Train(t, components(), filepath.Join(dir, "guard"), 0)
	s := run(t, dir, listens+"models: [{name: small, detector: guard}]\nevents: {}\n")
	if code, text, _ := s.post("/events", "{}", "Ce-Specversion", "1.0", "Ce-Id", "1", "Ce-Source", "s", "Ce-Type", "org.kubeflow.serving.inference.request"); code != http.StatusOK {
		t.Errorf("%d %s", code, text)
	}
	if c := s.Events().Counters(); c.Events != 1 || c.Waiting != 1 {
		t.Errorf("%+v", c)
	}
	if _, text := s.get("admin", "/metrics"); !strings.Contains(text, `vaeguard_events_total{outcome="came"} 1`) {
		t.Error("the metrics have no events")
	}
	if code, _ := s.get("http", "/v2"); code != http.StatusOK {
		t.Errorf("/v2: %d", code)
	}
}

// What was answered when the server stops is judged before it ends: events, and what is observed.
func TestStopJudges(t *testing.T) {
	dir := t.TempDir()
	d := servetest.Train(t, components(), filepath.Join(dir, "guard"), 0)
	x := `{"inputs":[{"name":"x","shape":[1,64],"datatype":"FP32","data":[` + strings.TrimSuffix(strings.Repeat("0.5,", 64), ",") + `]}]}`
	answer := `{"model_name":"small","outputs":[{"name":"label","shape":[1],"datatype":"INT64","data":[1]}]}`
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, answer) }))
	t.Cleanup(up.Close)
	for name, c := range map[string]struct {
		text   string
		ask    func(s *running) (int, string, http.Header)
		judged func(s *running) int64
	}{
		"events": {"models: [{name: small, detector: guard}]\nevents: {}\n", func(s *running) (int, string, http.Header) {
			event := []string{"Ce-Specversion", "1.0", "Ce-Id", "1", "Ce-Source", "s", "Ce-Type", "org.kubeflow.serving.inference.request"}
			if code, text, h := s.post("/events", x, event...); code != http.StatusOK {
				return code, text, h
			}
			return s.post("/events", answer, append(event, "Ce-Type", "org.kubeflow.serving.inference.response")...)
		}, func(s *running) int64 { return s.Events().Counters().Judged }},
		"observed": {"models: [{name: small, detector: guard, upstream: {url: '" + up.URL + "', grpc: '127.0.0.1:1'}, policy: observe}]\n", func(s *running) (int, string, http.Header) {
			return s.post("/v2/models/small/infer", x)
		}, func(s *running) int64 { return s.Proxy().Counters().Judged }},
	} {
		t.Run(name, func(t *testing.T) {
			s := run(t, dir, listens+c.text)
			d.Control(t, servetest.Hold)
			if code, text, _ := c.ask(s); code != http.StatusOK {
				t.Fatalf("%d %s", code, text)
			}
			stopped := make(chan error)
			go func() { stopped <- s.stop() }()
			for ok := true; ok; ok, _ = s.Ready() {
				time.Sleep(time.Millisecond)
			}
			d.Control(t, servetest.Works)
			if err := <-stopped; err != nil || c.judged(s) != 1 {
				t.Errorf("%v, and %d inferences were judged, want 1", err, c.judged(s))
			}
		})
	}
}

func TestFaultsBeside(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "server.yaml")
	for name, test := range map[string]struct{ text, want string }{
		"no URL":        {"listen: {http: ':0'}\nmodels: [{name: a, detector: d, upstream: {url: 'host:80'}}]\n", "want http://"},
		"one name":      {"listen: {http: ':0'}\nmodels: [{name: a, detector: d, upstream: {url: 'http://h', model: b}}, {name: b, detector: d}]\n", "guarded twice"},
		"twice":         {"listen: {http: ':0'}\nmodels: [{name: a, detector: d, upstream: {url: 'http://h'}}, {name: b, detector: d, upstream: {url: 'http://h', model: a}}]\n", "guarded twice"},
		"a policy":      {"listen: {http: ':0'}\nmodels: [{name: a, detector: d, policy: pray}]\n", "observe"},
		"events, path":  {"listen: {http: ':0'}\nevents: {path: /v2/x}\nmodels: [{name: a, detector: d}]\n", "outside /v2"},
		"events, V1":    {"listen: {http: ':0'}\nevents: {path: /v1/}\nmodels: [{name: a, detector: d}]\n", "outside /v2 and /v1"},
		"events, dots":  {"listen: {http: ':0'}\nevents: {path: /a/../b}\nmodels: [{name: a, detector: d}]\n", "want a path"},
		"events, reply": {"listen: {http: ':0'}\nevents: {reply_url: 'ftp://h'}\nmodels: [{name: a, detector: d}]\n", "want http://"},
	} {
		if err := os.WriteFile(file, []byte("api_version: vaeguard/v1\nkind: Server\n"+test.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := serve.Load(file, nil, components()); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}
