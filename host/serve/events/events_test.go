package events_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/host/serve"
	"github.com/vaeguard/vaeguard/host/serve/events"
	"github.com/vaeguard/vaeguard/host/serve/judge"
	"github.com/vaeguard/vaeguard/host/serve/servetest"
	"github.com/vaeguard/vaeguard/host/serve/tensors"
	"github.com/vaeguard/vaeguard/sdk/sdktest"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

func components() host.Components { return servetest.Components(builtin.Components()) }

func TestMain(m *testing.M) {
	host.ServeIfPlugin(components())
	os.Exit(m.Run())
}

// told is a reply.
type told struct {
	header http.Header
	events.Verdict
}

// bench is a sink with a guard behind it, and who is told.
type bench struct {
	*events.Sink
	trained servetest.Trained
	guard   *judge.Guard
	kinds   *judge.Kinds
	models  judge.Models
	url     string
	replies chan told
	x       *tensor.Tensor
	want    *detect.Result
}

func stand(t *testing.T, change func(*events.Options)) *bench {
	t.Helper()
	b := &bench{trained: servetest.Train(t, components(), filepath.Join(t.TempDir(), "d"), 0), replies: make(chan told, 100)}
	d := b.trained.Open(t)
	s := serve.NewSingle(d, judge.Options{Name: "small"})
	t.Cleanup(func() { s.Close(context.Background()) })
	b.guard, b.models = s.Guard(), s
	to := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		one := told{header: r.Header}
		if err := json.NewDecoder(r.Body).Decode(&one.Verdict); err != nil {
			t.Error(err)
		}
		b.replies <- one
		w.WriteHeader(http.StatusAccepted)
	}))
	t.Cleanup(to.Close)
	o := events.Options{ReplyURL: to.URL, Kinds: judge.NewKinds(judge.KindsOptions{})}
	if change != nil {
		change(&o)
	}
	b.Sink, b.kinds = events.New(s, o), o.Kinds
	t.Cleanup(b.Close)
	front := httptest.NewServer(b.Sink)
	t.Cleanup(front.Close)
	b.url = front.URL
	r := rand.New(rand.NewPCG(1, 2))
	b.x = tensor.New(8, 64)
	for i := range b.x.Data {
		b.x.Data[i] = r.Float32() * float32(i/64%4) / 3
	}
	rows, err := d.Prepare(b.x)
	if err != nil {
		t.Fatal(err)
	}
	if b.want, err = d.DetectRows(t.Context(), rows, detect.Include{}); err != nil {
		t.Fatal(err)
	}
	return b
}

// next is another sink in the place of the one that was closed, at a topic.
func (b *bench) next(t *testing.T, o events.KafkaOptions) {
	t.Helper()
	b.Sink = events.New(b.models, events.Options{})
	t.Cleanup(b.Sink.Close)
	if err := b.Kafka(o); err != nil {
		t.Fatal(err)
	}
}

// bodies are an inference, in JSON or with binary tensors.
func (b *bench) bodies(t *testing.T, binary bool) (request, response []byte) {
	t.Helper()
	p, err := (&sdktest.Fake{Shape: tensor.Shape{64}, Classes: 10, Seed: 3}).Predict(t.Context(), b.x)
	if err != nil {
		t.Fatal(err)
	}
	so := func(tensors.Tensor) bool { return binary }
	if !binary {
		so = nil
	}
	request, _ = tensors.AppendRequest(nil, tensors.Request{Inputs: []tensors.Tensor{tensors.FromFloat32s("in", []int64{8, 64}, b.x.Data)}}, so)
	response, _ = tensors.AppendResponse(nil, tensors.Response{Model: "m", Outputs: []tensors.Tensor{tensors.FromFloat32s("out", []int64{8, 10}, p.Data)}}, so)
	return request, response
}

