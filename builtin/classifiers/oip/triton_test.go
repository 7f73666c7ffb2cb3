package oip_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/builtin/classifiers/oip"
	"github.com/vaeguard/vaeguard/builtin/classifiers/oip/tritontest"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/sdktest"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// TestTriton asks a model on Triton itself, over REST in both encodings and over gRPC, in batches larger than Triton takes.
func TestTriton(t *testing.T) {
	s := tritontest.Start(t)
	many := tensor.New(5*s.Rows.N(), tritontest.Features)
	for i := range many.N() {
		copy(many.Row(i), s.Rows.Row(i%s.Rows.N()))
	}
	for _, at := range []struct{ url, encoding string }{{s.URL, "binary"}, {s.URL, "json"}, {s.URL, "auto"}, {"grpc://" + s.GRPC, "auto"}} {
		t.Run(strings.SplitN(at.url, ":", 2)[0]+" "+at.encoding, func(t *testing.T) {
			o := options{"model": tritontest.Model, "input_range": []float32{0, 1}, "encoding": at.encoding}
			c := config(t, at.url, o)
			sdktest.Run(t, oip.New(), sdktest.Options{Config: c, Rows: s.Rows})
			m := must(t, c)
			info, err := m.Info(t.Context())
			if err != nil || info.MaxBatch != tritontest.MaxBatch || info.Output != sdk.Probabilities || info.NumClasses != tritontest.Classes {
				t.Errorf("%+v, %v", info, err)
			}
			y := predict(t, m, many)
			for i := range many.N() {
				for k, v := range y.Row(i) {
					if want := s.Want.Row(i % s.Rows.N())[k]; math.Abs(float64(v-want)) > 1e-6 {
						t.Fatalf("row %d, class %d: %v, scikit-learn says %v", i, k, v, want)
					}
				}
			}
			_, err = configured(t, config(t, at.url, options{"model": "nobody"}))
			if err == nil || !strings.HasPrefix(err.Error(), "/model: ") || !strings.Contains(err.Error(), "nobody") {
				t.Errorf("unknown model: error %v", err)
			}
			_, err = configured(t, config(t, at.url, options{"model": tritontest.Open}))
			if err == nil || !strings.Contains(err.Error(), tritontest.Open) {
				t.Errorf("a model that is not loaded: error %v", err)
			}
			o["max_batch"] = tritontest.MaxBatch + 1
			if _, err = configured(t, config(t, at.url, o)); err == nil || !strings.Contains(err.Error(), fmt.Sprint(tritontest.MaxBatch)) {
				t.Errorf("more rows a request than Triton takes: error %v", err)
			}
			_, err = configured(t, config(t, at.url, options{"model": tritontest.Model, "output": "predict"}))
			refused(t, err, sdk.Internal, `output "predict": its datatype is "INT64", want FP32 or FP64`)
		})
	}
}
