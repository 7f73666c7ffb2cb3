package results

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// npzResults gathers columns as NumPy arrays; a row that could not be scored
// has is_adversarial −1, classes −1, NaN scores and empty names, and error says why.
// Names, notes and errors are arrays of text, there where any row has one. A kept column
// is float64, NaN where there is none; text if any row has text; and int64, or text where
// that does not do, if float64 does not hold some whole number of it.
type npzResults struct {
	o Options
	w io.Writer

	flag, predicted, reconstructed, corrected                    []int64
	score, p, radius                                             []float64
	id, file, predictedLabel, reconstructedLabel, correctedLabel []string
	note, failure                                                []string
	kept                                                         [][]dataset.Cell // by column
	parts                                                        map[string]*partColumn
	order                                                        []string
}

type partColumn struct {
	shape tensor.Shape
	data  []float32
}

func newNPZ(w io.Writer, o Options) Writer {
	return &npzResults{o: o, w: w, kept: make([][]dataset.Cell, len(o.Keep))}
}

// checkArrayNames holds names to what the members of a .npz may be called.
func checkArrayNames(names []string) error {
	for _, name := range names {
		if strings.ContainsAny(name, `/\`) {
			return fmt.Errorf("column %q cannot be kept in a .npz: its name has a slash", name)
		}
	}
	return nil
}

func (z *npzResults) Batch(first int, r *detect.Result, traces []dataset.Trace) error {
	rows := z.o.rowsOf(first, r, traces)
	for i := range rows {
		z.add(&rows[i])
	}
	z.keep("probabilities", r.Probabilities)
	z.keep("probabilities_reconstructed", r.ProbabilitiesReconstructed)
	z.keep("reconstruction", r.Reconstruction)
	z.keep("latent", r.Latent)
	return nil
}

func (z *npzResults) Bad(index int, trace dataset.Trace, bad error) error {
	r := z.o.badRow(index, trace, bad)
	z.add(&r)
	for _, c := range z.parts {
		for range c.shape.Size() {
			c.data = append(c.data, float32(math.NaN()))
		}
	}
	return nil
}

func (z *npzResults) add(r *row) {
	z.flag = append(z.flag, orMinus(r.Adversarial))
	z.predicted, z.reconstructed, z.corrected = append(z.predicted, orMinus(r.Predicted)), append(z.reconstructed, orMinus(r.Reconstructed)), append(z.corrected, orMinus(r.Corrected))
	z.score, z.p = append(z.score, orNaN(r.Score)), append(z.p, orNaN(r.PValue))
	z.radius = append(z.radius, orNaN(r.CertifiedRadius))
	z.id, z.file = append(z.id, r.ID), append(z.file, r.File)
	z.predictedLabel = append(z.predictedLabel, r.PredictedLabel)
	z.reconstructedLabel = append(z.reconstructedLabel, r.ReconstructedLabel)
	z.correctedLabel = append(z.correctedLabel, r.CorrectedLabel)
	z.note, z.failure = append(z.note, r.Note), append(z.failure, r.Error)
	for j := range z.kept {
		z.kept[j] = append(z.kept[j], r.cell(j))
	}
}

func orMinus(v *int) int64 {
	if v == nil {
		return -1
	}
	return int64(*v)
}

func orNaN(v *float64) float64 {
	if v == nil {
		return math.NaN()
	}
	return *v
}

func (z *npzResults) keep(name string, t *tensor.Tensor) {
	if t == nil {
		return
	}
	if z.parts == nil {
		z.parts = map[string]*partColumn{}
	}
	c := z.parts[name]
	if c == nil {
		c = &partColumn{shape: t.Example().Clone()}
		for range (len(z.flag) - t.N()) * c.shape.Size() { // bad rows before the first good one
			c.data = append(c.data, float32(math.NaN()))
		}
		z.parts[name] = c
		z.order = append(z.order, name)
	}
	c.data = append(c.data, t.Data...)
}

func (z *npzResults) Close() error {
	n := tensor.Shape{len(z.flag)}
	arrays := []dataset.Array{
		{Name: "is_adversarial", Shape: n, Data: z.flag}, {Name: "instance_score", Shape: n, Data: z.score}, {Name: "p_value", Shape: n, Data: z.p},
		{Name: "predicted", Shape: n, Data: z.predicted}, {Name: "reconstructed", Shape: n, Data: z.reconstructed}, {Name: "corrected", Shape: n, Data: z.corrected},
	}
	if z.o.Include.CertifiedRadius {
		arrays = append(arrays, dataset.Array{Name: "certified_radius", Shape: n, Data: z.radius})
	}
	for _, name := range z.order {
		c := z.parts[name]
		rows := 0
		if s := c.shape.Size(); s > 0 {
			rows = len(c.data) / s
		}
		arrays = append(arrays, dataset.Array{Name: name, Shape: append(tensor.Shape{rows}, c.shape...), Data: c.data})
	}
	for _, a := range []dataset.Array{
		{Name: "id", Data: z.id}, {Name: "file", Data: z.file}, {Name: "predicted_label", Data: z.predictedLabel},
		{Name: "reconstructed_label", Data: z.reconstructedLabel}, {Name: "corrected_label", Data: z.correctedLabel},
		{Name: "note", Data: z.note}, {Name: "error", Data: z.failure},
	} {
		if !slices.Contains(z.o.Keep, a.Name) && slices.ContainsFunc(a.Data.([]string), func(s string) bool { return s != "" }) {
			a.Shape = n
			arrays = append(arrays, a)
		}
	}
	for j, name := range z.o.Keep {
		arrays = append(arrays, dataset.Array{Name: name, Shape: n, Data: keptArray(z.kept[j])})
	}
	meta, err := json.Marshal(z.o.Meta)
	if err != nil {
		return err
	}
	return dataset.WriteNPZ(z.w, append(arrays, dataset.Array{Name: "meta", Data: string(meta)}))
}

// keptArray is a kept column as numbers, or as text if any cell is.
func keptArray(cells []dataset.Cell) any {
	numbers, integers, texts := make([]float64, len(cells)), make([]int64, len(cells)), make([]string, len(cells))
	isText, isWhole, isLong := false, true, false
	for i, c := range cells {
		numbers[i], texts[i] = math.NaN(), cellText(c)
		if c.Kind == dataset.CellNumber {
			numbers[i] = c.Number
		}
		isText = isText || c.Kind == dataset.CellText
		isLong = isLong || isLonger(c)
		v, err := strconv.ParseInt(strings.TrimSpace(texts[i]), 10, 64)
		integers[i], isWhole = v, isWhole && err == nil
	}
	switch {
	case isText || isLong && !isWhole:
		return texts
	case isLong:
		return integers
	}
	return numbers
}
