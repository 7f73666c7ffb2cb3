package proxy_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/serve/proxy"
	"github.com/vaeguard/vaeguard/host/serve/tensors"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// predictor is a model server of KServe's V1 with the upstream's classifier: its predictions are
// logits, or an object a row.
func (u *upstream) predictor(objects bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var m struct {
			Instances [][]float32 `json:"instances"`
		}
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil || r.URL.Path != "/v1/models/m:predict" {
			http.Error(w, "no V1", http.StatusBadRequest)
			return
		}
		x := tensor.New(len(m.Instances), features)
		for i, row := range m.Instances {
			copy(x.Row(i), row)
		}
		u.rows.Add(int64(x.N()))
		y, err := u.fake.Predict(r.Context(), x)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		var out []any
		for i := range y.N() {
			if label := slices.Index(y.Row(i), slices.Max(y.Row(i))); objects {
				out = append(out, map[string]any{"logits": y.Row(i), "label": label})
			} else {
				out = append(out, y.Row(i))
			}
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"predictions": out, "theirs": "yes"})
	})
}

// Bodies of KServe's V1 are judged as those of the Open Inference Protocol are, by each policy.
func TestV1(t *testing.T) {
	for _, objects := range []bool{false, true} {
		for _, policy := range []proxy.Policy{proxy.Observe, proxy.Annotate, proxy.Correct, proxy.Block, "row"} {
			t.Run(fmt.Sprint(policy, objects), func(t *testing.T) {
				u := newUpstream()
				up := httptest.NewServer(u.predictor(objects))
				t.Cleanup(up.Close)
				b := stand(t, policy, func(m *proxy.Model, _ *proxy.Options) {
					m.URL = up.URL
					if policy == "row" {
						m.Policy, m.Rows = proxy.Block, true
					}
				})
				b.settle(t, up.URL, map[bool]string{false: "predictions", true: "logits"}[objects], "")
				x, want := b.rows(t, 8)
				var rows [][]float32
				for i := range x.N() {
					rows = append(rows, x.Row(i))
				}
				body, err := json.Marshal(map[string]any{"instances": rows})
				if err != nil {
					t.Fatal(err)
				}
				before := b.guard.Counters().Extra
				a, err := http.Post(b.url+"/v1/models/m:predict", "application/json", bytes.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				defer a.Body.Close()
				text, err := io.ReadAll(a.Body)
				if err != nil {
					t.Fatal(err)
				}
				if policy == proxy.Observe {
					await(t, func() bool { return b.Proxy.Counters().Judged == 1 })
				}
				if extra := b.guard.Counters().Extra - before; u.rows.Load() != 8 || extra != 2*8 {
					t.Errorf("the model was asked for %d rows, and for %d more, want 8 and 2 samples of 8", u.rows.Load(), extra)
				}
				if policy == proxy.Block {
					if a.StatusCode != http.StatusForbidden || a.Header.Get("X-Vaeguard-Is-Adversarial") != flags(want) {
						t.Errorf("%d %v %s", a.StatusCode, a.Header, text)
					}
					return
				}
				if a.StatusCode != http.StatusOK || !bytes.Contains(text, []byte(`"theirs":"yes"`)) {
					t.Fatalf("%d %s", a.StatusCode, text)
				}
				if policy == proxy.Observe {
					if bytes.Contains(text, []byte("vaeguard")) {
						t.Errorf("%s", text)
					}
					return
				}
				if a.Header.Get("X-Vaeguard-Instance-Score") != scores(want) || !bytes.Contains(text, []byte(`"vaeguard_is_adversarial":"`+flags(want)+`"`)) {
					t.Errorf("%v %s", a.Header, text)
				}
				checkPredictions(t, text, string(policy), objects, want)
			})
		}
	}
}

// checkPredictions holds predictions to what a policy makes of them.
func checkPredictions(t *testing.T, text []byte, policy string, objects bool, want *detect.Result) {
	t.Helper()
	var m struct {
		Predictions []json.RawMessage `json:"predictions"`
	}
	if err := json.Unmarshal(text, &m); err != nil || len(m.Predictions) != len(want.Predicted) {
		t.Fatalf("%v %s", err, text)
	}
	for i, raw := range m.Predictions {
		row := struct {
			Logits []*float32 `json:"logits"`
			Label  int        `json:"label"`
		}{Label: want.Predicted[i]}
		into := any(&row.Logits)
		if objects {
			into = &row
		}
		if err := json.Unmarshal(raw, into); err != nil || len(row.Logits) != classes {
			t.Fatalf("%v %s", err, raw)
		}
		class := want.Predicted[i]
		switch flagged := want.Adversarial[i]; {
		case flagged && policy == "row":
			if slices.ContainsFunc(row.Logits, func(v *float32) bool { return v != nil }) || objects && row.Label != -1 {
				t.Errorf("row %d is refused: %s", i, raw)
			}
			continue
		case flagged && policy == "correct":
			class = want.Corrected[i]
		}
		best, most := -1, float32(math.Inf(-1))
		for c, v := range row.Logits {
			if v != nil && *v > most {
				best, most = c, *v
			}
		}
		if best != class || objects && row.Label != class {
			t.Errorf("row %d: %s, want class %d", i, raw, class)
		}
	}
}

// Where only rows are refused, the answer has nothing of them, in JSON and in binary, and an
// output that is not by rows lets nothing out.
func TestBlockRows(t *testing.T) {
	b := stand(t, proxy.Block, func(m *proxy.Model, _ *proxy.Options) { m.Rows = true })
	x, want := b.rows(t, 8)
	for _, binary := range []bool{false, true} {
		q := request(x)
		q.Parameters = tensors.Parameters{"binary_data_output": binary}
		body, _ := tensors.AppendRequest(nil, q, nil)
		code, text, h := b.post(t, body)
		if code != http.StatusOK || h.Get("X-Vaeguard-Is-Adversarial") != flags(want) {
			t.Fatalf("%d %s", code, text)
		}
		header := int64(-1)
		if binary {
			if _, err := fmt.Sscan(h.Get("Inference-Header-Content-Length"), &header); err != nil {
				t.Fatal(err)
			}
		}
		r, err := tensors.ParseResponse(text, header, tensors.Limits{})
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if r.Parameters["vaeguard_is_adversarial"] != flags(want) || r.Parameters["theirs"] != "yes" || len(r.Outputs) != 3 {
			t.Errorf("%+v", r)
		}
		for _, o := range r.Outputs {
			each := o.N() / 8
			for i, flagged := range want.Adversarial {
				for at := i * each; at < (i+1)*each; at++ {
					v := o.Float64(at)
					if gone := v != v || o.Name == "label" && v == -1; gone != flagged {
						t.Errorf("%s of row %d: %v, flagged %t", o.Name, i, v, flagged)
					}
				}
			}
		}
	}
	if c := b.Proxy.Counters(); c.Blocked != 2 || c.Judged != 2 {
		t.Errorf("%+v", c)
	}
	t.Run("gRPC", func(t *testing.T) {
		_, c := called(t, proxy.Block, func(m *proxy.Model, _ *proxy.Options) { m.Rows = true })
		m, tail, err := ask1(t, c, request(x))
		if err != nil || tail.Get("x-vaeguard-is-adversarial")[0] != flags(want) || m.Parameters["vaeguard_is_adversarial"].GetStringParam() != flags(want) || m.Parameters["theirs"].GetStringParam() != "yes" {
			t.Fatalf("%v %v %v", err, tail, m.GetParameters())
		}
		r, err := tensors.FromResponse(m, tensors.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range r.Outputs {
			for i, flagged := range want.Adversarial {
				v := o.Float64(i * o.N() / 8)
				if gone := v != v || o.Name == "label" && v == -1; gone != flagged {
					t.Errorf("%s of row %d: %v, flagged %t", o.Name, i, v, flagged)
				}
			}
		}
	})
}
