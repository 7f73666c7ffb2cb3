package judge

import (
	"slices"

	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// together are the rows of jobs, one after the other, and the answers that are
// given on them; nil: none are.
func together(jobs []*job) (x, given *tensor.Tensor) {
	if len(jobs) == 1 {
		return jobs[0].Rows.X, jobs[0].Given
	}
	n := 0
	for _, j := range jobs {
		n += j.N()
	}
	x = tensor.Batch(n, jobs[0].Rows.X.Example())
	if jobs[0].Given != nil {
		given = tensor.New(n, jobs[0].Given.Stride())
	}
	at := 0
	for _, j := range jobs {
		copy(x.Rows(at, n).Data, j.Rows.X.Data)
		if given != nil {
			copy(given.Rows(at, n).Data, j.Given.Data)
		}
		at += j.N()
	}
	return x, given
}

// part is what r says of rows lo … hi−1: as if they had been alone.
func part(r *detect.Result, lo, hi int) *detect.Result {
	if lo == 0 && hi == len(r.Adversarial) {
		return r
	}
	out := &detect.Result{
		Score: cut(r.Score, lo, hi), PValue: cut(r.PValue, lo, hi), Statistic: cut(r.Statistic, lo, hi), Adversarial: cut(r.Adversarial, lo, hi), NotFinite: cut(r.NotFinite, lo, hi), CertifiedRadius: cut(r.CertifiedRadius, lo, hi),
		Predicted: cut(r.Predicted, lo, hi), Reconstructed: cut(r.Reconstructed, lo, hi), Corrected: cut(r.Corrected, lo, hi),
		Probabilities:              rows(r.Probabilities, lo, hi),
		ProbabilitiesReconstructed: rows(r.ProbabilitiesReconstructed, lo, hi),
		Reconstruction:             rows(r.Reconstruction, lo, hi),
		Latent:                     rows(r.Latent, lo, hi),
	}
	if !slices.Contains(out.NotFinite, true) {
		out.NotFinite = nil
	}
	for _, s := range r.Scores {
		out.Scores = append(out.Scores, cut(s, lo, hi))
	}
	return out
}

func cut[T any](s []T, lo, hi int) []T {
	if s == nil {
		return nil
	}
	return s[lo:hi:hi]
}

func rows(t *tensor.Tensor, lo, hi int) *tensor.Tensor {
	if t == nil {
		return nil
	}
	return t.Rows(lo, hi)
}