// send posts an event as KServe's logger does: binary mode, and the content type of the
// request for both.
func (b *bench) send(t *testing.T, id, kind string, body []byte) {
	t.Helper()
	code, text := b.post(t, http.Header{"Ce-Specversion": {"1.0"}, "Ce-Id": {id}, "Ce-Type": {kind}, "Ce-Source": {"http://localhost:9081/"}, "Ce-Time": {"2025-01-02T03:04:05.6Z"},
		"Ce-Inferenceservicename": {"fashion"}, "Ce-Namespace": {"default"}, "Ce-Endpoint": {"default"}, "Content-Type": {"application/json"}}, body)
	if code != http.StatusOK {
		t.Fatalf("%s: %d %s", kind, code, text)
	}
}

func (b *bench) post(t *testing.T, h http.Header, body []byte) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = h
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	text, err := io.ReadAll(a.Body)
	if err != nil {
		t.Fatal(err)
	}
	return a.StatusCode, string(text)
}

// hear waits for a reply and holds it to what detect says.
func (b *bench) hear(t *testing.T, id string) {
	t.Helper()
	select {
	case got := <-b.replies:
		h := got.header
		if got.ID != id || h.Get("Ce-Type") != events.TypeOutlier || h.Get("Ce-Specversion") != "1.0" || h.Get("Ce-Id") == "" || h.Get("Ce-Source") != "/vaeguard/small" || h.Get("Ce-Requestid") != strings.ReplaceAll(id, " ", "%20") {
			t.Errorf("%v %+v", h, got.Verdict)
		}
		for i, s := range b.want.Score {
			if *got.Score[i] != s || got.IsAdversarial[i] == 1 != b.want.Adversarial[i] {
				t.Errorf("row %d: %v, want %v", i, *got.Score[i], s)
			}
		}
		if !slices.Equal(got.Corrected, b.want.Corrected) || !slices.Equal(got.PValue, b.want.PValue) {
			t.Errorf("%+v, want %+v", got.Verdict, b.want)
		}
	case <-time.After(time.Minute):
		t.Fatalf("no reply: %+v", b.Counters())
	}
}

// Requests and responses come in any order, in any mode, JSON or binary without its
// header; replies have the bits of detect, and the model is asked for reconstructions
// alone.
func TestJoins(t *testing.T) {
	b := stand(t, nil)
	servetest.Settle(t, b.kinds, b.guard, judge.Source{Server: "events", Output: "out"})
	for _, binary := range []bool{false, true} {
		request, response := b.bodies(t, binary)
		before := b.guard.Counters().Extra
		b.send(t, "a", events.TypeRequest, request)
		b.send(t, "a", events.TypeRequest, request) // once more
		b.send(t, "a", events.TypeResponse, response)
		b.hear(t, "a")
		b.send(t, "b c", events.TypeResponse, response)
		b.send(t, "b c", events.TypeRequest, request)
		b.hear(t, "b c")
		if extra := b.guard.Counters().Extra - before; extra != 2*8*2 {
			t.Errorf("%d rows were asked for, want 2 samples of 8 rows, twice", extra)
		}
		structured := func(kind string, body []byte) []byte {
			e := map[string]any{"specversion": "1.0", "id": "s", "type": kind, "source": "x"}
			if binary {
				e["data_base64"] = base64.StdEncoding.EncodeToString(body)
			} else {
				e["data"] = json.RawMessage(body)
			}
			text, err := json.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			return text
		}
		for _, e := range [][]byte{structured(events.TypeRequest, request), structured(events.TypeResponse, response)} {
			if code, text := b.post(t, http.Header{"Content-Type": {"application/cloudevents+json; charset=utf-8"}}, e); code != http.StatusOK {
				t.Fatalf("%d %s", code, text)
			}
		}
		b.hear(t, "s")
		batch := slices.Concat([]byte("["), structured(events.TypeResponse, response), []byte(","), structured(events.TypeRequest, request), []byte("]"))
		if code, text := b.post(t, http.Header{"Content-Type": {"application/cloudevents-batch+json"}}, batch); code != http.StatusOK {
			t.Fatalf("%d %s", code, text)
		}
		b.hear(t, "s")
	}
	b.send(t, "o", "some.other.type", nil)
	if c := b.Counters(); c.Judged != 8 || c.Twice != 2 || c.Ignored != 1 || c.Failed+c.Dropped+c.Lost != 0 || c.Waiting != 0 || c.Held != 0 {
		t.Errorf("%+v", c)
	}
}

