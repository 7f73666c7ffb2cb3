package proxy_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
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

	"github.com/hashicorp/go-hclog"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/serve"
	"github.com/vaeguard/vaeguard/host/serve/judge"
	"github.com/vaeguard/vaeguard/host/serve/proxy"
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

const features, classes = 64, 10

// upstream is a model server with the classifier of package servetest, which counts
// what it is asked.
type upstream struct {
	fake       *sdktest.Fake
	rows, asks atomic.Int64
	labels     bool // it answers these alone
	zips       bool // where it may
	binary     bool // it answers in binary, whoever asks
	as         atomic.Pointer[as]
	away       atomic.Bool // it breaks connections
}

// as is another model of an upstream: its version, and what it answers in the place of logits.
type as struct {
	version string
	answer  func(x, logits *tensor.Tensor) *tensor.Tensor
}

func newUpstream() *upstream {
	return &upstream{fake: &sdktest.Fake{Shape: tensor.Shape{features}, Classes: classes, Seed: 3}}
}

// infer answers logits, a label, its text, and something else.
func (u *upstream) infer(q tensors.Request) (tensors.Response, error) {
	in := q.Inputs[0]
	n := int(in.Shape[0])
	u.asks.Add(1)
	if in.N() != n*features {
		return tensors.Response{}, errors.New("another shape")
	}
	u.rows.Add(int64(n))
	logits, err := u.fake.Predict(context.Background(), tensor.From(in.Float32s(), n, features))
	if err != nil {
		return tensors.Response{}, err
	}
	label := make([]int64, n)
	names := make([][]byte, n)
	for i := range n {
		row := logits.Row(i)
		label[i] = int64(slices.Index(row, slices.Max(row)))
		names[i] = []byte(strconv.Itoa(int(label[i])))
	}
	d := []int64{int64(n)}
	all := []tensors.Tensor{tensors.FromInt64s("label", d, label), tensors.FromFloat32s("else", d, make([]float32, n))}
	version := "7"
	if as := u.as.Load(); as != nil {
		version, logits = as.version, as.answer(tensor.From(in.Float32s(), n, features), logits)
	}
	if !u.labels {
		all = append(all, tensors.FromFloat32s("logits", []int64{int64(n), classes}, logits.Data))
	}
	return tensors.Response{Model: "m", Version: version, ID: q.ID, Parameters: tensors.Parameters{"theirs": "yes"}, Outputs: all}, nil
}

// ServeHTTP implements http.Handler.
func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if u.away.Load() {
		panic(http.ErrAbortHandler)
	}
	body, err := io.ReadAll(r.Body)
	if err == nil && r.Header.Get("Content-Encoding") == "gzip" {
		var z *gzip.Reader
		if z, err = gzip.NewReader(bytes.NewReader(body)); err == nil {
			body, err = io.ReadAll(z)
		}
	}
	header := int64(-1)
	if text := r.Header.Get("Inference-Header-Content-Length"); text != "" {
		header, _ = strconv.ParseInt(text, 10, 64)
	}
	var q tensors.Request
	if err == nil {
		q, err = tensors.ParseRequest(body, header, tensors.Limits{})
	}
	var out tensors.Response
	if err == nil {
		out, err = u.infer(q)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	text, length := tensors.AppendResponse(nil, out, func(t tensors.Tensor) bool { return u.binary || q.Binary(t.Name, false) })
	if length >= 0 {
		w.Header().Set("Inference-Header-Content-Length", strconv.FormatInt(length, 10))
	}
	switch accept := r.Header.Get("Accept-Encoding"); {
	case strings.Contains(accept, "br"): // no reader here knows it
		w.Header().Set("Content-Encoding", "br")
	case u.zips && strings.Contains(accept, "gzip"):
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = z.Write(text)
		_ = z.Close()
		return
	}
	_, _ = w.Write(text)
}

// bench is a proxy before an upstream, and the guard behind it.
type bench struct {
	*proxy.Proxy
	*upstream
	rest    *upstream // of called: who is asked over REST
	trained servetest.Trained
	d       *host.Detector
	guard   *judge.Guard
	kinds   *judge.Kinds
	url     string
	behind  string // where the model server is
}

