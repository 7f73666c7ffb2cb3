package proxy_test

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/host/serve/judge"
	"github.com/vaeguard/vaeguard/host/serve/proxy"
	"github.com/vaeguard/vaeguard/host/serve/tensors"
	"github.com/vaeguard/vaeguard/sdk/sdktest"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// What a model server may answer in the place of logits.
type instead = func(x, logits *tensor.Tensor) *tensor.Tensor

func same(_, z *tensor.Tensor) *tensor.Tensor { return z }

func probabilities(_, z *tensor.Tensor) *tensor.Tensor {
	out, p := tensor.New(z.N(), z.Stride()), make([]float64, z.Stride())
	for i := range z.N() {
		oracle.Softmax(p, z.Row(i))
		for c, v := range p {
			out.Row(i)[c] = float32(v)
		}
	}
	return out
}

func reversed(_, z *tensor.Tensor) *tensor.Tensor {
	out := z.Clone()
	for i := range out.N() {
		slices.Reverse(out.Row(i))
	}
	return out
}

// retrained is another version of the model.
func retrained(x, _ *tensor.Tensor) *tensor.Tensor {
	z, err := (&sdktest.Fake{Shape: tensor.Shape{features}, Classes: classes, Seed: 99}).Predict(context.Background(), x)
	if err != nil {
		panic(err)
	}
	return z
}

// answers makes both servers of a bench another model's.
func (b *bench) answers(version string, answer instead) {
	for _, u := range []*upstream{b.upstream, b.rest} {
		u.as.Store(&as{version, answer})
	}
}

// heard is what an answer says of its rows.
type heard struct {
	status  codes.Code // as over gRPC
	headers func(name string) string
	answer  *tensor.Tensor // of the output logits; nil: there is none
}

func (h heard) numbers(t *testing.T, name string) []float64 {
	t.Helper()
	var out []float64
	for text := range strings.SplitSeq(h.headers(name), ",") {
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Fatalf("%s: %q", name, h.headers(name))
		}
		out = append(out, v)
	}
	return out
}

// way asks the proxy over one of the protocols.
type way func(t *testing.T, x *tensor.Tensor) heard

// ways are a bench whose upstream answers over both protocols, and how it is asked.
func ways(t *testing.T, policy proxy.Policy, change func(*proxy.Model, *proxy.Options)) (*bench, map[string]way) {
	b, c := called(t, policy, change)
	logitsOf := func(r tensors.Response) *tensor.Tensor {
		for _, o := range r.Outputs {
			if o.Name == "logits" {
				return tensor.From(o.Float32s(), int(o.Shape[0]), classes)
			}
		}
		return nil
	}
	return b, map[string]way{
		"REST": func(t *testing.T, x *tensor.Tensor) heard {
			t.Helper()
			body, _ := tensors.AppendRequest(nil, request(x), nil)
			code, text, h := b.post(t, body)
			out := heard{headers: func(name string) string { return h.Get("x-vaeguard-" + name) }}
			switch code {
			case http.StatusOK:
				r, err := tensors.ParseResponse(text, -1, tensors.Limits{})
				if err != nil {
					t.Fatal(err)
				}
				out.answer = logitsOf(r)
			case http.StatusForbidden:
				out.status = codes.PermissionDenied
			case http.StatusServiceUnavailable:
				out.status = codes.Unavailable
			default:
				t.Fatalf("%d %s", code, text)
			}
			return out
		},
		"gRPC": func(t *testing.T, x *tensor.Tensor) heard {
			t.Helper()
			m, tail, err := ask1(t, c, request(x))
			out := heard{status: status.Code(err), headers: func(name string) string { return strings.Join(tail.Get("x-vaeguard-"+name), "|") }}
			if err == nil {
				r, err := tensors.FromResponse(m, tensors.Limits{})
				if err != nil {
					t.Fatal(err)
				}
				out.answer = logitsOf(r)
			}
			return out
		},
	}
}

// Whatever kind a model server's answers are of, verdicts are those of detect: from the first request on, and with its very
// bits where the answers are logits, as the detector's classifier's are.
func TestKinds(t *testing.T) {
	for _, policy := range []proxy.Policy{proxy.Annotate, proxy.Block, proxy.Correct} {
		b, asks := ways(t, policy, nil)
		x, want := b.rows(t, 12)
		for kind, answer := range map[string]instead{"logits": same, "probabilities": probabilities} {
			b.answers("of "+kind, answer)
			for name, ask := range asks {
				t.Run(fmt.Sprint(policy, " ", kind, " ", name), func(t *testing.T) {
					for range 6 {
						got := ask(t, x)
						got.judged(t, policy, want, kind == "logits")
						if policy != proxy.Correct {
							continue
						}
						for i, c := range want.Corrected {
							row := got.answer.Row(i)
							sum := float32(0)
							for _, v := range row {
								sum += v
							}
							if oracle.Argmax(row) != c || (kind == "probabilities") != (math.Abs(float64(sum-1)) < 1e-3) {
								t.Errorf("row %d: %v, want class %d in %s", i, row, c, kind)
							}
						}
					}
				})
			}
		}
		if c := b.kinds.Counters(); c.Foreign != 0 || c.Given == 0 || c.Converted == 0 || c.Compared == 0 {
			t.Errorf("%s: %+v", policy, c)
		}
	}
}

