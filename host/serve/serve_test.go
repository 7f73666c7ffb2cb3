package serve_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/serve"
	"github.com/vaeguard/vaeguard/host/serve/judge"
	"github.com/vaeguard/vaeguard/host/serve/servetest"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

func components() host.Components { return servetest.Components(builtin.Components()) }

func TestMain(m *testing.M) {
	actInit()
	host.ServeIfPlugin(components())
	os.Exit(m.Run())
}

// lines is a log that tests read.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// running is a server under test.
type running struct {
	*serve.Server
	t           *testing.T
	log, access lines
}

// run starts a server of a text, with a way in for tests: POST /judge/NAME of rows as
// JSON answers the version and the scores.
func run(t *testing.T, dir, text string) *running {
	t.Helper()
	s := &running{t: t}
	if err := s.start(dir, text); err != nil {
		t.Fatalf("%v\n%s", err, s.log.String())
	}
	return s
}

// prepare makes a server of a text, which is not started.
func prepare(t *testing.T, dir, text string) *running {
	t.Helper()
	s := &running{t: t}
	if err := s.load(dir, text); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *running) start(dir, text string) error {
	s.t.Helper()
	if err := s.load(dir, text); err != nil {
		return err
	}
	err := s.Server.Start(s.t.Context())
	s.t.Cleanup(func() { s.stop() })
	return err
}

// load makes the server.
func (s *running) load(dir, text string) error {
	s.t.Helper()
	file := filepath.Join(dir, "server.yaml")
	if err := os.WriteFile(file, []byte("api_version: vaeguard/v1\nkind: Server\n"+text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	spec, err := serve.Load(file, nil, components())
	if err != nil {
		return err
	}
	s.Server = serve.New(spec, serve.Options{Components: components(), Host: host.Options{Threads: 1}, Access: &s.access,
		Reread: func() (*serve.Spec, error) { return serve.Load(file, nil, components()) },
		Logger: hclog.New(&hclog.LoggerOptions{Output: &s.log, Level: hclog.Info})})
	s.Handle("POST /judge/{name}", http.HandlerFunc(s.judge))
	s.Handle("POST /panic", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("on purpose") }))
	s.Handle("GET /gap", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for i := range 2 {
			time.Sleep(time.Duration(i) * gap)
			_, _ = fmt.Fprint(w, i) // to a client of the test
			_ = http.NewResponseController(w).Flush()
		}
	}))
	return nil
}

func (s *running) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	return s.Stop(ctx)
}

func (s *running) judge(w http.ResponseWriter, r *http.Request) {
	var rows [][]float32
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = json.Unmarshal(body, &rows)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	x := tensor.New(len(rows), 64)
	for i, row := range rows {
		copy(x.Row(i), row)
	}
	m, done, err := s.Models().Lease(r.PathValue("name"), r.URL.Query().Get("version"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	defer done()
	got, err := m.Judge(r.Context(), judge.Request{Rows: &dataset.Data{X: x}, Way: "http", Client: serve.Client(r.Context(), r.RemoteAddr), ID: serve.RequestID(r.Context())})
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	_ = json.NewEncoder(w).Encode(verdict{m.Version(), got.Score})
}

type verdict struct {
	Version string
	Score   []float64
}

// body is n rows that differ.
func body(seed, n int) string {
	var rows []string
	for i := range n {
		rows = append(rows, "["+strings.TrimSuffix(strings.Repeat(fmt.Sprintf("%g,", float64((seed*7+i*3)%16)/16), 64), ",")+"]")
	}
	return "[" + strings.Join(rows, ",") + "]"
}

func (s *running) url(listener, path string) string {
	return "http://" + s.Address(listener).String() + path
}

// post asks the test's way in.
func (s *running) post(path, text string, header ...string) (int, string, http.Header) {
	s.t.Helper()
	r, err := http.NewRequest(http.MethodPost, s.url("http", path), strings.NewReader(text))
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err.Error(), nil
	}
	b, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	return resp.StatusCode, string(b), resp.Header
}

func (s *running) get(listener, path string, header ...string) (int, string) {
	s.t.Helper()
	r, err := http.NewRequest(http.MethodGet, s.url(listener, path), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	b, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	return resp.StatusCode, string(b)
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it does not come: " + what)
		}
	}
}

// gap is for how long an answer of GET /gap is silent.
const gap = 2500 * time.Millisecond

