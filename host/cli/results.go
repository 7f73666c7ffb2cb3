package cli

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"

	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// resultWriter writes what detect says, instance by instance, in the order of
// the input.
type resultWriter interface {
	// Batch writes the results of instances first, first+1, ….
	Batch(first int, r *detect.Result) error
	// Bad writes that one instance could not be scored.
	Bad(index int, err error) error
	// Close finishes the document.
	Close() error
}

// resultMeta is the "meta" of detect's json, alibi-detect's keys extended.
type resultMeta struct {
	Name         string  `json:"name"`
	DetectorType string  `json:"detector_type"`
	DataType     string  `json:"data_type"`
	Online       bool    `json:"online"`
	Version      string  `json:"version"`
	Threshold    float64 `json:"threshold"`
	Detector     string  `json:"detector"`
}

func newResultWriter(format string, w io.Writer, meta resultMeta) (resultWriter, error) {
	switch format {
	case "json":
		return &jsonResults{w: w, meta: meta}, nil
	case "jsonl":
		b := bufio.NewWriter(w)
		return &jsonlResults{w: b, enc: json.NewEncoder(b)}, nil
	case "csv":
		return &csvResults{w: csv.NewWriter(w)}, nil
	case "npz":
		return &npzResults{w: w, meta: meta}, nil
	}
	return nil, usagef("unknown format %q; known: json, jsonl, csv, npz", format)
}

// instance is one row of jsonl. Pointers are null where nothing is known.
type instance struct {
	Index         int      `json:"index"`
	Adversarial   *int     `json:"is_adversarial"`
	Score         *float64 `json:"instance_score"`
	PValue        *float64 `json:"p_value"`
	Predicted     *int     `json:"predicted"`
	Reconstructed *int     `json:"reconstructed"`
	Corrected     *int     `json:"corrected"`

	Probabilities              any    `json:"probabilities,omitempty"`
	ProbabilitiesReconstructed any    `json:"probabilities_reconstructed,omitempty"`
	Reconstruction             any    `json:"reconstruction,omitempty"`
	Latent                     any    `json:"latent,omitempty"`
	Error                      string `json:"error,omitempty"`
}

func instanceOf(r *detect.Result, i, index int) instance {
	flag := 0
	if r.Adversarial[i] {
		flag = 1
	}
	return instance{
		Index: index, Adversarial: &flag,
		Score: at(r.Score, i), PValue: at(r.PValue, i),
		Predicted: at(r.Predicted, i), Reconstructed: at(r.Reconstructed, i), Corrected: at(r.Corrected, i),
		Probabilities:              nested(r.Probabilities, i),
		ProbabilitiesReconstructed: nested(r.ProbabilitiesReconstructed, i),
		Reconstruction:             nested(r.Reconstruction, i),
		Latent:                     nested(r.Latent, i),
	}
}

func at[T any](s []T, i int) *T {
	if s == nil {
		return nil
	}
	return &s[i]
}

// nested is row i of t as nested lists in the example's shape, nil for no t.
func nested(t *tensor.Tensor, i int) any {
	if t == nil {
		return nil
	}
	return nest(t.Row(i), t.Example())
}

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

type jsonlResults struct {
	w   *bufio.Writer
	enc *json.Encoder
}

func (o *jsonlResults) Batch(first int, r *detect.Result) error {
	for i := range r.Adversarial {
		if err := o.enc.Encode(instanceOf(r, i, first+i)); err != nil {
			return err
		}
	}
	return o.w.Flush()
}

func (o *jsonlResults) Bad(index int, bad error) error {
	if err := o.enc.Encode(instance{Index: index, Error: bad.Error()}); err != nil {
		return err
	}
	return o.w.Flush()
}

func (o *jsonlResults) Close() error { return o.w.Flush() }

// jsonResults gathers columns: one entry per instance, null where one could
// not be scored.
type jsonResults struct {
	w    io.Writer
	meta resultMeta
	rows []instance
}

func (o *jsonResults) Batch(first int, r *detect.Result) error {
	for i := range r.Adversarial {
		o.rows = append(o.rows, instanceOf(r, i, first+i))
	}
	return nil
}

func (o *jsonResults) Bad(index int, bad error) error {
	o.rows = append(o.rows, instance{Index: index, Error: bad.Error()})
	return nil
}