// A reply is of the trace that its request came in, whichever way it was told of.
func TestTrace(t *testing.T) {
	b := stand(t, nil)
	request, response := b.bodies(t, false)
	const parent, other = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-1af7651916cd43dd8448eb211c80319c-c7ad6b7169203331-01"
	structured := func(kind string, body []byte, more string) []byte {
		return fmt.Appendf(nil, `{"specversion":"1.0","id":"t","type":%q,"source":"x"%s,"data":%s}`, kind, more, body)
	}
	binary := http.Header{"Ce-Specversion": {"1.0"}, "Ce-Id": {"t"}, "Ce-Type": {events.TypeRequest}, "Ce-Source": {"x"}, "Ce-Traceparent": {parent}, "Ce-Tracestate": {"a=1,b=2"}}
	json := http.Header{"Content-Type": {"application/cloudevents+json"}}
	for what, c := range map[string]struct {
		header      http.Header
		body        []byte
		answer      string // further members of the response
		want, state string
	}{
		"binary":         {binary, request, `,"traceparent":"` + other + `"`, parent, "a=1,b=2"},
		"structured":     {json, structured(events.TypeRequest, request, `,"traceparent":"`+parent+`"`), "", parent, ""},
		"response alone": {json, structured(events.TypeRequest, request, ""), `,"traceparent":"` + parent + `"`, parent, ""},
		"none":           {json, structured(events.TypeRequest, request, ""), "", "", ""},
		"wrong":          {json, structured(events.TypeRequest, request, `,"traceparent":"00-zz"`), "", "", ""},
		"state too long": {json, structured(events.TypeRequest, request, `,"traceparent":"`+parent+`","tracestate":"a=`+strings.Repeat("x", 600)+`"`), "", parent, ""},
	} {
		for i, e := range []struct {
			header http.Header
			body   []byte
		}{{c.header, c.body}, {json, structured(events.TypeResponse, response, c.answer)}} {
			if code, text := b.post(t, e.header, e.body); code != http.StatusOK {
				t.Fatalf("%s, event %d: %d %s", what, i, code, text)
			}
		}
		select {
		case got := <-b.replies:
			if h := got.header; h.Get("Ce-Traceparent") != c.want || h.Get("Ce-Tracestate") != c.state {
				t.Errorf("%s: %q %q, want %q %q", what, h.Get("Ce-Traceparent"), h.Get("Ce-Tracestate"), c.want, c.state)
			}
		case <-time.After(time.Minute):
			t.Fatalf("%s: no reply: %+v", what, b.Counters())
		}
	}
}