// An answer may be silent between its parts for longer than its client may take for one: limits.read bounds
// what waits for the client alone.
func TestSilentAnswers(t *testing.T) {
	dir := t.TempDir()
	servetest.Train(t, components(), filepath.Join(dir, "guard"), 0)
	s := run(t, dir, listens+"models: [{name: small, detector: guard}]\nlimits: {read: 2s}\n")
	for name, set := range map[string]func(*http.Protocols){
		"HTTP/1.1": func(p *http.Protocols) { p.SetHTTP1(true) },
		"HTTP/2.0": func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			transport := &http.Transport{Protocols: new(http.Protocols)}
			set(transport.Protocols)
			defer transport.CloseIdleConnections()
			for range 2 { // over one connection
				got, err := (&http.Client{Transport: transport}).Get(s.url("http", "/gap"))
				if err != nil {
					t.Fatal(err)
				}
				text, err := io.ReadAll(got.Body)
				_ = got.Body.Close()
				if err != nil || string(text) != "01" || got.Proto != name {
					t.Errorf("%s: %q, %v", got.Proto, text, err)
				}
			}
		})
	}
}

const listens = "listen: {http: '127.0.0.1:0', admin: '127.0.0.1:0'}\n"

// A server of one detector: its answers, its health, its access log, its end.
func TestServes(t *testing.T) {
	dir := t.TempDir()
	w := servetest.Train(t, components(), filepath.Join(dir, "guard"), 0)
	s := run(t, dir, listens+"models: [{name: small, detector: guard}]\nlimits: {body: 64KiB}\n")
	if code, text := s.get("admin", "/readyz"); code != 200 || !strings.Contains(text, `"ready":true`) {
		t.Errorf("readyz: %d %s", code, text)
	}
	if code, _ := s.get("admin", "/livez"); code != 200 {
		t.Errorf("livez: %d", code)
	}
	code, text, header := s.post("/judge/small", body(1, 3), "X-Request-Id", "my-id.1")
	var got verdict
	if err := json.Unmarshal([]byte(text), &got); code != 200 || err != nil || len(got.Score) != 3 {
		t.Fatalf("%d %s", code, text)
	}
	if header.Get("X-Request-Id") != "my-id.1" {
		t.Errorf("the id is %q", header.Get("X-Request-Id"))
	}
	d := w.Open(t)
	x := tensor.New(3, 64)
	var rows [][]float32
	if err := json.Unmarshal([]byte(body(1, 3)), &rows); err != nil {
		t.Fatal(err)
	}
	for i := range rows {
		copy(x.Row(i), rows[i])
	}
	want, err := d.Detect(t.Context(), x)
	if err != nil || !reflect.DeepEqual(got.Score, want.Score) {
		t.Errorf("other bits: %v, want %v, %v", got.Score, want, err)
	}
	if !strings.HasPrefix(strings.TrimPrefix(d.Digest(), "sha256:"), got.Version) || len(got.Version) != 12 {
		t.Errorf("version %q of %s", got.Version, d.Digest())
	}
	for path, want := range map[string]int{"/judge/none": 404, "/judge/small?version=2": 404, "/judge/small?version=" + got.Version: 200, "/nothing": 404} {
		if code, text, _ := s.post(path, body(1, 1)); code != want {
			t.Errorf("%s: %d %s, want %d", path, code, text, want)
		}
	}
	if code, _, _ := s.post("/judge/small", body(1, 400)); code != 400 { // over 64 KiB
		t.Errorf("a large body: %d", code)
	}
	if code, text, _ := s.post("/panic", ""); code != 500 || strings.Contains(text, "purpose") {
		t.Errorf("a panic: %d %s", code, text)
	}
	if code, _, h := s.post("/judge/small", body(1, 1), "X-Request-Id", "no good\x01"); code != 200 && code != 0 || h != nil && h.Get("X-Request-Id") == "no good\x01" {
		t.Errorf("an id of control characters: %d %v", code, h)
	}
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	if ready, why := s.Ready(); ready || len(why) != 1 {
		t.Errorf("stopped: %t %v", ready, why)
	}
	var first map[string]any
	line := ""
	for l := range strings.Lines(s.access.String()) {
		if strings.Contains(l, "my-id.1") {
			line = l
		}
		if strings.Contains(l, "0.4375") {
			t.Error("a payload is in the log")
		}
	}
	if err := json.Unmarshal([]byte(line), &first); err != nil || first["status"] != 200.0 || first["path"] != "/judge/small" || first["client"] != "127.0.0.1" || first["in"].(float64) < 100 {
		t.Errorf("%v: %s", err, line)
	}
}

