package results

import (
	"encoding/json"
	"io"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/detect"
)

// jsonResults gathers columns: one entry per row, null where one could not be
// scored. Columns of which no row has anything are absent.
type jsonResults struct {
	o    Options
	w    io.Writer
	rows []row
}

func newJSON(w io.Writer, o Options) Writer { return &jsonResults{o: o, w: w} }

func (j *jsonResults) Batch(first int, r *detect.Result, traces []dataset.Trace) error {
	for _, row := range j.o.rowsOf(first, r, traces) {
		j.rows = append(j.rows, row.inJSON())
	}
	return nil
}

func (j *jsonResults) Bad(index int, trace dataset.Trace, bad error) error {
	j.rows = append(j.rows, j.o.badRow(index, trace, bad))
	return nil
}

// columns is the "data" of the document.
type columns struct {
	ID                 []*string  `json:"id,omitempty"`
	File               []*string  `json:"file,omitempty"`
	Adversarial        []*int     `json:"is_adversarial"`
	Score              []*float64 `json:"instance_score"`
	PValue             []*float64 `json:"p_value"`
	Predicted          []*int     `json:"predicted"`
	PredictedLabel     []*string  `json:"predicted_label,omitempty"`
	Reconstructed      []*int     `json:"reconstructed"`
	ReconstructedLabel []*string  `json:"reconstructed_label,omitempty"`
	Corrected          []*int     `json:"corrected"`
	CorrectedLabel     []*string  `json:"corrected_label,omitempty"`

	CertifiedRadius            []*float64       `json:"certified_radius,omitempty"`
	Probabilities              []*part          `json:"probabilities,omitempty"`
	ProbabilitiesReconstructed []*part          `json:"probabilities_reconstructed,omitempty"`
	Reconstruction             []*part          `json:"reconstruction,omitempty"`
	Latent                     []*part          `json:"latent,omitempty"`
	Kept                       map[string][]any `json:"kept,omitempty"`
	Notes                      []note           `json:"notes,omitempty"`
	Errors                     []fault          `json:"errors,omitempty"`
}

// note is what is to be said of a row that has a verdict.
type note struct {
	Index int    `json:"index"`
	Note  string `json:"note"`
}

// fault is why a row has no verdict.
type fault struct {
	Index int    `json:"index"`
	Error string `json:"error"`
}

func (j *jsonResults) Close() error {
	d := columns{
		Adversarial:   column(j.rows, func(r *row) *int { return r.Adversarial }),
		Score:         known(column(j.rows, func(r *row) *float64 { return r.Score })),
		PValue:        known(column(j.rows, func(r *row) *float64 { return r.PValue })),
		Predicted:     column(j.rows, func(r *row) *int { return r.Predicted }),
		Reconstructed: column(j.rows, func(r *row) *int { return r.Reconstructed }),
		Corrected:     column(j.rows, func(r *row) *int { return r.Corrected }),

		File:               known(column(j.rows, func(r *row) *string { return some(&r.File) })),
		PredictedLabel:     known(column(j.rows, func(r *row) *string { return some(&r.PredictedLabel) })),
		ReconstructedLabel: known(column(j.rows, func(r *row) *string { return some(&r.ReconstructedLabel) })),
		CorrectedLabel:     known(column(j.rows, func(r *row) *string { return some(&r.CorrectedLabel) })),

		CertifiedRadius:            known(column(j.rows, func(r *row) *float64 { return r.CertifiedRadius })),
		Probabilities:              known(column(j.rows, func(r *row) *part { return r.Probabilities })),
		ProbabilitiesReconstructed: known(column(j.rows, func(r *row) *part { return r.ProbabilitiesReconstructed })),
		Reconstruction:             known(column(j.rows, func(r *row) *part { return r.Reconstruction })),
		Latent:                     known(column(j.rows, func(r *row) *part { return r.Latent })),
	}
	d.ID = known(column(j.rows, func(r *row) *string { return some(&r.ID) }))
	if len(j.o.Keep) > 0 {
		d.Kept = make(map[string][]any)
	}
	for i, name := range j.o.Keep {
		values := make([]any, len(j.rows))
		for k := range j.rows {
			values[k] = jsonCell(j.rows[k].cell(i))
		}
		d.Kept[name] = values
	}
	for _, r := range j.rows {
		if r.Note != "" {
			d.Notes = append(d.Notes, note{r.Index, r.Note})
		}
		if r.Error != "" {
			d.Errors = append(d.Errors, fault{r.Index, r.Error})
		}
	}
	return json.NewEncoder(j.w).Encode(map[string]any{"meta": j.o.Meta, "data": d})
}

// column is one value of each row.
func column[T any](rows []row, value func(*row) *T) []*T {
	out := make([]*T, len(rows))
	for i := range rows {
		out[i] = value(&rows[i])
	}
	return out
}

// known is a column, nil if no row has a value.
func known[T any](column []*T) []*T {
	for _, v := range column {
		if v != nil {
			return column
		}
	}
	return nil
}

// some is a text, nil if it is empty.
func some(text *string) *string {
	if *text == "" {
		return nil
	}
	return text
}