// settle lets the proxy know what the model server's answers are, in the output of a name and a version.
func (b *bench) settle(t testing.TB, server, output, version string) {
	t.Helper()
	servetest.Settle(t, b.kinds, b.guard, judge.Source{Server: server, Output: output, Version: version})
}

// stand makes a bench; change may alter the model and the options.
func stand(t testing.TB, policy proxy.Policy, change func(*proxy.Model, *proxy.Options), set ...string) *bench {
	t.Helper()
	trained := servetest.Train(t, components(), filepath.Join(t.TempDir(), "d"), 0, set...)
	d := trained.Open(t)
	s := serve.NewSingle(d, judge.Options{Name: "guard", MaxRows: 64, Deadline: time.Minute})
	t.Cleanup(func() { s.Close(context.Background()) })
	u := newUpstream()
	up := httptest.NewServer(u)
	t.Cleanup(up.Close)
	m, o := proxy.Model{Name: "guard", URL: up.URL, Model: "m", Policy: policy}, proxy.Options{Kinds: judge.NewKinds(judge.KindsOptions{})}
	if change != nil {
		change(&m, &o)
	}
	p, err := proxy.New(s, []proxy.Model{m}, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	front := httptest.NewServer(p)
	t.Cleanup(front.Close)
	return &bench{p, u, u, trained, d, s.Guard(), o.Kinds, front.URL, up.URL}
}

// rows are n of noise, and what detect says of them: some are flagged, some are not.
func (b *bench) rows(t *testing.T, n int) (*tensor.Tensor, *detect.Result) {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	x := tensor.New(n, features)
	for i := range x.Data {
		x.Data[i] = r.Float32() * float32(i/features%4) / 3
	}
	data, err := b.d.Prepare(x)
	if err != nil {
		t.Fatal(err)
	}
	v, err := b.d.DetectRows(t.Context(), data, detect.Include{ProbabilitiesReconstructed: true})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(v.Adversarial, true) || !slices.Contains(v.Adversarial, false) {
		t.Fatalf("the rows are all alike: %v", v.Adversarial)
	}
	return x, v
}

func request(x *tensor.Tensor) tensors.Request {
	return tensors.Request{ID: "7", Inputs: []tensors.Tensor{tensors.FromFloat32s("pixels", []int64{int64(x.N()), features}, x.Data)}}
}

// post sends an inference and gives its answer.
func (b *bench) post(t *testing.T, body []byte, header ...string) (int, []byte, http.Header) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.url+"/v2/models/m/infer", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	text, err := io.ReadAll(a.Body)
	if err != nil {
		t.Fatal(err)
	}
	return a.StatusCode, text, a.Header
}

// scores are those of a verdict as parameters have them.
func scores(v *detect.Result) string {
	var out []string
	for _, s := range v.Score {
		out = append(out, strconv.FormatFloat(s, 'g', -1, 64))
	}
	return strings.Join(out, ",")
}

func flags(v *detect.Result) string {
	var out []string
	for _, f := range v.Adversarial {
		out = append(out, map[bool]string{false: "0", true: "1"}[f])
	}
	return strings.Join(out, ",")
}