// Bodies of KServe's V1 are read too.
func TestV1(t *testing.T) {
	b := stand(t, nil)
	p, err := (&sdktest.Fake{Shape: tensor.Shape{64}, Classes: 10, Seed: 3}).Predict(t.Context(), b.x)
	if err != nil {
		t.Fatal(err)
	}
	list := func(name string, x *tensor.Tensor) []byte {
		var rows [][]float32
		for i := range x.N() {
			rows = append(rows, x.Row(i))
		}
		text, err := json.Marshal(map[string]any{name: rows})
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	servetest.Settle(t, b.kinds, b.guard, judge.Source{Server: "events", Output: "predictions"})
	before := b.guard.Counters().Extra
	b.send(t, "v1", events.TypeResponse, list("predictions", p))
	b.send(t, "v1", events.TypeRequest, list("instances", b.x))
	b.hear(t, "v1")
	if extra := b.guard.Counters().Extra - before; extra != 2*8 {
		t.Errorf("%d rows were asked for, want 2 samples of 8 rows", extra)
	}
}

// Halves whose other never comes are let go of, by number, bytes and time.
func TestBounded(t *testing.T) {
	b := stand(t, func(o *events.Options) { o.Pairs, o.Wait, o.Memory = 10, 300*time.Millisecond, 10000 })
	var passed atomic.Int64
	began := time.Now()
	b.Clock(func() time.Time { return began.Add(time.Duration(passed.Load())) })
	for i := range 50 {
		b.send(t, fmt.Sprint(i), events.TypeRequest, []byte("{}"))
	}
	c := b.Counters()
	if c.Waiting != 10 || c.Lost != 40 || c.Held != 20 {
		t.Errorf("%+v", c)
	}
	for i := range 5 {
		b.send(t, fmt.Sprint("big", i), events.TypeResponse, make([]byte, 4000))
	}
	if c = b.Counters(); c.Held > 10000 {
		t.Errorf("%+v", c)
	}
	passed.Store(int64(400 * time.Millisecond))
	if c = b.Counters(); c.Waiting != 0 || c.Held != 0 || c.Lost != 55 {
		t.Errorf("%+v", c)
	}
}

// Events are taken at once, also while nothing is judged.
func TestNeverWaits(t *testing.T) {
	b := stand(t, func(o *events.Options) { o.Queue, o.MaxBody, o.Memory = 2, 1<<20, 64<<20 })
	request, response := b.bodies(t, false)
	b.trained.Control(t, servetest.Hang)
	for i := range 40 {
		b.send(t, fmt.Sprint(i), events.TypeRequest, request)
		b.send(t, fmt.Sprint(i), events.TypeResponse, response)
	}
	if c := b.Counters(); c.Judged > 0 || c.Dropped < 40-2-4-1 {
		t.Errorf("%+v", c)
	}
	b.send(t, "long", events.TypeRequest, make([]byte, 2<<20))
	for name, h := range map[string]http.Header{
		"no version": {"Ce-Id": {"1"}, "Ce-Type": {"t"}, "Ce-Source": {"s"}},
		"no id":      {"Ce-Specversion": {"1.0"}, "Ce-Type": {"t"}, "Ce-Source": {"s"}},
		"no event":   {"Content-Type": {"application/cloudevents+json"}},
	} {
		if code, text := b.post(t, h, []byte("{}")); code != http.StatusOK || text == "" {
			t.Errorf("%s: %d %s", name, code, text)
		}
	}
	b.trained.Control(t, servetest.Works)
}

// Whatever comes is answered, and nothing panics.
func FuzzEvents(f *testing.F) {
	s := events.New(none{}, events.Options{Pairs: 4, MaxBody: 1 << 16})
	f.Cleanup(s.Close)
	f.Add("application/json", "1.0", "id", []byte(`{"inputs":[]}`))
	f.Add("application/cloudevents+json", "", "", []byte(`{"specversion":"1.0","id":"a","type":"org.kubeflow.serving.inference.request","source":"b","data_base64":"e30="}`))
	f.Add("application/cloudevents-batch+json", "", "", []byte(`[{"specversion":"1.0","id":"a","type":"org.kubeflow.serving.inference.response","source":"b","data":"{}"}]`))
	f.Fuzz(func(t *testing.T, media, version, id string, body []byte) {
		for _, kind := range []string{events.TypeRequest, events.TypeResponse} {
			r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
			r.Header = http.Header{"Content-Type": {media}, "Ce-Specversion": {version}, "Ce-Id": {id}, "Ce-Type": {kind}, "Ce-Source": {"s"}}
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			if w.Code != http.StatusOK {
				t.Errorf("%d", w.Code)
			}
		}
		if c := s.Counters(); c.Waiting > 4 {
			t.Errorf("%+v", c)
		}
	})
}

// none are no guards.
type none struct{ judge.Models }

// Lease implements judge.Models.
func (none) Lease(name, _ string) (judge.Model, func(), error) {
	return nil, nil, &judge.NotFoundError{Name: name}
}

// List implements judge.Models.
func (none) List() []judge.Status { return nil }

// What was answered with 200 when the sink ends is judged and told, for as long as there is time, and the
// rest is counted.
func TestDrain(t *testing.T) {
	const n = 12
	b := stand(t, nil)
	request, response := b.bodies(t, false)
	infer := func() {
		for i := range n {
			b.send(t, fmt.Sprint(i), events.TypeRequest, request)
			b.send(t, fmt.Sprint(i), events.TypeResponse, response)
		}
		b.send(t, "half", events.TypeRequest, request)
	}
	b.trained.Control(t, servetest.Hold)
	infer()
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		b.Drain(t.Context())
	}()
	b.trained.Control(t, servetest.Works)
	<-drained
	if c := b.Counters(); c.Judged != n || c.Replied != n || c.Dropped+c.Failed != 0 {
		t.Errorf("%+v, want %d judged", c, n)
	}
	b.Close()
	if c := b.Counters(); c.Lost != 1 || c.Waiting != 0 || c.Held != 0 {
		t.Errorf("%+v, want one half lost", c)
	}

	b = stand(t, nil)
	b.trained.Control(t, servetest.Hang)
	infer()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	b.Drain(ended)
	b.Close()
	if c := b.Counters(); c.Judged != 0 || c.Dropped != n || c.Lost != 1 || c.Failed != 0 {
		t.Errorf("%+v, want %d dropped, and one half lost", c, n)
	}
}