// Versions of a repository: the highest is served; a new one takes its place under
// load without an error, a broken one is refused, and the old one stays.
func TestReloadsUnderLoad(t *testing.T) {
	dir := t.TempDir()
	at := func(version string) string { return filepath.Join(dir, "models", "small", version) }
	w := servetest.Train(t, components(), at("1"), 0)
	_ = w
	s := run(t, dir, listens+"repository: models\n")
	var stop atomic.Bool
	var wg sync.WaitGroup
	var answers atomic.Int64
	for c := range 4 {
		wg.Go(func() {
			for !stop.Load() {
				if code, text, _ := s.post("/judge/small", body(c, 1+c)); code != 200 {
					t.Errorf("%d %s", code, text)
					return
				}
				answers.Add(1)
			}
		})
	}
	version := func() string {
		_, text, _ := s.post("/judge/small", body(1, 1))
		var v verdict
		_ = json.Unmarshal([]byte(text), &v)
		return v.Version
	}
	for i := 2; i <= 12; i++ {
		name := fmt.Sprint(i)
		if i%4 == 0 { // what is broken is refused, whatever its number
			spoil(t, at("1"), at(name))
			await(t, "the refusal of "+name, func() bool {
				return strings.Contains(s.log.String(), "was refused") && s.Models().Reloads().Refused >= int64(i/4)
			})
			if v := version(); v == name {
				t.Errorf("the broken version %s is in use", name)
			}
			continue
		}
		if err := os.CopyFS(at(name)+".partial", os.DirFS(at("1"))); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(at(name)+".partial", at(name)); err != nil {
			t.Fatal(err)
		}
		await(t, "version "+name, func() bool { return version() == name })
	}
	// An explicit load says what is wrong.
	if err := s.Models().Load(t.Context(), "small"); err == nil || !strings.Contains(err.Error(), "was edited") {
		t.Errorf("a load of the broken version 12: %v", err)
	}
	stop.Store(true)
	wg.Wait()
	if answers.Load() < 20 {
		t.Errorf("only %d answers", answers.Load())
	}
	r := s.Models().Reloads()
	if r.Done != 8 || r.Refused < 4 {
		t.Errorf("%+v", r)
	}
	for _, m := range s.Models().List() {
		if m.Ready != (m.Version == "11") || m.Ready == (m.Reason != "") {
			t.Errorf("%+v", m)
		}
	}

	// Unloaded, it is not there until it is loaded.
	if err := s.Models().Unload(t.Context(), "small"); err != nil {
		t.Fatal(err)
	}
	if code, text, _ := s.post("/judge/small", body(1, 1)); code != 404 || !strings.Contains(text, "not ready") {
		t.Errorf("unloaded: %d %s", code, text)
	}
	if err := os.RemoveAll(at("12")); err != nil {
		t.Fatal(err)
	}
	if err := s.Models().Load(t.Context(), "small"); err != nil || version() != "11" {
		t.Errorf("loaded again: %v, version %s", err, version())
	}
	var missing *judge.NotFoundError
	if err := s.Models().Load(t.Context(), "none"); !errors.As(err, &missing) {
		t.Errorf("no such model: %v", err)
	}
}

// spoil makes a version whose weights are not what meta.json says.
func spoil(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to+".partial", os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(to+".partial", "weights.safetensors")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)-1] ^= 1
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(to+".partial", to); err != nil {
		t.Fatal(err)
	}
}

// A detector whose classifier is another model than when it was made is refused by
// its canaries, and one whose classifier is away is opened once it is there.
func TestCanariesDecide(t *testing.T) {
	dir := t.TempDir()
	w := servetest.Train(t, components(), filepath.Join(dir, "guard"), 0)
	w.Control(t, servetest.Away)
	s := run(t, dir, listens+"models: [{name: small, detector: guard}]\n")
	if code, _ := s.get("admin", "/readyz"); code != 503 {
		t.Errorf("readyz while the classifier is away: %d", code)
	}
	if code, _ := s.get("admin", "/livez"); code != 200 {
		t.Errorf("livez: %d", code)
	}
	w.Control(t, servetest.Works)
	await(t, "the model", func() bool { ok, _ := s.Ready(); return ok })

	// It goes away and comes back.
	w.Control(t, servetest.Away)
	if code, text, _ := s.post("/judge/small", body(1, 1)); code != 503 || !strings.Contains(text, "the classifier is away") {
		t.Errorf("%d %s", code, text)
	}
	await(t, "unready", func() bool { ok, _ := s.Ready(); return !ok })
	w.Control(t, servetest.Works)
	await(t, "ready again", func() bool { ok, _ := s.Ready(); return ok })
}

