package judge

import (
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// rowsOf are rows of one length.
func rowsOf(rows ...[]float32) *tensor.Tensor {
	t := tensor.New(len(rows), len(rows[0]))
	for i, r := range rows {
		copy(t.Row(i), r)
	}
	return t
}

// softmaxOf are the probabilities of logits.
func softmaxOf(z *tensor.Tensor) *tensor.Tensor { return convert(z, sdk.Probabilities) }

// logsOf are their logarithms.
func logsOf(p *tensor.Tensor) *tensor.Tensor { return convert(p, sdk.Logits) }

// shifted are logits with another constant a row, as another export of a model may have them, rounded to 16 bits' worth.
func shifted(z *tensor.Tensor) *tensor.Tensor {
	out := z.Clone()
	for i := range out.Data {
		out.Data[i] = float32(math.Round(float64(out.Data[i]+3)*512) / 512)
	}
	return out
}

// turned has the classes in another order.
func turned(t *tensor.Tensor) *tensor.Tensor {
	out := t.Clone()
	for i := range out.N() {
		for c := range out.Stride() {
			out.Row(i)[c] = t.Row(i)[(c+1)%t.Stride()]
		}
	}
	return out
}

func TestCompareRows(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	z := rowsOf([]float32{4, -2, 1}, []float32{-1, 0.5, 3}, []float32{0, 6, 0})
	p := softmaxOf(z)
	uniform := rowsOf([]float32{1. / 3, 1. / 3, 1. / 3})
	for name, test := range map[string]struct {
		own, given *tensor.Tensor
		want       votes
	}{
		"logits":                          {p, z, votes{logits: 3}},
		"logits of another export":        {p, shifted(z), votes{logits: 3}},
		"probabilities":                   {p, p, votes{probabilities: 3}},
		"logarithms of probabilities":     {p, logsOf(p), votes{logits: 3}},
		"another order of classes":        {p, turned(z), votes{off: 3}},
		"another order, probabilities":    {p, turned(p), votes{off: 3}},
		"a temperature of 2":              {p, scaled(z, .5), votes{off: 3}},
		"uniform, as probabilities":       {uniform, uniform, votes{alike: 1}},
		"uniform, as logits":              {uniform, rowsOf([]float32{2, 2, 2}), votes{logits: 1}},
		"a row that hardly tells":         {rowsOf([]float32{.5, .5}), rowsOf([]float32{.52, .48}), votes{alike: 1}},
		"it is not finite":                {p, rowsOf([]float32{nan, 0, 0}, []float32{inf, 0, 0}, []float32{0, 6, 0}), votes{logits: 1, off: 2}},
		"the classifier's is not finite":  {rowsOf([]float32{nan, nan, nan}), rowsOf([]float32{4, 0, 0}), votes{alike: 1}},
		"one class for certain, as such":  {rowsOf([]float32{1, 0, 0}), rowsOf([]float32{1, 0, 0}), votes{probabilities: 1}},
		"one class for certain, as logit": {rowsOf([]float32{1, 0, 0}), rowsOf([]float32{900, 0, -900}), votes{logits: 1}},
		"percentages":                     {p, scaled(p, 100), votes{off: 1, logits: 2}},
	} {
		t.Run(name, func(t *testing.T) {
			got := compareRows(test.own, test.given)
			if name == "percentages" { // as logits the surest rows agree by chance, and not all
				if got.off == 0 || got.probabilities > 0 {
					t.Errorf("%+v", got)
				}
			} else if got != test.want {
				t.Errorf("%+v, want %+v", got, test.want)
			}
		})
	}
}

func scaled(t *tensor.Tensor, by float32) *tensor.Tensor {
	out := t.Clone()
	for i := range out.Data {
		out.Data[i] *= by
	}
	return out
}

// What is converted reads as what it was, and probabilities of nothing have finite logarithms.
func TestConvert(t *testing.T) {
	p := rowsOf([]float32{.7, .3, 0}, []float32{1, 0, 0}, []float32{.2, .2, .6})
	z := logsOf(p)
	row := make([]float64, 3)
	for i := range p.N() {
		if !finite(z.Row(i)) {
			t.Errorf("row %d: %v", i, z.Row(i))
		}
		oracle.LogProbabilities(row, z.Row(i), sdk.Logits, 1)
		for c, l := range row {
			if d := math.Exp(l) - float64(p.Row(i)[c]); math.Abs(d) > 1e-6 {
				t.Errorf("row %d, class %d: %g, want %g", i, c, math.Exp(l), p.Row(i)[c])
			}
		}
	}
	if back := softmaxOf(z); compareRows(p, back) != (votes{probabilities: 3}) {
		t.Errorf("%v, want %v", back.Data, p.Data)
	}
}

func TestLooksLike(t *testing.T) {
	for name, test := range map[string]struct {
		rows                  *tensor.Tensor
		probabilities, logits bool
	}{
		"probabilities": {rowsOf([]float32{.5, .5}, []float32{1, 0}), true, false},
		"logits":        {rowsOf([]float32{3, -1}, []float32{1, 0.5}), false, true},
		"a row of logits of which one adds up by chance": {rowsOf([]float32{3, -1}, []float32{.4, .6}), false, true},
		"not finite": {rowsOf([]float32{float32(math.NaN()), 1}), false, false},
	} {
		if p, z := looksLike(test.rows, sdk.Probabilities), looksLike(test.rows, sdk.Logits); p != test.probabilities || z != test.logits {
			t.Errorf("%s: %v and %v", name, p, z)
		}
	}
}

// A source's state after comparisons, one after the other.
func TestTake(t *testing.T) {
	logits, probabilities := votes{logits: 8}, votes{probabilities: 8}
	many := func(v votes, n int) []votes {
		var out []votes
		for range n {
			out = append(out, v)
		}
		return out
	}
	join := func(parts ...[]votes) (out []votes) {
		for _, p := range parts {
			out = append(out, p...)
		}
		return out
	}
	for name, test := range map[string]struct {
		votes []votes
		is    verdictOn
		of    sdk.OutputKind
		due   bool
	}{
		"nothing yet":                             {nil, unsettled, 0, false},
		"too few":                                 {many(logits, 3), unsettled, 0, false},
		"enough logits":                           {many(logits, 4), settled, sdk.Logits, false},
		"enough probabilities":                    {many(probabilities, 4), settled, sdk.Probabilities, false},
		"one request of many rows":                {[]votes{{logits: 64}}, settled, sdk.Logits, false},
		"rows that say nothing":                   {many(votes{alike: 100}, 10), unsettled, 0, false},
		"rows that say nothing among others":      {join(many(votes{alike: 100}, 10), many(logits, 4)), settled, sdk.Logits, false},
		"a stray row or two":                      {join(many(logits, 3), []votes{{logits: 6, off: 2}}), settled, sdk.Logits, false},
		"three of them":                           {join(many(logits, 3), []votes{{logits: 5, off: 3}}), foreign, 0, false},
		"both kinds":                              {join(many(logits, 2), many(probabilities, 2)), foreign, 0, false},
		"neither kind":                            {many(votes{off: 8}, 4), foreign, 0, false},
		"neither kind, and then logits":           {join(many(votes{off: 8}, 4), many(logits, 4)), settled, sdk.Logits, false},
		"neither kind, and logits too few":        {join(many(votes{off: 8}, 4), many(logits, 3)), foreign, 0, false},
		"known, and one more that agrees":         {join(many(logits, 4), many(logits, 1)), settled, sdk.Logits, false},
		"known, and one more that says nothing":   {join(many(logits, 4), []votes{{alike: 3}}), settled, sdk.Logits, true},
		"known, and one that does not agree":      {join(many(logits, 4), []votes{{off: 1}}), unsettled, sdk.Logits, false},
		"known, and one of the other kind":        {join(many(logits, 4), []votes{{probabilities: 1}}), unsettled, sdk.Logits, false},
		"known, and then the other kind for good": {join(many(logits, 4), many(probabilities, 4)), settled, sdk.Probabilities, false},
		"known, a stray row, and known again":     {join(many(logits, 4), []votes{{off: 1}}, many(logits, 4)), settled, sdk.Logits, false},
		"known, and then another model":           {join(many(logits, 4), many(votes{logits: 6, off: 2}, 4)), foreign, sdk.Logits, false},
	} {
		t.Run(name, func(t *testing.T) {
			var s kind
			for _, v := range test.votes {
				s.take(v)
			}
			if s.is != test.is || test.of != 0 && s.is == settled && s.of != test.of || s.due != test.due {
				t.Errorf("%+v, want %v of %v, due %v", s, test.is, test.of, test.due)
			}
		})
	}
}

// When an answer of a source that is known is compared again.
func TestPlan(t *testing.T) {
	z, p := rowsOf([]float32{4, -2, 1}), rowsOf([]float32{.7, .2, .1})
	now := time.Unix(1000, 0)
	k := NewKinds(KindsOptions{Every: 10})
	k.now = func() time.Time { return now }
	key := sourceKey{Source{"a", "logits", "1"}, "m", "7"}
	ask := func(key sourceKey, given *tensor.Tensor) bool {
		compare, _ := k.plan(key, given)
		return compare
	}
	settle := func(key sourceKey) {
		t.Helper()
		if !ask(key, z) || k.settle(key, votes{logits: enough}).is != settled {
			t.Fatal("it is not settled")
		}
	}
	settle(key)
	count := func(n int) (compared []int) {
		for i := range n {
			if ask(key, z) {
				compared = append(compared, i)
			}
		}
		return compared
	}
	if got := count(30); !reflect.DeepEqual(got, []int{9, 19, 29}) {
		t.Errorf("of 30 requests these are compared: %v", got)
	}
	for name, test := range map[string]struct {
		before func()
		key    sourceKey
		given  *tensor.Tensor
		want   bool
	}{
		"as before":                  {nil, key, z, false},
		"its server was away":        {func() { k.Doubt("a") }, key, z, true},
		"another server was away":    {func() { k.Doubt("b") }, key, z, false},
		"a minute later":             {func() { now = now.Add(time.Minute) }, key, z, true},
		"the clock was set back":     {func() { now = now.Add(-time.Hour) }, key, z, true},
		"numbers of the other kind":  {nil, key, p, true},
		"numbers that are none":      {nil, key, rowsOf([]float32{0, float32(math.NaN()), 1}), true},
		"another version answers":    {nil, sourceKey{Source{"a", "logits", "2"}, "m", "7"}, z, true},
		"another output":             {nil, sourceKey{Source{"a", "else", "1"}, "m", "7"}, z, true},
		"another version of ours":    {nil, sourceKey{Source{"a", "logits", "1"}, "m", "8"}, z, true},
		"another server of the same": {nil, sourceKey{Source{"c", "logits", "1"}, "m", "7"}, z, true},
	} {
		t.Run(name, func(t *testing.T) {
			k.again(key)
			ask(key, z)
			k.settle(key, votes{logits: 1})
			if test.before != nil {
				test.before()
			}
			if got := ask(test.key, test.given); got != test.want {
				t.Errorf("compared %v", got)
			}
			if test.want && test.key == key && ask(key, z) {
				t.Error("and once more, meanwhile")
			}
		})
	}
}

// However many versions a server says that it has, a bounded number of them is remembered, those of late.
func TestSourcesAreBounded(t *testing.T) {
	z := rowsOf([]float32{4, -2, 1})
	now := time.Unix(0, 0)
	k := NewKinds(KindsOptions{})
	k.now = func() time.Time { now = now.Add(time.Millisecond); return now }
	key := func(i int) sourceKey { return sourceKey{Source{Version: time.Duration(i).String()}, "m", "1"} }
	k.plan(key(0), z)
	k.settle(key(0), votes{logits: enough})
	for i := range 10 * maxSources {
		k.plan(key(i), z)
		k.plan(key(0), z)
		if len(k.known) > maxSources {
			t.Fatalf("%d are remembered", len(k.known))
		}
	}
	if s := k.known[key(0)]; s == nil || s.is != settled {
		t.Errorf("who asks all the time is %+v", s)
	}
	if k.known[key(1)] != nil {
		t.Error("the first is not forgotten")
	}
}
