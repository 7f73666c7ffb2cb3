package watch

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/serve/judge"
	"github.com/vaeguard/vaeguard/host/serve/servetest"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

func components() host.Components { return servetest.Components(builtin.Components()) }

func TestMain(m *testing.M) {
	host.ServeIfPlugin(components())
	os.Exit(m.Run())
}

// version is a model that is never asked.
type version struct {
	name, version string
	d             *host.Detector
}

func (v *version) Name() string             { return v.name }
func (v *version) Version() string          { return v.version }
func (v *version) Detector() *host.Detector { return v.d }
func (v *version) Judge(context.Context, judge.Request) (*detect.Result, error) {
	return nil, nil
}

// event is one row with the highest score that there is.
func (v *version) event() judge.Event {
	return judge.Event{Model: v, Start: time.Now(), Batch: 1, Request: judge.Request{Rows: &dataset.Data{X: tensor.New(1, 64)}, Way: "http", Client: "a"},
		Result: &detect.Result{Score: []float64{1e9}, Statistic: []float64{1e9}, PValue: []float64{0.01}, Adversarial: []bool{true}, Predicted: []int{1}, Reconstructed: []int{2}, Corrected: []int{2}}}
}

// TestVersionsBesideEachOther: while an old version still answers beside a new one, each
// has a martingale of its own that goes on, and what is shown is the new one's.
func TestVersionsBesideEachOther(t *testing.T) {
	d := servetest.Train(t, components(), filepath.Join(t.TempDir(), "d"), 0).Open(t)
	b := NewBoard(Options{})
	scrape := func() string {
		w := httptest.NewRecorder()
		b.Metrics().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		return w.Body.String()
	}
	shown := func() View {
		t.Helper()
		views := b.Views()
		if len(views) != 1 {
			t.Fatalf("%d models are shown", len(views))
		}
		return views[0]
	}
	one, two := &version{"m", "1", d}, &version{"m", "2", d}
	b.Opened(one)
	for range 10 {
		b.Judged(one.event())
	}
	first := shown()
	if first.Version != "1" || first.Rows != 10 || first.Martingale <= 1 {
		t.Fatalf("%+v", first)
	}
	b.Opened(two)
	if v := shown(); v.Version != "2" || v.Rows != 0 || v.Martingale > 0 {
		t.Errorf("a new version: %+v", v)
	}
	for range 20 { // the old one drains
		b.Judged(one.event())
		b.Judged(two.event())
	}
	second := shown()
	if second.Version != "2" || second.Rows != 20 || second.Martingale <= first.Martingale {
		t.Errorf("%+v after %+v", second, first)
	}
	text := scrape()
	for _, want := range []string{`vaeguard_rows_total{model="m",verdict="flagged"} 50`, `vaeguard_detector_info{classifier="`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	if n := strings.Count(text, "\nvaeguard_detector_info{"); n != 1 {
		t.Errorf("%d detectors of one model", n)
	}
	again := &version{"m", "2", d} // the same version is loaded anew: it goes on
	b.Opened(again)
	b.Closed(one)
	b.Closed(two)
	b.Judged(two.event()) // of a request whose answer came with the close
	if v := shown(); v.Version != "2" || v.Rows != 21 {
		t.Errorf("%+v", v)
	}
	b.Judged(one.event())
	if v := shown(); v.Version != "2" || v.Rows != 21 || len(b.models["m"].all) != 1 {
		t.Errorf("a version that is closed is shown: %+v", v)
	}
	b.Closed(again)
	if len(b.Views()) != 0 || len(b.models) != 0 || strings.Contains(scrape(), "vaeguard_detector_info{") {
		t.Error("a model that was unloaded is shown")
	}
	if b.Reset("m") {
		t.Error("a model that was unloaded is reset")
	}
}

// TestClientsOverVersions: an attack goes on over a reload, and so does what is known of it. A
// model that was unloaded begins anew.
func TestClientsOverVersions(t *testing.T) {
	d := servetest.Train(t, components(), filepath.Join(t.TempDir(), "d"), 0).Open(t)
	b := NewBoard(Options{Notice: 5})
	one, two := &version{"m", "1", d}, &version{"m", "2", d}
	x := tensor.New(1, 64)
	for i := range x.Data {
		x.Data[i] = float32(i*i%64) / 64
	}
	ask := func(v *version, rows int) {
		for range rows {
			x.Data[7] += 1.0 / 1024
			e := v.event()
			e.Request.Rows = &dataset.Data{X: x.Clone()}
			b.Judged(e)
		}
	}
	noticed := func() int {
		t.Helper()
		views := b.Views()
		if len(views) != 1 {
			t.Fatalf("%d models are shown", len(views))
		}
		return views[0].Noticed
	}
	b.Opened(one)
	ask(one, 4)
	b.Opened(two)
	b.Closed(one)
	if n := noticed(); n != 0 {
		t.Errorf("%d clients are noticed after 4 queries", n)
	}
	ask(two, 2)
	if n := noticed(); n != 1 {
		t.Errorf("%d clients are noticed after 4 queries to a version and 2 to the next", n)
	}
	b.Closed(two)
	b.Opened(one)
	ask(one, 1)
	if n := noticed(); n != 0 {
		t.Errorf("%d clients are noticed of a model that was unloaded", n)
	}
	o := SimilarOptions{High: 2}
	if before := b.shown("m"); clientsAfter(before, o, before.clients.shape) == before.clients {
		t.Error("rows of another range have the fingerprints of before")
	}
	if before := b.shown("m"); clientsAfter(before, before.clients.o, tensor.Shape{8, 8}) == before.clients {
		t.Error("rows of another shape have the fingerprints of before")
	}
}
