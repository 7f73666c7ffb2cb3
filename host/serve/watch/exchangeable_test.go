package watch_test

import (
	"context"
	"encoding/binary"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/vaeguard/vaeguard/builtin/scores"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/serve/watch"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// bySign gives a row of two numbers a class by the sign of the first.
type bySign struct{}

func (bySign) Info(context.Context) (sdk.Info, error) {
	return sdk.Info{Name: "sign", InputShape: tensor.Shape{2}, NumClasses: 2, Output: sdk.Logits, Ready: true}, nil
}

func (bySign) Predict(_ context.Context, x *tensor.Tensor) (*tensor.Tensor, error) {
	y := tensor.New(x.N(), 2)
	for i := range x.N() {
		y.Row(i)[1] = x.Row(i)[0]
	}
	return y, nil
}

// second is the second number of a row, as a score.
type second struct{}

func (second) Needs() detect.Needs { return detect.Needs{} }
func (second) Score(dst []float64, e detect.Evidence) {
	for i := range dst {
		dst[i] = float64(e.X.Row(i)[1])
	}
}

// noisy votes by copies with noise in the first number.
type noisy struct{ votes detect.Votes }

func (o noisy) Form() detect.Form                    { return detect.Form{Rebuilt: o.votes.N} }
func (o noisy) Votes() detect.Votes                  { return o.votes }
func (noisy) Params() []*nn.Param                    { return nil }
func (o noisy) NewPass(e *kernel.Engine) detect.Pass { return &noisyPass{noisy: o, e: e} }

type noisyPass struct {
	noisy
	e     *kernel.Engine
	noise []float32
}

func (o *noisyPass) Forward(s *detect.Second, x, _ *tensor.Tensor) {
	o.Draw(s.Rebuilt, x, detect.Draws{To: o.votes.N})
}
func (*noisyPass) Backward(*tensor.Tensor, *detect.Second, *tensor.Tensor, *tensor.Tensor) {}
func (o *noisyPass) Draw(dst, x *tensor.Tensor, d detect.Draws) {
	k := d.To - d.From
	o.noise = append(o.noise[:0], make([]float32, k)...)
	for i := range x.N() {
		h, buf := fnv.New64a(), make([]byte, 0, 8)
		for _, v := range x.Row(i) {
			buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(v))
		}
		_, _ = h.Write(buf)
		o.e.Normal(o.noise, kernel.Key{Seed: h.Sum64(), Stream: uint64(d.Use)}, uint64(d.From))
		for j, n := range o.noise {
			copy(dst.Row(i*k+j), x.Row(i))
			dst.Row(i*k + j)[0] += float32(o.votes.Sigma) * n
		}
	}
}

// TestCleanStreamsOfDetectors: of streams of rows like a detector's calibration rows,
// judged by the detector as a server does it, the share that ever reaches 1/α is at most
// α + Slack, also where each class has a threshold of its own and where votes end early.
// Neither their scores nor votes that were counted to different ends are exchangeable
// with calibration scores: bets on those win.
func TestCleanStreamsOfDetectors(t *testing.T) {
	const alpha, rate, rows, calibration = 0.02, 0.1, 2000, 600
	streams := 100
	if testing.Short() {
		streams = 50
	}
	votes, err := scores.Table().Lookup("votes")
	if err != nil {
		t.Fatal(err)
	}
	plain := func() detect.Options {
		return detect.Options{Method: "plain", Classifier: bySign{}, Scores: []detect.NamedScore{{Name: "second", Score: second{}}}, Threads: 1}
	}
	voting := func(stop float64) func() detect.Options {
		return func() detect.Options {
			return detect.Options{Method: "noisy", Classifier: bySign{}, Scores: []detect.NamedScore{{Name: "votes", Score: votes}}, Threads: 1,
				Opinion: noisy{detect.Votes{Sigma: 0.5, N: 64, Stop: stop, Proof: detect.Proof{Votes: 1, Alpha: 0.9}}}}
		}
	}
	fpr, bound := rate, 1.2*rate
	for _, c := range []struct {
		name    string
		options func() detect.Options
		rule    detect.Rule
		naive   bool // bets on scores are known to win here
	}{
		{"one threshold", plain, detect.Rule{FPR: &fpr}, false},
		{"by predicted class", plain, detect.Rule{FPR: &fpr, By: detect.ByPredictedClass}, true},
		{"class_fpr", plain, detect.Rule{FPR: &fpr, ClassFPR: &bound}, true},
		{"votes", voting(0.1), detect.Rule{FPR: &fpr}, true},
		{"votes, stop 0", voting(0), detect.Rule{FPR: &fpr}, false},
		{"votes by predicted class", voting(0.1), detect.Rule{FPR: &fpr, By: detect.ByPredictedClass}, true},
	} {
		rung, naive := 0, 0
		for s := range streams {
			r := rand.New(rand.NewPCG(uint64(s), 77))
			d, err := detect.New(t.Context(), c.options())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := d.Calibrate(t.Context(), twoClasses(r, calibration), c.rule); err != nil {
				t.Fatal(err)
			}
			m, old := watch.MartingaleOf(d, uint64(s)), watch.NewMartingale(d.State().Scores, uint64(s))
			got, err := d.Detect(t.Context(), twoClasses(r, rows), detect.Include{})
			if err != nil {
				t.Fatal(err)
			}
			m.Judged(got)
			old.Add(got.Score...)
			if peak, n := m.Peak(); n != int64(rows) {
				t.Fatalf("%d rows counted", n)
			} else if peak >= -math.Log10(alpha) {
				rung++
			}
			if peak, _ := old.Peak(); peak >= -math.Log10(alpha) {
				naive++
			}
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
		}
		share := float64(rung) / float64(streams)
		t.Logf("%s: %.4f of %d streams reach 1/%g, by their scores %.4f", c.name, share, streams, alpha, float64(naive)/float64(streams))
		most := alpha + watch.Slack + 3*math.Sqrt(alpha*(1-alpha)/float64(streams))
		if share > most {
			t.Errorf("%s: %.4f of the streams reach 1/%g, want at most %.4f", c.name, share, alpha, most)
		}
		if old := float64(naive) / float64(streams); c.naive && old <= most {
			t.Errorf("%s: bets on scores ring in %.4f of the streams: the test shows nothing", c.name, old)
		}
	}
}

// twoClasses are rows of which an eighth have class 1, and higher scores.
func twoClasses(r *rand.Rand, n int) *tensor.Tensor {
	x := tensor.New(n, 2)
	for i := range n {
		side, score := -1.0, r.NormFloat64()
		if r.Float64() < 0.12 {
			side, score = 1, 3+2*score
		}
		x.Row(i)[0], x.Row(i)[1] = float32(side*(0.1+1.6*r.Float64())), float32(score)
	}
	return x
}