// An answer has the verdict of detect, bit for bit, in every encoding, and all that the
// model server said; the model is asked for the user's rows once, and for
// reconstructions.
func TestAnnotate(t *testing.T) {
	b := stand(t, proxy.Annotate, nil)
	b.settle(t, b.behind, "logits", "7")
	x, want := b.rows(t, 12)
	for _, test := range []struct {
		name   string
		binary bool
		zip    bool
	}{{"JSON", false, false}, {"binary", true, false}, {"JSON in gzip", false, true}, {"binary in gzip", true, true}} {
		t.Run(test.name, func(t *testing.T) {
			b.upstream.rows.Store(0)
			before := b.guard.Counters()
			q := request(x)
			var header []string
			binary := func(tensors.Tensor) bool { return test.binary }
			if test.binary {
				q.Parameters = tensors.Parameters{"binary_data_output": true}
			} else {
				binary = nil
			}
			body, length := tensors.AppendRequest(nil, q, binary)
			if length >= 0 {
				header = append(header, "Inference-Header-Content-Length", strconv.FormatInt(length, 10))
			}
			if test.zip {
				var z bytes.Buffer
				w := gzip.NewWriter(&z)
				_, _ = w.Write(body)
				_ = w.Close()
				body, header = z.Bytes(), append(header, "Content-Encoding", "gzip")
			}
			code, text, h := b.post(t, body, header...)
			if code != http.StatusOK {
				t.Fatalf("%d %s", code, text)
			}
			at := int64(-1)
			if v := h.Get("Inference-Header-Content-Length"); v != "" {
				at, _ = strconv.ParseInt(v, 10, 64)
			}
			if test.binary != (at >= 0) {
				t.Errorf("header length %d", at)
			}
			got, err := tensors.ParseResponse(text, at, tensors.Limits{})
			if err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			theirs, err := newUpstream().infer(request(x))
			if err != nil {
				t.Fatal(err)
			}
			for i, o := range theirs.Outputs {
				if g := got.Outputs[i]; g.Name != o.Name || !bytes.Equal(g.Raw, o.Raw) {
					t.Errorf("output %s changed", o.Name)
				}
			}
			p := got.Parameters
			if p["theirs"] != "yes" || p["vaeguard_instance_score"] != scores(want) || p["vaeguard_is_adversarial"] != flags(want) || got.ID != "7" || got.Version != "7" {
				t.Errorf("parameters %v, want %v", p, scores(want))
			}
			if h.Get("X-Vaeguard-Instance-Score") != scores(want) || h.Get("X-Vaeguard-Is-Adversarial") != flags(want) || h.Get("X-Vaeguard-Verdict") != "judged" {
				t.Errorf("headers %v", h)
			}
			after := b.guard.Counters()
			if rows, extra := b.upstream.rows.Load(), after.Extra-before.Extra; rows != 12 || extra != 24 {
				t.Errorf("the model server was asked for %d rows and the classifier for %d, want 12 and 2 samples each", rows, extra)
			}
		})
	}
}

