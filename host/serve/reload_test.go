package serve_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/vaeguard/vaeguard/host/serve/servetest"
)

// rewrite replaces the file of a server.
func rewrite(t *testing.T, dir, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "server.yaml"), []byte("api_version: vaeguard/v1\nkind: Server\n"+text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// With SIGHUP the file is read again: models come, go and change while requests go on, none of
// which fails; a file with a fault is refused as a whole.
func TestFileReadAgain(t *testing.T) {
	dir := t.TempDir()
	servetest.Train(t, components(), filepath.Join(dir, "one"), 0)
	servetest.Train(t, components(), filepath.Join(dir, "two"), 1)
	s := run(t, dir, listens+"models: [{name: a, detector: one}, {name: b, detector: one}]\n")
	version := func(name string) string {
		t.Helper()
		m, done, err := s.Models().Lease(name, "")
		if err != nil {
			return err.Error()
		}
		defer done()
		return m.Version()
	}
	first := version("a")
	stop, failed := make(chan struct{}), atomic.Int64{}
	var asking sync.WaitGroup
	for i := range 3 {
		asking.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if code, text, _ := s.post("/judge/a", body(i, 2)); code != http.StatusOK {
					failed.Add(1)
					t.Log(code, text)
				}
			}
		})
	}
	for name, c := range map[string]struct{ text, want string }{
		"no YAML":       {"models: [", "server.yaml"},
		"a fault":       {listens + "models: [{name: a, detector: one}]\nlimits: {queue: 0}\n", "limits.queue"},
		"an unknown":    {listens + "models: [{name: a, detector: one, polici: block}]\n", "polici"},
		"another place": {"listen: {http: '127.0.0.1:1', admin: '127.0.0.1:0'}\nmodels: [{name: a, detector: one}]\n", "listen changes with a restart alone"},
		"a proxy":       {listens + "models: [{name: a, detector: one, upstream: {url: 'http://127.0.0.1:1'}}]\n", "with a restart alone"},
	} {
		rewrite(t, dir, c.text)
		if err := s.Reload(t.Context()); err == nil || !strings.Contains(strings.ReplaceAll(err.Error(), ":", ""), strings.ReplaceAll(c.want, ":", "")) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
		if version("a") != first || version("b") != first || len(s.Spec().Models) != 2 {
			t.Errorf("%s: the models are %s and %s", name, version("a"), version("b"))
		}
	}
	// a changes, b goes, c comes, and d cannot be opened.
	rewrite(t, dir, listens+"models: [{name: a, detector: two}, {name: c, detector: one, batching: {max_rows: 1}}, {name: d, detector: none}]\nlimits: {queue: 7}\n")
	if err := s.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "model d") {
		t.Errorf("a model without a detector: %v", err)
	}
	if v := version("a"); v == first || version("c") != first || !strings.Contains(version("b"), "no model") || !strings.Contains(version("d"), "not ready") {
		t.Errorf("%s, %s, %s, %s", v, version("b"), version("c"), version("d"))
	}
	if code, text, _ := s.post("/judge/c", body(1, 8)); code != http.StatusOK { // alone it may have more than the queue
		t.Errorf("%d %s", code, text)
	}
	await(t, "metrics of the model that came, and none of the one that is gone", func() bool {
		_, text := s.get("admin", "/metrics")
		return !strings.Contains(text, `vaeguard_martingale_log10{model="b"}`) && strings.Contains(text, `vaeguard_martingale_log10{model="c"}`)
	})
	// What is as before stays open: no process is started for it.
	m, done, err := s.Models().Lease("a", "")
	if err != nil {
		t.Fatal(err)
	}
	done()
	rewrite(t, dir, listens+"models: [{name: a, detector: two}]\nlimits: {queue: 7}\n")
	if err := s.Reload(t.Context()); err != nil {
		t.Error(err)
	}
	if again, done, err := s.Models().Lease("a", ""); err != nil || again != m {
		t.Errorf("a model that did not change was opened anew: %v", err)
	} else {
		done()
	}
	if names := s.Models().List(); len(names) != 1 {
		t.Errorf("%v", names)
	}
	close(stop)
	asking.Wait()
	if failed.Load() > 0 {
		t.Errorf("%d requests failed", failed.Load())
	}
}

// A proxy's policies, upstreams and models change too.
func TestProxyReadAgain(t *testing.T) {
	dir := t.TempDir()
	servetest.Train(t, components(), filepath.Join(dir, "one"), 0)
	const rows = `{"inputs":[{"name":"in","shape":[2,64],"datatype":"FP32","data":[%s]}]}`
	body := fmt.Sprintf(rows, strings.TrimSuffix(strings.Repeat("0.5,", 128), ","))
	upstream := func(name string) string {
		return serveFunc(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-From", name)
			fmt.Fprint(w, `{"model_name":"m","outputs":[{"name":"label","shape":[2],"datatype":"INT64","data":[1,2]}]}`)
		})
	}
	first, second := upstream("first"), upstream("second")
	const http = "listen: {http: '127.0.0.1:0'}\n"
	file := func(url, policy, extra string) string {
		return http + "models: [{name: a, detector: one, upstream: {url: '" + url + "'}, policy: " + policy + extra + "}]\n"
	}
	s := run(t, dir, file(first, "annotate", ""))
	ask := func() (from, verdict string, text string) {
		t.Helper()
		_, text, h := s.post("/v2/models/a/infer", body)
		return h.Get("X-From"), h.Get("X-Vaeguard-Verdict"), text
	}
	if from, verdict, text := ask(); from != "first" || verdict != "judged" || !strings.Contains(text, "vaeguard_flagged") {
		t.Fatalf("%s %s %s", from, verdict, text)
	}
	m, done, err := s.Models().Lease("a", "")
	if err != nil {
		t.Fatal(err)
	}
	done()
	rewrite(t, dir, file(second, "observe", ""))
	if err := s.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if from, verdict, text := ask(); from != "second" || verdict != "" || strings.Contains(text, "vaeguard") {
		t.Errorf("%s %s %s", from, verdict, text)
	}
	if again, done, err := s.Models().Lease("a", ""); err != nil || again != m {
		t.Errorf("another policy is no reason to open a model anew: %v", err)
	} else {
		done()
	}
	rewrite(t, dir, file(first, "annotate", ", on_failure: closed, upstreem: 1"))
	if err := s.Reload(t.Context()); err == nil {
		t.Error("a fault is taken")
	}
	if from, _, _ := ask(); from != "second" {
		t.Errorf("after a fault requests go to %s", from)
	}
}

// serveFunc is the address of a server.
func serveFunc(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}
