package grid

import (
	"fmt"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/evaluate"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

func take(v []int, rows []int) []int {
	out := make([]int, len(rows))
	for k, i := range rows {
		out[k] = v[i]
	}
	return out
}

func column[T any](name string, data []T) dataset.Array {
	return dataset.Array{Name: name, Shape: tensor.Shape{len(data)}, Data: data}
}

// adversarialArrays are adv.npz: rows are the numbers of the attacked rows,
// the rest is as vaeguard attack writes it.
func adversarialArrays(rows []int, adv *attack.Adversarial) []dataset.Array {
	return []dataset.Array{
		column("rows", rows), {Name: "x_adv", Shape: adv.XAdv.Shape, Data: adv.XAdv.Data},
		column("y", adv.Y), column("predicted", adv.Predicted), column("predicted_adv", adv.PredictedAdv),
		column("success", adv.Success), column("norm", adv.Norm),
		column("queries", adv.Queries), column("gradients", adv.Gradients), column("zero_gradients", adv.ZeroGradients),
	}
}

// resultArrays are scores.npz of clean rows.
func resultArrays(rows, labels []int, r *detect.Result) []dataset.Array {
	out := []dataset.Array{
		column("rows", rows), column("y", labels), column("score", r.Score), column("flagged", r.Adversarial),
		column("predicted", r.Predicted), column("reconstructed", r.Reconstructed), column("corrected", r.Corrected),
	}
	return out
}

// attackedArrays are scores.npz of attacked rows.
func attackedArrays(d *evaluate.AttackDetails) []dataset.Array {
	out := resultArrays(d.Rows, d.Adversarial.Y, d.Result)
	out = append(out, column("before", d.Adversarial.Predicted), column("success", d.Success), column("norm", d.Adversarial.Norm),
		column("queries", d.Adversarial.Queries), column("gradients", d.Adversarial.Gradients), column("zero_gradients", d.Adversarial.ZeroGradients))
	if d.Evaded != nil {
		out = append(out, column("evaded", d.Evaded))
	}
	return out
}

// reader picks typed columns and remembers the first fault.
type reader struct {
	from map[string]dataset.Array
	err  error
}

func get[T any](r *reader, name string) []T {
	v, ok := r.from[name].Data.([]T)
	if !ok && r.err == nil {
		r.err = fmt.Errorf("no array %s of the right type", name)
	}
	return v
}

func ints(r *reader, name string) []int {
	ints := get[int64](r, name)
	out := make([]int, len(ints))
	for i, v := range ints {
		out[i] = int(v)
	}
	return out
}

// adversarial reads the rows of a cell of kind arrays.
func (b *Bench) adversarial(c *Cell) (*attack.Adversarial, error) {
	rec, err := b.find(c)
	if err != nil {
		return nil, err
	}
	from, err := b.arrays(c, rec, advFile)
	if err != nil {
		return nil, err
	}
	r := &reader{from: from}
	rows := ints(r, "rows")
	x := from["x_adv"]
	out := &attack.Adversarial{
		X: c.set.rows.X.Gather(rows), Y: ints(r, "y"), Predicted: ints(r, "predicted"), PredictedAdv: ints(r, "predicted_adv"),
		Success: get[bool](r, "success"), Norm: get[float64](r, "norm"), Queries: get[int64](r, "queries"),
		Gradients: get[int64](r, "gradients"), ZeroGradients: get[int64](r, "zero_gradients"),
		Ball: attack.Norm(rec.Norm), Eps: rec.eps(), Warnings: rec.Warnings,
	}
	if data := get[float32](r, "x_adv"); r.err == nil {
		out.XAdv = &tensor.Tensor{Shape: x.Shape, Data: data}
	}
	return out, r.err
}

// scored are the columns of scores.npz; those of an attack are empty for
// clean rows.
type scored struct {
	rows, y, predicted, reconstructed, corrected, before []int
	score, norm                                          []float64
	flagged, success, evaded                             []bool
	queries, gradients, zero                             []int64
	record                                               *record
}

// scored reads a cell of kind clean, scores or adaptive; nil if it is not done.
func (b *Bench) scored(c *Cell) (*scored, error) {
	rec, err := b.find(c)
	if err != nil || rec == nil {
		return nil, err
	}
	from, err := b.arrays(c, rec, scoresFile)
	if err != nil {
		return nil, err
	}
	r := &reader{from: from}
	s := &scored{
		rows: ints(r, "rows"), y: ints(r, "y"), predicted: ints(r, "predicted"), reconstructed: ints(r, "reconstructed"),
		corrected: ints(r, "corrected"), score: get[float64](r, "score"), flagged: get[bool](r, "flagged"), record: rec,
	}
	if c.Kind != Clean {
		s.before, s.success, s.norm = ints(r, "before"), get[bool](r, "success"), get[float64](r, "norm")
		s.queries, s.gradients, s.zero = get[int64](r, "queries"), get[int64](r, "gradients"), get[int64](r, "zero_gradients")
	}
	if c.Kind == Adaptive {
		s.evaded = get[bool](r, "evaded")
	}
	return s, r.err
}

// clean reads what a detector said of the clean rows.
func (b *Bench) clean(c *Cell) (*detect.Result, error) {
	s, err := b.scored(c)
	if err != nil {
		return nil, err
	}
	return &detect.Result{Score: s.score, Adversarial: s.flagged, Predicted: s.predicted, Reconstructed: s.reconstructed, Corrected: s.corrected}, nil
}