func (o *jsonResults) Close() error {
	type fault struct {
		Index int    `json:"index"`
		Error string `json:"error"`
	}
	var data struct {
		Adversarial   []*int     `json:"is_adversarial"`
		Score         []*float64 `json:"instance_score"`
		PValue        []*float64 `json:"p_value"`
		Predicted     []*int     `json:"predicted"`
		Reconstructed []*int     `json:"reconstructed"`
		Corrected     []*int     `json:"corrected"`

		Probabilities              []any   `json:"probabilities,omitempty"`
		ProbabilitiesReconstructed []any   `json:"probabilities_reconstructed,omitempty"`
		Reconstruction             []any   `json:"reconstruction,omitempty"`
		Latent                     []any   `json:"latent,omitempty"`
		Errors                     []fault `json:"errors,omitempty"`
	}
	data.Adversarial, data.Predicted, data.Reconstructed, data.Corrected = []*int{}, []*int{}, []*int{}, []*int{}
	anyScore, anyP := false, false
	var parts instance // that any row has: the others have null there
	for _, r := range o.rows {
		parts.Probabilities = first(parts.Probabilities, r.Probabilities)
		parts.ProbabilitiesReconstructed = first(parts.ProbabilitiesReconstructed, r.ProbabilitiesReconstructed)
		parts.Reconstruction = first(parts.Reconstruction, r.Reconstruction)
		parts.Latent = first(parts.Latent, r.Latent)
	}
	for _, r := range o.rows {
		data.Adversarial = append(data.Adversarial, r.Adversarial)
		data.Score = append(data.Score, r.Score)
		data.PValue = append(data.PValue, r.PValue)
		data.Predicted = append(data.Predicted, r.Predicted)
		data.Reconstructed = append(data.Reconstructed, r.Reconstructed)
		data.Corrected = append(data.Corrected, r.Corrected)
		anyScore, anyP = anyScore || r.Score != nil, anyP || r.PValue != nil
		data.Probabilities = appendIf(parts.Probabilities != nil, data.Probabilities, r.Probabilities)
		data.ProbabilitiesReconstructed = appendIf(parts.ProbabilitiesReconstructed != nil, data.ProbabilitiesReconstructed, r.ProbabilitiesReconstructed)
		data.Reconstruction = appendIf(parts.Reconstruction != nil, data.Reconstruction, r.Reconstruction)
		data.Latent = appendIf(parts.Latent != nil, data.Latent, r.Latent)
		if r.Error != "" {
			data.Errors = append(data.Errors, fault{r.Index, r.Error})
		}
	}
	if !anyScore {
		data.Score = nil
	}
	if !anyP {
		data.PValue = nil
	}
	enc := json.NewEncoder(o.w)
	return enc.Encode(map[string]any{"meta": o.meta, "data": data})
}

func first(a, b any) any {
	if a != nil {
		return a
	}
	return b
}

func appendIf(ok bool, list []any, v any) []any {
	if !ok {
		return list
	}
	return append(list, v)
}

type csvResults struct {
	w      *csv.Writer
	header bool
}

func (o *csvResults) line(r instance) error {
	if !o.header {
		o.header = true
		if err := o.w.Write([]string{"index", "is_adversarial", "instance_score", "p_value", "predicted", "reconstructed", "corrected", "error"}); err != nil {
			return err
		}
	}
	return o.w.Write([]string{strconv.Itoa(r.Index), text(r.Adversarial), text(r.Score), text(r.PValue),
		text(r.Predicted), text(r.Reconstructed), text(r.Corrected), r.Error})
}

func text[T any](v *T) string {
	if v == nil {
		return ""
	}
	return fmt.Sprint(*v)
}

func (o *csvResults) Batch(first int, r *detect.Result) error {
	for i := range r.Adversarial {
		if err := o.line(instanceOf(r, i, first+i)); err != nil {
			return err
		}
	}
	o.w.Flush()
	return o.w.Error()
}

func (o *csvResults) Bad(index int, bad error) error {
	if err := o.line(instance{Index: index, Error: bad.Error()}); err != nil {
		return err
	}
	o.w.Flush()
	return o.w.Error()
}

func (o *csvResults) Close() error { o.w.Flush(); return o.w.Error() }