// judged holds an answer to what detect says, to the bit or nearly so.
func (h heard) judged(t *testing.T, policy proxy.Policy, want *detect.Result, exact bool) {
	t.Helper()
	code := codes.OK
	if policy == proxy.Block {
		code = codes.PermissionDenied
	}
	if h.status != code || h.headers("verdict") != "judged" {
		t.Fatalf("%v, verdict %q", h.status, h.headers("verdict"))
	}
	for i, s := range h.numbers(t, "instance-score") {
		if d := math.Abs(s - want.Score[i]); d > 1e-4 || exact && d > 0 {
			t.Errorf("row %d: score %g, want %g", i, s, want.Score[i])
		}
	}
	if h.headers("is-adversarial") != flags(want) {
		t.Errorf("%s, want %s", h.headers("is-adversarial"), flags(want))
	}
}

// Another model's answers are not used: rows are judged by the detector's classifier's answers, which the verdict says. They
// are not corrected, for nobody knows which class is which.
func TestAnotherModel(t *testing.T) {
	for _, policy := range []proxy.Policy{proxy.Annotate, proxy.Block, proxy.Correct} {
		b, asks := ways(t, policy, nil)
		x, want := b.rows(t, 12)
		for model, answer := range map[string]instead{"reversed": reversed, "retrained": retrained} {
			b.answers(model, answer)
			for name, ask := range asks {
				t.Run(fmt.Sprint(policy, " ", model, " ", name), func(t *testing.T) {
					for range 6 {
						got := ask(t, x)
						if policy == proxy.Correct {
							if got.status != codes.OK || got.headers("verdict") != "unjudged: another-model" {
								t.Errorf("%v, verdict %q", got.status, got.headers("verdict"))
							}
							continue
						}
						got.judged(t, policy, want, true)
						if got.headers("predicted-by") != "detector" {
							t.Error("it does not say whose classes it has")
						}
					}
				})
			}
		}
		if c := b.kinds.Counters(); c.Foreign != c.Compared || c.Given+c.Converted > 0 {
			t.Errorf("%s: %+v", policy, c)
		}
	}
	t.Run("closed", func(t *testing.T) {
		b, asks := ways(t, proxy.Correct, func(m *proxy.Model, _ *proxy.Options) { m.Closed = true })
		x, _ := b.rows(t, 12)
		b.answers("reversed", reversed)
		for name, ask := range asks {
			if got := ask(t, x); got.status != codes.Unavailable {
				t.Errorf("%s: %v", name, got.status)
			}
		}
	})
}

// A model that is swapped behind the proxy is noticed, though its version stays: at once where its answers are of another
// kind, and otherwise by the next comparison. It is logged once; and the model that comes back is known again.
func TestSwapped(t *testing.T) {
	const every = 5
	var log bytes.Buffer
	b, asks := ways(t, proxy.Annotate, func(_ *proxy.Model, o *proxy.Options) {
		o.Kinds = judge.NewKinds(judge.KindsOptions{Every: every, Logger: hclog.New(&hclog.LoggerOptions{Output: &log})})
	})
	x, want := b.rows(t, 12)
	ask := asks["gRPC"]
	for range 5 {
		ask(t, x).judged(t, proxy.Annotate, want, true)
	}
	if b.kinds.Counters().Given == 0 {
		t.Fatalf("%+v", b.kinds.Counters())
	}
	b.answers("7", probabilities)
	for range 10 {
		ask(t, x).judged(t, proxy.Annotate, want, false)
	}
	c := b.kinds.Counters()
	if c.Converted == 0 || c.Foreign > 0 {
		t.Fatalf("%+v", c)
	}
	b.answers("7", same)
	for range 10 {
		ask(t, x).judged(t, proxy.Annotate, want, true)
	}
	b.answers("7", reversed)
	for range every {
		ask(t, x)
	}
	for range 10 {
		got := ask(t, x)
		got.judged(t, proxy.Annotate, want, true)
		if got.headers("predicted-by") != "detector" {
			t.Error("it is not noticed")
		}
	}
	if n := strings.Count(log.String(), "[ERROR]"); n != 1 {
		t.Errorf("it is logged %d times:\n%s", n, log.String())
	}
	b.answers("7", same)
	for range 5 {
		ask(t, x)
	}
	if got := ask(t, x); got.headers("predicted-by") != "" {
		t.Error("it is not known again")
	}
}

// What was away is compared again when it is back.
func TestComparedAfterAway(t *testing.T) {
	b := stand(t, proxy.Annotate, nil)
	b.settle(t, b.behind, "logits", "7")
	x, _ := b.rows(t, 12)
	body, _ := tensors.AppendRequest(nil, request(x), nil)
	before := b.kinds.Counters()
	b.away.Store(true)
	if code, text, _ := b.post(t, body); code != http.StatusBadGateway {
		t.Fatalf("%d %s", code, text)
	}
	b.away.Store(false)
	for range 3 {
		if code, text, _ := b.post(t, body); code != http.StatusOK {
			t.Fatalf("%d %s", code, text)
		}
	}
	if c := b.kinds.Counters(); c.Compared != before.Compared+1 || c.Given != before.Given+2 {
		t.Errorf("%+v after %+v", c, before)
	}
}
