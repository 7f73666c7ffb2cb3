package proxy_test

import (
	"bytes"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/vaeguard/vaeguard/host/serve/judge"
	"github.com/vaeguard/vaeguard/host/serve/proxy"
	"github.com/vaeguard/vaeguard/host/serve/tensors"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// BenchmarkAdded is what the proxy adds to an inference of one row: the difference of the medians of requests to the model
// server and through the proxy, by turns. For annotate the median of judging alone stands beside it. What observe
// judges beside is waited for, outside the times.
func BenchmarkAdded(b *testing.B) {
	median := func(times []time.Duration) float64 {
		slices.Sort(times)
		return float64(times[len(times)/2]) / float64(time.Millisecond)
	}
	for _, policy := range []proxy.Policy{proxy.Observe, proxy.Annotate} {
		b.Run(string(policy), func(b *testing.B) {
			s := stand(b, policy, nil)
			x := tensor.New(1, features)
			body, _ := tensors.AppendRequest(nil, request(x), nil)
			ask := func(url string) time.Duration {
				began := time.Now()
				a, err := http.Post(url+"/v2/models/m/infer", "application/json", bytes.NewReader(body))
				if err != nil {
					b.Fatal(err)
				}
				_, err = io.Copy(io.Discard, a.Body)
				_ = a.Body.Close()
				if err != nil || a.StatusCode != http.StatusOK {
					b.Fatal(a.Status, err)
				}
				return time.Since(began)
			}
			rows, err := s.d.Prepare(x)
			if err != nil {
				b.Fatal(err)
			}
			p, err := s.fake.Predict(b.Context(), x)
			if err != nil {
				b.Fatal(err)
			}
			var direct, through, judged []time.Duration
			n := int64(0)
			for b.Loop() {
				direct = append(direct, ask(s.behind))
				through = append(through, ask(s.url))
				n++
				await(b, func() bool { return s.Counters().Judged == n })
				began := time.Now()
				if _, err := s.guard.Judge(b.Context(), judge.Request{Rows: rows, Given: p}); err != nil {
					b.Fatal(err)
				}
				judged = append(judged, time.Since(began))
			}
			b.ReportMetric(median(direct), "direct-ms")
			b.ReportMetric(median(through)-median(direct), "added-ms")
			b.ReportMetric(median(judged), "judging-ms")
		})
	}
}
