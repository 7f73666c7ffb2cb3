package results

import (
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/sdk/tensor"
	"github.com/vaeguard/vaeguard/sdk/wire"
)

// row is what is known of one row of the input, as jsonl has it. Pointers are
// nil, and texts empty, where nothing is known.
type row struct {
	Index              int      `json:"index"`
	ID                 string   `json:"id,omitempty"`
	File               string   `json:"file,omitempty"`
	Adversarial        *int     `json:"is_adversarial"`
	Score              *float64 `json:"instance_score"`
	PValue             *float64 `json:"p_value"`
	Predicted          *int     `json:"predicted"`
	PredictedLabel     string   `json:"predicted_label,omitempty"`
	Reconstructed      *int     `json:"reconstructed"`
	ReconstructedLabel string   `json:"reconstructed_label,omitempty"`
	Corrected          *int     `json:"corrected"`
	CorrectedLabel     string   `json:"corrected_label,omitempty"`

	CertifiedRadius            *float64 `json:"certified_radius,omitempty"`
	Probabilities              *part    `json:"probabilities,omitempty"`
	ProbabilitiesReconstructed *part    `json:"probabilities_reconstructed,omitempty"`
	Reconstruction             *part    `json:"reconstruction,omitempty"`
	Latent                     *part    `json:"latent,omitempty"`
	Note                       string   `json:"note,omitempty"`
	Error                      string   `json:"error,omitempty"`
	Retry                      bool     `json:"retry,omitempty"` // with an error: the row may be sent again

	kept []dataset.Cell // of Options.Keep; shorter where nothing is known
}

// rowsOf are the rows of a batch.
func (o Options) rowsOf(first int, r *detect.Result, traces []dataset.Trace) []row {
	rows := make([]row, len(r.Adversarial))
	for i := range rows {
		flag := 0
		if r.Adversarial[i] {
			flag = 1
		}
		rows[i] = row{
			Adversarial: &flag,
			Score:       at(r.Score, i), PValue: at(r.PValue, i),
			Predicted: at(r.Predicted, i), Reconstructed: at(r.Reconstructed, i), Corrected: at(r.Corrected, i),
			PredictedLabel: o.label(r.Predicted, i), ReconstructedLabel: o.label(r.Reconstructed, i), CorrectedLabel: o.label(r.Corrected, i),
			CertifiedRadius:            at(r.CertifiedRadius, i),
			Probabilities:              partOf(r.Probabilities, i),
			ProbabilitiesReconstructed: partOf(r.ProbabilitiesReconstructed, i),
			Reconstruction:             partOf(r.Reconstruction, i),
			Latent:                     partOf(r.Latent, i),
		}
		if r.NotFinite != nil && r.NotFinite[i] {
			rows[i].Note = notFinite
		}
		var t dataset.Trace
		if traces != nil {
			t = traces[i]
		}
		o.place(&rows[i], first+i, t)
	}
	return rows
}

// notFinite is the note of a row that is flagged for want of a number.
const notFinite = "its reconstruction is not finite, as of an input far from all that was trained on: the score is infinite"

// inJSON is the row without the infinite score that JSON does not have: the note says it.
func (r row) inJSON() row {
	if r.Score != nil && math.IsInf(*r.Score, 0) {
		r.Score = nil
	}
	return r
}

// AwayError is that of a row that was not judged since the classifier was away:
// nothing is wrong with it, and jsonl says "retry": true.
type AwayError struct{ Err error }

// Error is the message of Err.
func (e *AwayError) Error() string { return e.Err.Error() }

// Unwrap is Err.
func (e *AwayError) Unwrap() error { return e.Err }

// badRow is a row that could not be scored.
func (o Options) badRow(index int, t dataset.Trace, bad error) row {
	var away *AwayError
	r := row{Error: bad.Error(), Retry: errors.As(bad, &away)}
	o.place(&r, index, t)
	return r
}

// place says which row of the input r is. A kept column id is the user's own
// one, and leaves no room for another.
func (o Options) place(r *row, index int, t dataset.Trace) {
	r.Index, r.File, r.kept = index, t.File, t.Kept
	if !slices.Contains(o.Keep, "id") {
		r.ID = t.ID
	}
}

// cell is kept column j.
func (r *row) cell(j int) dataset.Cell {
	if j < len(r.kept) {
		return r.kept[j]
	}
	return dataset.Cell{}
}

// label is the name of class i of a column, "" if it has none.
func (o Options) label(classes []int, i int) string {
	if classes == nil || classes[i] < 0 || classes[i] >= len(o.Classes) {
		return ""
	}
	return o.Classes[classes[i]]
}

// hasID reports whether results have ids, by what is known with the first row.
func (o Options) hasID(first *row) bool { return o.ID || first.ID != "" }

func at[T any](s []T, i int) *T {
	if s == nil {
		return nil
	}
	return &s[i]
}

// part is one row of an optional result, in JSON nested lists in the example's
// shape.
type part struct {
	data  []float32
	shape tensor.Shape
}

func partOf(t *tensor.Tensor, i int) *part {
	if t == nil || wire.NotFinite(t.Row(i)) >= 0 {
		return nil
	}
	return &part{t.Row(i), t.Example()}
}

// MarshalJSON implements json.Marshaler.
func (p *part) MarshalJSON() ([]byte, error) { return json.Marshal(nest(p.data, p.shape)) }

func nest(data []float32, shape tensor.Shape) any {
	if len(shape) <= 1 {
		return data
	}
	out := make([]any, shape[0])
	step := len(data) / shape[0]
	for i := range out {
		out[i] = nest(data[i*step:(i+1)*step], shape[1:])
	}
	return out
}

// jsonCell is a cell as encoding/json takes it. A number that its file wrote
// out keeps its digits; one that JSON does not have is null.
func jsonCell(c dataset.Cell) any {
	switch {
	case c.Kind == dataset.CellText:
		return c.Text
	case c.Kind != dataset.CellNumber || math.IsNaN(c.Number) || math.IsInf(c.Number, 0):
		return nil
	case c.Text != "" && json.Valid([]byte(c.Text)) && (c.Text[0] == '-' || c.Text[0] >= '0' && c.Text[0] <= '9'):
		return json.Number(c.Text)
	}
	return c.Number
}

// LongDigits reports whether a kept cell is a whole number of more digits than float64
// holds of any: a column whose kind is not known beforehand has it as text, since the
// next of its kind may be one that isLonger.
func LongDigits(c dataset.Cell) bool {
	const held = 15 // digits
	text := strings.TrimSpace(c.Text)
	return c.Kind == dataset.CellNumber && len(text) > held && strings.Trim(text, "-0123456789") == ""
}

// isLonger reports whether a cell is a whole number that float64 does not hold.
func isLonger(c dataset.Cell) bool {
	return LongDigits(c) && strconv.FormatFloat(c.Number, 'f', -1, 64) != strings.TrimSpace(c.Text)
}

// cellText is a cell as text, "" for none: what the file has where it is text,
// else the shortest digits that say the number.
func cellText(c dataset.Cell) string {
	if c.Kind != dataset.CellNumber || c.Text != "" {
		return c.Text
	}
	format := byte('f')
	if math.Abs(c.Number) >= 1e15 || c.Number != 0 && math.Abs(c.Number) < 1e-5 {
		format = 'g'
	}
	return strconv.FormatFloat(c.Number, format, -1, 64)
}