// With reconstruct_with the model is asked for the user's rows, and for none besides.
func TestReplica(t *testing.T) {
	b := stand(t, proxy.Annotate, nil)
	x, want := b.rows(t, 12)
	d, err := host.Open(b.trained.Dir, components(), host.OpenOptions{Options: host.Options{Threads: 1},
		Replica: &host.Replica{Model: b.d.Experiment.Spec.Classifier.Model, Process: b.d.Experiment.Spec.Classifier.Process}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	s := serve.NewSingle(d, judge.Options{Name: "guard"})
	t.Cleanup(func() { s.Close(context.Background()) })
	up := httptest.NewServer(b.upstream)
	t.Cleanup(up.Close)
	p, err := proxy.New(s, []proxy.Model{{Name: "guard", URL: up.URL, Model: "m"}}, proxy.Options{Kinds: b.kinds})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	front := httptest.NewServer(p)
	t.Cleanup(front.Close)
	b.settle(t, up.URL, "logits", "7")
	b.url = front.URL
	body, _ := tensors.AppendRequest(nil, request(x), nil)
	if code, text, h := b.post(t, body); code != http.StatusOK || h.Get("X-Vaeguard-Instance-Score") != scores(want) {
		t.Fatalf("%d %s", code, text)
	}
	if c := s.Guard().Counters(); c.Extra != 0 || b.upstream.rows.Load() != 12 || c.Rows != 12 {
		t.Errorf("%+v, and %d rows of the model server's, want 12 and none besides", c, b.upstream.rows.Load())
	}
}

func TestBlock(t *testing.T) {
	b := stand(t, proxy.Block, nil)
	x, want := b.rows(t, 12)
	for i := range 12 {
		body, _ := tensors.AppendRequest(nil, request(x.Rows(i, i+1)), nil)
		code, text, h := b.post(t, body)
		if want.Adversarial[i] != (code == http.StatusForbidden) || !want.Adversarial[i] != (code == http.StatusOK) {
			t.Errorf("row %d, flagged %v: %d %s", i, want.Adversarial[i], code, text)
		}
		if want.Adversarial[i] && (strings.Contains(string(text), "logits") || h.Get("X-Vaeguard-Flagged") != "1") {
			t.Errorf("a refusal: %s %v", text, h)
		}
	}
	if c := b.Counters(); c.Blocked == 0 || c.Judged != 12 || c.Blocked != c.Flagged {
		t.Errorf("%+v", c)
	}
}

// An answer that is not blocked has the coding that its client takes, and the model server's bytes.
func TestBlockInCodings(t *testing.T) {
	b := stand(t, proxy.Block, nil)
	b.zips = true
	x, want := b.rows(t, 12)
	i := slices.Index(want.Adversarial, false)
	body, _ := tensors.AppendRequest(nil, request(x.Rows(i, i+1)), nil)
	plain, err := newUpstream().infer(request(x.Rows(i, i+1)))
	if err != nil {
		t.Fatal(err)
	}
	text, _ := tensors.AppendResponse(nil, plain, nil)
	for accept, coding := range map[string]string{"gzip": "gzip", "br, gzip;q=0.5": "gzip", "br": "", "identity": ""} {
		code, got, h := b.post(t, body, "Accept-Encoding", accept)
		if coding == "gzip" {
			z, err := gzip.NewReader(bytes.NewReader(got))
			if err == nil {
				got, err = io.ReadAll(z)
			}
			if err != nil {
				t.Errorf("%s: %v", accept, err)
			}
		}
		if code != http.StatusOK || h.Get("Content-Encoding") != coding || h.Get("X-Vaeguard-Flagged") != "0" || !bytes.Equal(got, text) {
			t.Errorf("%s: %d %v %q", accept, code, h, got)
		}
	}
}

// corrected holds an answer to what detect says.
func corrected(t *testing.T, got tensors.Response, x *tensor.Tensor, want *detect.Result) {
	t.Helper()
	theirs, err := newUpstream().infer(request(x))
	if err != nil {
		t.Fatal(err)
	}
	label, logits, before := got.Outputs[0], got.Outputs[2].Float32s(), theirs.Outputs[2].Float32s()
	for i, flagged := range want.Adversarial {
		row := logits[i*classes : (i+1)*classes]
		if c := slices.Index(row, slices.Max(row)); c != want.Corrected[i] || int(label.Float64(i)) != want.Corrected[i] {
			t.Errorf("row %d: class %d, label %g, want %d", i, c, label.Float64(i), want.Corrected[i])
		}
		if same := slices.Equal(row, before[i*classes:(i+1)*classes]); same != (want.Corrected[i] == want.Predicted[i]) {
			t.Errorf("row %d, flagged %v, corrected from %d to %d: its logits are as they were: %v", i, flagged, want.Predicted[i], want.Corrected[i], same)
		}
	}
	if !bytes.Equal(got.Outputs[1].Raw, theirs.Outputs[1].Raw) {
		t.Error("another output changed")
	}
}

func TestCorrect(t *testing.T) {
	b := stand(t, proxy.Correct, nil)
	x, want := b.rows(t, 12)
	body, _ := tensors.AppendRequest(nil, request(x), nil)
	code, text, _ := b.post(t, body)
	got, err := tensors.ParseResponse(text, -1, tensors.Limits{})
	if code != http.StatusOK || err != nil {
		t.Fatalf("%d %s: %v", code, text, err)
	}
	corrected(t, got, x, want)
	if p := got.Parameters; p["vaeguard_instance_score"] != scores(want) || p["theirs"] != "yes" {
		t.Errorf("%v", p)
	}
	b.labels = true // and the detector's own classifier is asked
	if code, text, _ = b.post(t, body); code != http.StatusOK {
		t.Fatalf("%d %s", code, text)
	}
	if got, err = tensors.ParseResponse(text, -1, tensors.Limits{}); err != nil {
		t.Fatal(err)
	}
	for i, c := range want.Corrected {
		if int(got.Outputs[0].Float64(i)) != c {
			t.Errorf("label %d is %g, want %d", i, got.Outputs[0].Float64(i), c)
		}
	}
}

// A flagged row whose class detect leaves as it is has its answer left too: where detector.correct holds
// back, and where a score is no number. What is counted are rows that got another class.
func TestCorrectHoldsBack(t *testing.T) {
	b := stand(t, proxy.Correct, nil, "detector.correct={loss: 0, class_loss: 0}", "threshold.fpr=0.4", "data.calibration.limit=300")
	x, _ := b.rows(t, 64)
	for i := range 8 { // for which no score is a number
		x.Row(i)[0] = math.MaxFloat32
	}
	data, err := b.d.Prepare(x)
	if err != nil {
		t.Fatal(err)
	}
	want, err := b.d.DetectRows(t.Context(), data, detect.Include{})
	if err != nil {
		t.Fatal(err)
	}
	held, done := 0, 0
	for i, flagged := range want.Adversarial {
		switch {
		case want.Corrected[i] != want.Predicted[i]:
			done++
		case flagged && want.Reconstructed[i] != want.Predicted[i]:
			held++
		}
	}
	if held == 0 || done == 0 || !slices.Contains(want.NotFinite, true) {
		t.Fatalf("%d rows are held back, %d corrected, %v have no score: want some of each", held, done, want.NotFinite)
	}
	q := request(x)
	q.Parameters = tensors.Parameters{"binary_data_output": true}
	body, length := tensors.AppendRequest(nil, q, func(tensors.Tensor) bool { return true })
	code, text, h := b.post(t, body, "Inference-Header-Content-Length", strconv.FormatInt(length, 10))
	at, _ := strconv.ParseInt(h.Get("Inference-Header-Content-Length"), 10, 64)
	got, err := tensors.ParseResponse(text, at, tensors.Limits{})
	if code != http.StatusOK || err != nil {
		t.Fatalf("%d %s: %v", code, text, err)
	}
	corrected(t, got, x, want)
	if c := b.Counters(); c.Corrected != int64(done) {
		t.Errorf("%d rows are counted as corrected, want %d", c.Corrected, done)
	}
}

// An answer that is written has the class that it is written for, whatever its datatype rounds.
func TestAnswer(t *testing.T) {
	for _, d := range []tensors.Datatype{tensors.FP16, tensors.BF16, tensors.FP32, tensors.FP64} {
		for name, row := range map[string][]float32{
			"probabilities": {.24, .25999999, .26, .24}, "logarithms": {-2, -.69314724, -.6931472, -9}, "far apart": {0, 1e-3, 1, 0}, "equal": {.25, .25, .25, .25},
		} {
			raw, err := proxy.Answer(d, slices.Clone(row), 2)
			if err != nil {
				t.Errorf("%s as %s: %v", name, d, err)
				continue
			}
			all := tensors.Tensor{Name: "o", Datatype: d, Shape: []int64{1, 4}, Raw: raw}.Float32s()
			if got := slices.Index(all, slices.Max(all)); got != 2 {
				t.Errorf("%s as %s: %v is class %d, want 2", name, d, all, got)
			}
			for i, v := range all {
				if math.Abs(float64(v-row[i])) > math.Abs(float64(row[i]))/32 {
					t.Errorf("%s as %s: %v, want about %v", name, d, all, row)
				}
			}
		}
		if _, err := proxy.Answer(d, []float32{.9, .1}, 1); err == nil {
			t.Errorf("%s: another class was written than the row has", d)
		}
	}
}

// What is written anew says how it is written, also where the model server answers in binary unasked.
func TestUnaskedBinary(t *testing.T) {
	for _, c := range []struct {
		policy proxy.Policy
		rows   bool
	}{{proxy.Annotate, false}, {proxy.Correct, false}, {proxy.Block, true}} {
		t.Run(string(c.policy), func(t *testing.T) {
			b := stand(t, c.policy, func(m *proxy.Model, _ *proxy.Options) { m.Rows = c.rows })
			b.binary = true
			x, want := b.rows(t, 12)
			body, _ := tensors.AppendRequest(nil, request(x), nil)
			code, text, h := b.post(t, body)
			at := int64(-1)
			if v := h.Get("Inference-Header-Content-Length"); v != "" {
				at, _ = strconv.ParseInt(v, 10, 64)
			}
			got, err := tensors.ParseResponse(text, at, tensors.Limits{})
			if code != http.StatusOK || err != nil {
				t.Fatalf("%d %v: %v\n%q", code, h, err, text)
			}
			if got.Parameters["vaeguard_instance_score"] != scores(want) || len(got.Outputs) != 3 {
				t.Errorf("%+v", got)
			}
			if c.policy == proxy.Correct {
				corrected(t, got, x, want)
			}
		})
	}
}

// A log has no payload, at any level.
func TestNoPayloadInLog(t *testing.T) {
	const secret = "4711secret"
	var log bytes.Buffer
	b := stand(t, proxy.Annotate, func(_ *proxy.Model, o *proxy.Options) {
		o.Logger = hclog.New(&hclog.LoggerOptions{Output: &log, Level: hclog.Trace})
	})
	for _, in := range []string{
		`{"name":"pixels","shape":[1],"datatype":"FP32","data":["` + secret + `"]}`,
		`{"name":"pixels","shape":[1,64],"datatype":"FP32","data":["` + secret + `"]}`,
		`{"name":"pixels","shape":[1],"datatype":"BYTES","data":["` + secret + `"]}`,
		`{"name":"pixels","shape":[1],"datatype":"INT8","data":[` + strings.Repeat("9", 30) + secret + `]}`,
		`{"name":"pixels","shape":[1],"datatype":"` + secret + `","data":[1]}`,
		`"` + secret + `"`,
	} {
		before := b.Counters().Unread
		b.post(t, []byte(`{"inputs":[`+in+`]}`))
		if b.Counters().Unread != before+1 {
			t.Errorf("%s was read", in)
		}
	}
	if text := log.String(); strings.Contains(text, secret) || !strings.Contains(text, "passes unjudged") || !strings.Contains(text, "pixels") {
		t.Errorf("the log:\n%s", text)
	}
}

// What cannot be judged passes and is counted, or is refused.
func TestOnFailure(t *testing.T) {
	good, _ := tensors.AppendRequest(nil, request(tensor.New(1, features)), nil)
	long, _ := tensors.AppendRequest(nil, request(tensor.New(100, features)), nil)
	other, _ := tensors.AppendRequest(nil, tensors.Request{Inputs: []tensors.Tensor{tensors.FromFloat32s("pixels", []int64{1, 3}, make([]float32, 3))}}, nil)
	for _, closed := range []bool{false, true} {
		t.Run(fmt.Sprint(closed), func(t *testing.T) {
			b := stand(t, proxy.Block, func(m *proxy.Model, o *proxy.Options) { m.Closed, o.MaxBody = closed, 4096 })
			b.trained.Control(t, servetest.Away)
			for _, test := range []struct {
				name string
				body []byte
				code int
				note string
			}{
				{"away", good, http.StatusServiceUnavailable, "unjudged: failed"},
				{"long", long, http.StatusRequestEntityTooLarge, "unjudged: too-large"},
				{"no JSON", []byte("{"), http.StatusBadRequest, "unjudged: unreadable"},
				{"rows twice", bytes.Replace(good, []byte(`{"id"`), []byte(`{"INPUTS":[],"id"`), 1), http.StatusBadRequest, "unjudged: unreadable"},
				{"rows twice, in disguise", bytes.Replace(good, []byte(`{"id"`), []byte(`{"i\u006eput\u017f" : [],"id"`), 1), http.StatusBadRequest, "unjudged: unreadable"},
				{"another shape", other, http.StatusBadRequest, "unjudged: unreadable"},
				{"an answer elsewhere", bytes.Replace(good, []byte(`{"id"`), []byte(`{"outputs":[{"name":"logits","parameters":{"shared_memory_region":"r","shared_memory_byte_size":40}}],"id"`), 1), http.StatusBadRequest, "unjudged: unreadable"},
			} {
				before := b.asks.Load()
				code, text, h := b.post(t, test.body)
				if closed && (code != test.code || !strings.Contains(string(text), "error")) {
					t.Errorf("%s: %d %s, want %d", test.name, code, text, test.code)
				}
				if !closed && test.name != "no JSON" && test.name != "another shape" && !strings.HasPrefix(test.name, "rows") && (code != http.StatusOK || b.asks.Load() != before+1) {
					t.Errorf("%s: %d %s, asked %d times", test.name, code, text, b.asks.Load()-before)
				}
				if !closed && h.Get("X-Vaeguard-Verdict") != test.note {
					t.Errorf("%s: %v, want %s", test.name, h, test.note)
				}
			}
			if c := b.Counters(); closed && c.Refused != 7 || !closed && (c.Unread != 6 || c.Failed != 1) {
				t.Errorf("%+v", c)
			}
		})
	}
}

// An observed request does not wait for its verdict; what finds no room is dropped.
func TestObserve(t *testing.T) {
	b := stand(t, proxy.Observe, func(_ *proxy.Model, o *proxy.Options) { o.Queue = 2 })
	x, want := b.rows(t, 12)
	body, _ := tensors.AppendRequest(nil, request(x), nil)
	code, text, h := b.post(t, body)
	if code != http.StatusOK || strings.Contains(string(text), "vaeguard") || h.Get("X-Vaeguard-Verdict") != "" {
		t.Errorf("%d %s", code, text)
	}
	await(t, func() bool { return b.Counters().Judged == 1 })
	if n := int64(strings.Count(flags(want), "1")); b.Counters().Flagged != n {
		t.Errorf("%+v, want %d flagged", b.Counters(), n)
	}
	b.trained.Control(t, servetest.Hang)
	for range 30 {
		if code, text, _ := b.post(t, body); code != http.StatusOK {
			t.Fatalf("%d %s", code, text)
		}
	}
	if c := b.Counters(); c.Dropped < 30-2-4-1 { // the queue, the observers, and what one may hand over
		t.Errorf("%+v: more is held than there is room for", c)
	}
	b.trained.Control(t, servetest.Works)
}

// What waits to be observed when the proxy ends is judged, for as long as there is time, and the rest is counted.
func TestDrain(t *testing.T) {
	b := stand(t, proxy.Observe, nil)
	x, _ := b.rows(t, 12)
	body, _ := tensors.AppendRequest(nil, request(x), nil)
	b.trained.Control(t, servetest.Hold)
	const n = 20
	for range n {
		if code, text, _ := b.post(t, body); code != http.StatusOK {
			t.Fatalf("%d %s", code, text)
		}
	}
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		b.Drain(t.Context())
	}()
	b.trained.Control(t, servetest.Works)
	<-drained
	if c := b.Counters(); c.Judged != n || c.Dropped+c.Failed != 0 {
		t.Errorf("%+v, want %d judged", c, n)
	}
	if code, text, _ := b.post(t, body); code != http.StatusOK { // passes, and nobody is there to look
		t.Errorf("%d %s", code, text)
	}
	await(t, func() bool { return b.Counters().Dropped == 1 })

	b = stand(t, proxy.Observe, nil)
	b.trained.Control(t, servetest.Hang)
	for range n {
		if code, text, _ := b.post(t, body); code != http.StatusOK {
			t.Fatalf("%d %s", code, text)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	b.Drain(ended)
	b.Close()
	if c := b.Counters(); c.Judged != 0 || c.Dropped < n-4 || c.Dropped+c.Failed != n { // 4 are being looked at
		t.Errorf("%+v, want all of %d counted", c, n)
	}
}

func await(t testing.TB, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("in vain")
		}
	}
}