// TestAlarm: an alarm goes where verdicts go, as an event of its own type; without a place nowhere.
func TestAlarm(t *testing.T) {
	b := stand(t, nil)
	b.Alarm("small", "drift", map[string]any{"model_name": "small", "rows": 530})
	got := <-b.replies
	for name, want := range map[string]string{"Ce-Type": events.TypeAlarm, "Ce-Source": "/vaeguard/small", "Ce-Alarm": "drift", "Ce-Specversion": "1.0", "Content-Type": "application/json"} {
		if got.header.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, got.header.Get(name), want)
		}
	}
	if got.header.Get("Ce-Id") == "" || got.Model != "small" {
		t.Errorf("%+v", got)
	}
	quiet := events.New(b.models, events.Options{})
	defer quiet.Close()
	quiet.Alarm("small", "drift", nil)
	for b.Counters().Replied != 1 { // once the answer is read
		time.Sleep(time.Millisecond)
	}
}

// Answers that are another model's are told from those of the detector's classifier, and of whatever kind these are,
// verdicts are those of detect.
func TestKinds(t *testing.T) {
	for name, test := range map[string]struct {
		instead func(logits *tensor.Tensor)
		foreign bool
	}{
		"logits": {func(*tensor.Tensor) {}, false},
		"probabilities": {func(z *tensor.Tensor) {
			p := make([]float64, z.Stride())
			for i := range z.N() {
				oracle.Softmax(p, z.Row(i))
				for c, v := range p {
					z.Row(i)[c] = float32(v)
				}
			}
		}, false},
		"classes in another order": {func(z *tensor.Tensor) {
			for i := range z.N() {
				slices.Reverse(z.Row(i))
			}
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			b := stand(t, nil)
			request, _ := b.bodies(t, false)
			p, err := (&sdktest.Fake{Shape: tensor.Shape{64}, Classes: 10, Seed: 3}).Predict(t.Context(), b.x)
			if err != nil {
				t.Fatal(err)
			}
			p = p.Clone()
			test.instead(p)
			response, _ := tensors.AppendResponse(nil, tensors.Response{Model: "m", Outputs: []tensors.Tensor{tensors.FromFloat32s("out", []int64{8, 10}, p.Data)}}, nil)
			for i := range 8 {
				id := strconv.Itoa(i)
				b.send(t, id, events.TypeRequest, request)
				b.send(t, id, events.TypeResponse, response)
				v := (<-b.replies).Verdict
				if test.foreign != (v.PredictedBy == "detector") || !slices.Equal(v.Predicted, b.want.Predicted) {
					t.Errorf("%d: %+v", i, v)
				}
				for j, s := range v.Score {
					if d := *s - b.want.Score[j]; d > 1e-4 || d < -1e-4 {
						t.Errorf("%d: row %d has score %g, want %g", i, j, *s, b.want.Score[j])
					}
				}
			}
			if c := b.kinds.Counters(); test.foreign && (c.Foreign != 8 || c.Compared != 8) || !test.foreign && (c.Foreign != 0 || c.Given+c.Converted == 0) {
				t.Errorf("%+v", c)
			}
		})
	}
}