// At the end nobody who has asked is left without an answer.
func TestStopsUnderLoad(t *testing.T) {
	dir := t.TempDir()
	w := servetest.Train(t, components(), filepath.Join(dir, "guard"), 0)
	s := run(t, dir, listens+"models: [{name: small, detector: guard}]\n")
	w.Control(t, servetest.Slow(20*time.Millisecond))
	const clients = 8
	var wg sync.WaitGroup
	var asked, answered atomic.Int64
	for c := range clients {
		wg.Go(func() {
			for {
				conn, err := net.Dial("tcp", s.Address("http").String())
				if err != nil {
					return // it listens no more
				}
				text := body(c, 2)
				asked.Add(1)
				_, err = fmt.Fprintf(conn, "POST /judge/small HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(text), text)
				b, _ := io.ReadAll(conn)
				_ = conn.Close()
				switch {
				case strings.HasPrefix(string(b), "HTTP/1.1 200"):
					answered.Add(1)
				case len(b) == 0: // it was not taken any more
					asked.Add(-1)
				default:
					t.Errorf("%v: %q", err, b)
				}
			}
		})
	}
	await(t, "load", func() bool { return answered.Load() > 20 })
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	wg.Wait()
	if asked.Load() != answered.Load() {
		t.Errorf("%d of %d have an answer", answered.Load(), asked.Load())
	}
}

// Killed again and again under load, the classifier comes back, and the server with
// it: requests fail by name or are answered.
func TestClassifierKilledUnderLoad(t *testing.T) {
	dir := t.TempDir()
	w := servetest.Train(t, components(), filepath.Join(dir, "guard"), 0)
	s := run(t, dir, listens+"models: [{name: small, detector: guard}]\n")
	var stop atomic.Bool
	var wg sync.WaitGroup
	var good, away atomic.Int64
	for c := range 4 {
		wg.Go(func() {
			for !stop.Load() {
				switch code, text, _ := s.post("/judge/small", body(c, 1)); {
				case code == 200:
					good.Add(1)
				case code == 503 && strings.Contains(text, "the classifier is away"):
					away.Add(1)
				default:
					t.Errorf("%d %s", code, text)
				}
			}
		})
	}
	for range 10 {
		w.Control(t, servetest.Crash)
		before := away.Load()
		await(t, "a failure", func() bool { return away.Load() > before })
		w.Control(t, servetest.Works)
		now := good.Load()
		await(t, "an answer", func() bool { return good.Load() > now })
	}
	stop.Store(true)
	wg.Wait()
	t.Logf("%d answers, %d refused while it was away", good.Load(), away.Load())
}

// A model whose classifier is away is not ready, from the request on that found out, and is
// again once it is back.
func TestAwayIsNotReady(t *testing.T) {
	dir := t.TempDir()
	w := servetest.Train(t, components(), filepath.Join(dir, "guard"), 0)
	s := run(t, dir, listens+"models: [{name: small, detector: guard}]\n")
	ready := func() bool { // of the model; the server and its admin port say the same while it does not change
		for {
			code, text := s.get("http", "/v2/models/small/ready")
			if code == http.StatusOK != strings.Contains(text, `"ready":true`) {
				t.Errorf("%d %s", code, text)
			}
			all, _ := s.get("http", "/v2/health/ready")
			admin, _ := s.get("admin", "/readyz")
			if again, _ := s.get("http", "/v2/models/small/ready"); again != code {
				continue // it came back in between
			}
			if all == http.StatusOK != (code == http.StatusOK) || admin == http.StatusOK != (code == http.StatusOK) {
				t.Errorf("the model %d, the server %d, admin %d", code, all, admin)
			}
			return code == http.StatusOK
		}
	}
	if !ready() {
		t.Error("it is not ready")
	}
	w.Control(t, servetest.Away)
	if code, _, _ := s.post("/judge/small", body(1, 1)); code != http.StatusServiceUnavailable {
		t.Errorf("a classifier that is away: %d", code)
	}
	if ready() {
		t.Error("it is ready, and its classifier is away")
	}
	w.Control(t, servetest.Works)
	await(t, "the classifier", ready)
}

// Faults of what a command line says name no file, and no place in one.
func TestFaultsOfACommandLine(t *testing.T) {
	for set, want := range map[string]string{"limits.queue=0": "--set limits.queue: ", "limits.quue=1": "--set limits.quue: ", "limits.queue=9": `models[1].name: "one" appears twice`} {
		_, err := serve.ForDetectors([]string{"a/one", "b/one"}, []string{set}, components())
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v, want %s first", set, err, want)
		}
	}
}
