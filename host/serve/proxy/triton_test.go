package proxy_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/vaeguard/vaeguard/builtin/classifiers/oip/tritontest"
	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/serve"
	"github.com/vaeguard/vaeguard/host/serve/inference"
	"github.com/vaeguard/vaeguard/host/serve/judge"
	"github.com/vaeguard/vaeguard/host/serve/proxy"
	"github.com/vaeguard/vaeguard/host/serve/tensors"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// tritons is Triton with a guard of its model, which judges by the answers that Triton gives.
type tritons struct {
	*tritontest.Server
	d    *host.Detector
	s    *serve.Single
	conn *grpc.ClientConn
	rows *tensor.Tensor // as many as a request may have; some are flagged, some are not
	want *detect.Result
}

func triton(t *testing.T) *tritons {
	t.Helper()
	u := &tritons{Server: tritontest.Start(t)}
	dir := t.TempDir()
	file := filepath.Join(dir, "triton.yaml")
	if err := os.WriteFile(file, []byte(strings.Replace(fmt.Sprintf(mlspec, u.URL), "model: told", "model: "+tritontest.Model, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	e, err := host.Load(file, nil, components(), host.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	if u.d, err = e.TrainTo(t.Context(), host.TrainOptions{Out: filepath.Join(dir, "d")}); err != nil {
		t.Fatal(err)
	}
	u.s = serve.NewSingle(u.d, judge.Options{Name: "guard"})
	t.Cleanup(func() {
		u.s.Close(context.Background())
		if err := u.d.Close(); err != nil {
			t.Error(err)
		}
	})
	u.conn = connect(t, u.GRPC)
	u.choose(t)
	return u
}

// choose takes rows of both kinds, by detect on what Triton says of them.
func (u *tritons) choose(t *testing.T) {
	t.Helper()
	judged := func(x *tensor.Tensor) *detect.Result {
		p := tensor.New(x.N(), classes)
		for lo := 0; lo < x.N(); lo += tritontest.MaxBatch {
			hi := min(lo+tritontest.MaxBatch, x.N())
			_, r, _ := u.call(t, u.conn, u.request(x.Rows(lo, hi)))
			copy(p.Rows(lo, hi).Data, r.Outputs[0].Float32s())
		}
		data, err := u.d.Prepare(x)
		if err != nil {
			t.Fatal(err)
		}
		v, err := u.d.DetectGiven(t.Context(), data, p, detect.GivenOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	all := judged(u.Rows)
	u.rows = tensor.New(tritontest.MaxBatch, features)
	flagged, at := 0, 0
	for i, f := range all.Adversarial {
		if at < tritontest.MaxBatch && (f && flagged < 3 || !f && at-flagged < tritontest.MaxBatch-3) {
			copy(u.rows.Row(at), u.Rows.Row(i))
			at++
			if f {
				flagged++
			}
		}
	}
	if u.want = judged(u.rows); at < tritontest.MaxBatch || flagged == 0 {
		t.Fatalf("the rows are all alike: %v", all.Adversarial)
	}
}

func (u *tritons) request(x *tensor.Tensor) tensors.Request {
	return tensors.Request{ID: "7", Model: tritontest.Model, Inputs: []tensors.Tensor{tensors.FromFloat32s("pixels", []int64{int64(x.N()), features}, x.Data)},
		Outputs: []tensors.Output{{Name: "predict_proba"}, {Name: "predict"}}}
}

// front is a proxy before Triton: where it is over HTTP, and over gRPC.
func (u *tritons) front(t *testing.T, m proxy.Model) (string, *grpc.ClientConn, *proxy.Proxy, string) {
	t.Helper()
	m.Name, m.URL, m.GRPC, m.Model = "guard", u.URL, u.GRPC, tritontest.Model
	p, err := proxy.New(u.s, []proxy.Model{m}, proxy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	h := httptest.NewServer(p)
	t.Cleanup(h.Close)
	at := listen(t, grpc.NewServer(p.ServerOptions()...))
	return h.URL, connect(t, at), p, at
}

func connect(t testing.TB, at string) *grpc.ClientConn {
	t.Helper()
	c, err := grpc.NewClient(at, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// call asks over gRPC, and gives the answer's bytes too.
func (u *tritons) call(t *testing.T, c *grpc.ClientConn, q tensors.Request) ([]byte, tensors.Response, metadata.MD) {
	t.Helper()
	b, tail, err := u.try(t, c, q)
	if err != nil {
		t.Fatal(err)
	}
	m := &inference.ModelInferResponse{}
	if err := inference.Unmarshal(b, m, 1000); err != nil {
		t.Fatal(err)
	}
	r, err := tensors.FromResponse(m, tensors.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return b, r, tail
}

func (u *tritons) try(t *testing.T, c *grpc.ClientConn, q tensors.Request) (b []byte, tail metadata.MD, err error) {
	t.Helper()
	in := &wire{}
	if in.b, err = encoding.GetCodecV2("proto").Marshal(q.Message()); err != nil {
		t.Fatal(err)
	}
	out := &wire{}
	err = c.Invoke(t.Context(), inference.ModelInfer, in, out, grpc.ForceCodecV2(asBytes{}), grpc.Trailer(&tail))
	return out.b.Materialize(), tail, err
}

// wire is a message as bytes, and asBytes its codec.
type wire struct{ b mem.BufferSlice }

type asBytes struct{}

func (asBytes) Name() string                           { return "proto" }
func (asBytes) Marshal(v any) (mem.BufferSlice, error) { return v.(*wire).b, nil }
func (asBytes) Unmarshal(b mem.BufferSlice, v any) error {
	v.(*wire).b = mem.BufferSlice{mem.SliceBuffer(b.Materialize())}
	return nil
}

// how a request is written over REST.
var hows = []struct {
	name        string
	binary, zip bool
}{{"JSON", false, false}, {"binary", true, false}, {"JSON in gzip", false, true}, {"binary in gzip", true, true}}

// rest asks over REST, and gives the answer's bytes too.
func (u *tritons) rest(t *testing.T, url string, x *tensor.Tensor, how int) (int, []byte, http.Header) {
	t.Helper()
	q := u.request(x)
	for i := range q.Outputs {
		q.Outputs[i].Parameters = tensors.Parameters{"binary_data": hows[how].binary}
	}
	body, n := tensors.AppendRequest(nil, q, func(tensors.Tensor) bool { return hows[how].binary })
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/v2/models/"+tritontest.Model+"/infer", nil)
	if err != nil {
		t.Fatal(err)
	}
	if n >= 0 {
		r.Header.Set("Inference-Header-Content-Length", strconv.FormatInt(n, 10))
	}
	r.Header.Set("Accept-Encoding", "identity")
	if hows[how].zip {
		var z bytes.Buffer
		w := gzip.NewWriter(&z)
		_, _ = w.Write(body)
		_ = w.Close()
		body = z.Bytes()
		r.Header.Set("Content-Encoding", "gzip")
		r.Header.Set("Accept-Encoding", "gzip")
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	text, err := io.ReadAll(a.Body)
	if err != nil {
		t.Fatal(err)
	}
	a.Header.Del("Date") // which Triton leaves to those who pass it on
	return a.StatusCode, text, a.Header
}

// Before Triton itself.
func TestTriton(t *testing.T) {
	u := triton(t)
	t.Run("passes", u.passes)
	t.Run("policies", u.policies)
	t.Run("clients", u.clients)
}

// All that is no inference passes byte for byte, over both protocols, errors too.
func (u *tritons) passes(t *testing.T) {
	url, c, _, _ := u.front(t, proxy.Model{Policy: proxy.Observe})
	for _, test := range []struct{ method, path, body string }{
		{"GET", "/v2", ""}, {"GET", "/v2/health/live", ""}, {"GET", "/v2/health/ready", ""}, {"GET", "/v2/models/stats", ""},
		{"GET", "/v2/models/digits", ""}, {"GET", "/v2/models/digits/versions/1", ""}, {"GET", "/v2/models/digits/versions/9", ""}, {"GET", "/v2/models/digits/ready", ""},
		{"GET", "/v2/models/digits/config", ""}, {"GET", "/v2/models/digits/stats", ""}, {"GET", "/v2/models/digits/versions/1/stats", ""}, {"GET", "/v2/models/nobody", ""},
		{"GET", "/v2/models/open/ready", ""}, {"POST", "/v2/models/open/infer", "{}"}, {"POST", "/v2/models/nobody/infer", "{}"}, {"GET", "/v2/models/digits/infer", ""},
		{"POST", "/v2/repository/index", ""}, {"POST", "/v2/repository/index", `{"ready": true}`}, {"POST", "/v2/repository/models/nobody/load", ""},
		{"POST", "/v2/repository/models/nobody/unload", ""}, {"GET", "/v2/systemsharedmemory/status", ""}, {"GET", "/v2/cudasharedmemory/status", ""},
		{"POST", "/v2/systemsharedmemory/region/none/register", `{"key": "/vaeguard-none", "offset": 0, "byte_size": 8}`}, {"POST", "/v2/systemsharedmemory/unregister", ""},
		{"GET", "/v2/trace/setting", ""}, {"GET", "/v2/models/digits/trace/setting", ""}, {"GET", "/v2/logging", ""}, {"POST", "/v2/logging", `{"log_verbose_level": "?"}`},
		{"POST", "/v2/models/digits/generate", `{"pixels": [1]}`}, {"POST", "/v2/models/digits/generate_stream", "{}"}, {"GET", "/", ""}, {"PUT", "/v2", ""}, {"GET", "/v3/%20//x?a=1;b", ""},
		{"HEAD", "/v2/health/ready", ""}, {"OPTIONS", "/v2", ""},
	} {
		want, err := ask(t, u.URL, test.method, test.path, nil, []byte(test.body))
		if err != nil {
			t.Errorf("%s %s: Triton: %v", test.method, test.path, err)
			continue
		}
		if got, err := ask(t, url, test.method, test.path, nil, []byte(test.body)); err != nil || settled(got) != settled(want) {
			t.Errorf("%s %s: %v\n%s\nTriton says\n%s", test.method, test.path, err, got, want)
		}
	}
	name := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), tritontest.Model)
	second := func(name string) []byte {
		return protowire.AppendString(protowire.AppendTag(nil, 2, protowire.BytesType), name)
	}
	for _, test := range []struct {
		method string
		in     []byte
		code   codes.Code
	}{
		{"ServerLive", nil, codes.OK}, {"ServerReady", nil, codes.OK}, {"ServerMetadata", nil, codes.OK}, {"ModelReady", name, codes.OK}, {"ModelMetadata", name, codes.OK},
		{"ModelMetadata", []byte{0xff}, codes.Internal}, {"ModelMetadata", nil, codes.NotFound}, {"ModelConfig", name, codes.OK}, {"ModelStatistics", name, codes.OK},
		{"RepositoryIndex", nil, codes.OK}, {"RepositoryModelLoad", second("nobody"), codes.Internal}, {"RepositoryModelUnload", second("nobody"), codes.OK},
		{"SystemSharedMemoryStatus", nil, codes.OK}, {"SystemSharedMemoryRegister", name, codes.Internal}, {"SystemSharedMemoryUnregister", nil, codes.OK},
		{"CudaSharedMemoryStatus", nil, codes.OK}, {"TraceSetting", nil, codes.OK}, {"LogSettings", nil, codes.OK}, {"ModelInfer", nil, codes.NotFound}, {"Nothing", nil, codes.Unimplemented},
	} {
		asked := func(c *grpc.ClientConn) (string, codes.Code) {
			in, out := &wire{mem.BufferSlice{mem.SliceBuffer(test.in)}}, &wire{}
			var head, tail metadata.MD
			err := c.Invoke(t.Context(), "/inference.GRPCInferenceService/"+test.method, in, out, grpc.ForceCodecV2(asBytes{}), grpc.Header(&head), grpc.Trailer(&tail))
			for _, name := range []string{"content-type", "grpc-accept-encoding"} { // of a connection
				head.Delete(name)
				tail.Delete(name)
			}
			b := out.b.Materialize()
			if strings.HasSuffix(test.method, "Settings") || strings.HasSuffix(test.method, "Setting") {
				slices.Sort(b) // maps, in any order
			}
			return fmt.Sprintf("%q %v %q %v %v", b, status.Code(err), status.Convert(err).Message(), head, tail), status.Code(err)
		}
		want, code := asked(u.conn)
		if code != test.code {
			t.Errorf("%s: Triton says %s, want %v", test.method, want, test.code)
		}
		if got, _ := asked(c); got != want {
			t.Errorf("%s: %s\nTriton says\n%s", test.method, got, want)
		}
	}
}

// settled is an answer without what differs from one moment to the next.
func settled(text string) string {
	var out []string
	for _, line := range strings.Split(text, "\n") {
		if !strings.HasPrefix(line, "Date: ") {
			out = append(out, line)
		}
	}
	return strings.Join(out, "\n")
}

// What comes of inferences by each policy, over both protocols and in each encoding.
func (u *tritons) policies(t *testing.T) {
	flag := slices.Index(u.want.Adversarial, true)
	clean := slices.Index(u.want.Adversarial, false)
	t.Run("observe", func(t *testing.T) {
		url, c, p, _ := u.front(t, proxy.Model{Policy: proxy.Observe})
		for how := range hows {
			code, want, head := u.rest(t, u.URL, u.rows, how)
			code2, got, head2 := u.rest(t, url, u.rows, how)
			if code != http.StatusOK || code2 != code || !bytes.Equal(got, want) || fmt.Sprint(head) != fmt.Sprint(head2) {
				t.Errorf("%s: %d %q %v\nTriton: %d %q %v", hows[how].name, code2, got, head2, code, want, head)
			}
		}
		want, _, _ := u.call(t, u.conn, u.request(u.rows))
		got, _, tail := u.call(t, c, u.request(u.rows))
		if !bytes.Equal(got, want) || len(tail) > 0 {
			t.Errorf("gRPC: %q %v, Triton says %q", got, tail, want)
		}
		await(t, func() bool { return p.Counters().Judged == int64(len(hows))+1 })
		if n := int64(strings.Count(flags(u.want), "1")); p.Counters().Flagged != n*int64(len(hows)+1) {
			t.Errorf("%+v", p.Counters())
		}
	})
	for _, policy := range []proxy.Policy{proxy.Annotate, proxy.Correct} {
		t.Run(string(policy), func(t *testing.T) {
			url, c, _, _ := u.front(t, proxy.Model{Policy: policy})
			for how := range hows {
				_, text, h := u.rest(t, u.URL, u.rows, how)
				plain := parsed(t, text, h)
				code, text, h := u.rest(t, url, u.rows, how)
				if code != http.StatusOK {
					t.Fatalf("%s: %d %s", hows[how].name, code, text)
				}
				if h.Get("X-Vaeguard-Is-Adversarial") != flags(u.want) || h.Get("X-Vaeguard-Instance-Score") != scores(u.want) || (h.Get("Inference-Header-Content-Length") != "") != hows[how].binary {
					t.Errorf("%s: %v, want %s", hows[how].name, h, scores(u.want))
				}
				u.hold(t, policy, hows[how].name, parsed(t, text, h), plain)
			}
			_, plain, _ := u.call(t, u.conn, u.request(u.rows))
			_, r, tail := u.call(t, c, u.request(u.rows))
			if got := tail.Get("x-vaeguard-instance-score"); len(got) != 1 || got[0] != scores(u.want) {
				t.Errorf("trailers %v", tail)
			}
			u.hold(t, policy, "gRPC", r, plain)
		})
	}
	t.Run("block", func(t *testing.T) {
		url, c, _, _ := u.front(t, proxy.Model{Policy: proxy.Block})
		for how := range hows {
			if code, text, _ := u.rest(t, url, u.rows.Rows(flag, flag+1), how); code != http.StatusForbidden || bytes.Contains(text, []byte("predict")) {
				t.Errorf("%s: %d %s", hows[how].name, code, text)
			}
			_, want, _ := u.rest(t, u.URL, u.rows.Rows(clean, clean+1), how)
			if code, got, h := u.rest(t, url, u.rows.Rows(clean, clean+1), how); code != http.StatusOK || !bytes.Equal(got, want) || h.Get("X-Vaeguard-Flagged") != "0" {
				t.Errorf("%s: %d %q %v, Triton says %q", hows[how].name, code, got, h, want)
			}
		}
		if b, tail, err := u.try(t, c, u.request(u.rows.Rows(flag, flag+1))); status.Code(err) != codes.PermissionDenied || len(b) > 0 || tail.Get("x-vaeguard-flagged")[0] != "1" {
			t.Errorf("gRPC: %v %v %q", err, tail, b)
		}
		want, _, _ := u.call(t, u.conn, u.request(u.rows.Rows(clean, clean+1)))
		if got, _, _ := u.call(t, c, u.request(u.rows.Rows(clean, clean+1))); !bytes.Equal(got, want) {
			t.Errorf("gRPC: %q, Triton says %q", got, want)
		}
	})
	t.Run("block rows", func(t *testing.T) {
		url, _, _, _ := u.front(t, proxy.Model{Policy: proxy.Block, Rows: true})
		_, text, h := u.rest(t, url, u.rows, 1)
		r := parsed(t, text, h)
		for i, f := range u.want.Adversarial {
			if p, label := r.Outputs[0].Float64(i*classes), r.Outputs[1].Float64(i); f != (p != p) || f != (label == -1) {
				t.Errorf("row %d, flagged %v: %v, label %v", i, f, p, label)
			}
		}
	})
}

func parsed(t *testing.T, text []byte, h http.Header) tensors.Response {
	t.Helper()
	at := int64(-1)
	if v := h.Get("Inference-Header-Content-Length"); v != "" {
		at, _ = strconv.ParseInt(v, 10, 64)
	}
	if h.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(bytes.NewReader(text))
		if err == nil {
			text, err = io.ReadAll(z)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	r, err := tensors.ParseResponse(text, at, tensors.Limits{})
	if err != nil {
		t.Fatalf("%v\n%q", err, text)
	}
	return r
}

// hold holds an answer to the verdict, and to what Triton says without the proxy.
func (u *tritons) hold(t *testing.T, policy proxy.Policy, how string, r, plain tensors.Response) {
	t.Helper()
	if p := r.Parameters; p["vaeguard_is_adversarial"] != flags(u.want) || p["vaeguard_instance_score"] != scores(u.want) || r.ID != "7" || r.Version != "1" || len(r.Outputs) != 2 {
		t.Errorf("%s: %+v", how, r)
		return
	}
	for i := range u.rows.N() {
		row := r.Outputs[0].Float32s()[i*classes : (i+1)*classes]
		same := slices.Equal(row, plain.Outputs[0].Float32s()[i*classes:(i+1)*classes]) && r.Outputs[1].Float64(i) == plain.Outputs[1].Float64(i)
		if flagged := u.want.Adversarial[i] && policy == proxy.Correct; flagged == same {
			t.Errorf("%s: row %d, flagged %v: Triton's answer is kept %v", how, i, flagged, same)
		} else if flagged && (slices.Index(row, slices.Max(row)) != u.want.Corrected[i] || int(r.Outputs[1].Float64(i)) != u.want.Corrected[i]) {
			t.Errorf("%s: row %d: %v, label %v, want %d", how, i, row, r.Outputs[1].Float64(i), u.want.Corrected[i])
		}
	}
}

// tritonclient through the proxy, and what of Triton's own the guard cannot read: shared memory, raw requests, streams.
func (u *tritons) clients(t *testing.T) {
	for _, closed := range []bool{false, true} {
		t.Run(map[bool]string{false: "open", true: "closed"}[closed], func(t *testing.T) {
			url, _, _, at := u.front(t, proxy.Model{Policy: proxy.Annotate, Closed: closed})
			given, err := json.Marshal(map[string]any{"rows": nested(u.rows), "closed": closed})
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), u.Python, "testdata/triton_client.py", strings.TrimPrefix(u.URL, "http://"), u.GRPC, strings.TrimPrefix(url, "http://"), at)
			var complaint bytes.Buffer
			cmd.Stdin, cmd.Stderr = bytes.NewReader(given), &complaint
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("%v\n%s", err, complaint.Bytes())
			}
			var said map[string]string
			if err := json.Unmarshal(out, &said); err != nil {
				t.Fatal(err)
			}
			for how, got := range said {
				if got != flags(u.want) {
					t.Errorf("%s: %s, want %s", how, got, flags(u.want))
				}
			}
			if len(said) < 8 {
				t.Errorf("%v", said)
			}
		})
	}
}

func nested(x *tensor.Tensor) (out [][]float32) {
	for i := range x.N() {
		out = append(out, x.Row(i))
	}
	return out
}
