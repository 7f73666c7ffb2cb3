package scoring

import (
	"math"
	"strconv"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/results"
)

// pBins is how many bins of equal width p-values are counted in.
const pBins = 20

// Tally counts what a detector said of rows. Tallies of parts add up to that of
// the whole.
type Tally struct {
	Rows      int            `json:"rows"`
	Flagged   int            `json:"flagged"`
	Errors    int            `json:"errors"` // rows that could not be scored
	Predicted map[string]int `json:"predicted"`
	Corrected map[string]int `json:"corrected"` // of flagged rows: the class that they are corrected to
	// PValues are rows by p-value, in bins of [k/20, (k+1)/20), 1 in the last.
	PValues []int `json:"p_values,omitempty"`
	// Scores are rows by score, by the largest power of two that is not above it, as
	// its exponent; "0", "inf" and "negative" for the others.
	Scores map[string]int `json:"scores"`
}

// Add adds another tally.
func (t *Tally) Add(o Tally) {
	t.Rows, t.Flagged, t.Errors = t.Rows+o.Rows, t.Flagged+o.Flagged, t.Errors+o.Errors
	sum := func(to *map[string]int, from map[string]int) {
		if *to == nil {
			*to = map[string]int{}
		}
		for k, n := range from {
			(*to)[k] += n
		}
	}
	sum(&t.Predicted, o.Predicted)
	sum(&t.Corrected, o.Corrected)
	sum(&t.Scores, o.Scores)
	if t.PValues == nil && o.PValues != nil {
		t.PValues = make([]int, pBins)
	}
	for i, n := range o.PValues {
		if i < len(t.PValues) {
			t.PValues[i] += n
		}
	}
}

// counted is a writer that counts what goes through it.
type counted struct {
	results.Writer
	classes []string
	tally   Tally
	kinds   []dataset.CellKind // of kept columns, by their first values
}

func newCounted(w results.Writer, classes []string, kept int) *counted {
	c := &counted{Writer: w, classes: classes, kinds: make([]dataset.CellKind, kept)}
	c.tally.Add(Tally{})
	return c
}

// Batch implements results.Writer.
func (c *counted) Batch(first int, r *detect.Result, traces []dataset.Trace) error {
	t := &c.tally
	for _, trace := range traces {
		c.see(trace)
	}
	for i, flagged := range r.Adversarial {
		t.Rows++
		t.Predicted[c.class(r.Predicted[i])]++
		if flagged {
			t.Flagged++
			t.Corrected[c.class(r.Corrected[i])]++
		}
		if r.Score != nil {
			t.Scores[scoreBin(r.Score[i])]++
		}
		if r.PValue != nil {
			if t.PValues == nil {
				t.PValues = make([]int, pBins)
			}
			t.PValues[max(0, min(pBins-1, int(r.PValue[i]*pBins)))]++
		}
	}
	return c.Writer.Batch(first, r, traces)
}

// Bad implements results.Writer.
func (c *counted) Bad(index int, trace dataset.Trace, err error) error {
	c.see(trace)
	c.tally.Rows++
	c.tally.Errors++
	return c.Writer.Bad(index, trace, err)
}

func (c *counted) see(t dataset.Trace) {
	for j, cell := range t.Kept {
		switch {
		case results.LongDigits(cell): // which their column has as text
			c.kinds[j] = dataset.CellText
		case c.kinds[j] == dataset.CellMissing:
			c.kinds[j] = cell.Kind
		}
	}
}

func (c *counted) class(k int) string {
	if k >= 0 && k < len(c.classes) {
		return c.classes[k]
	}
	return strconv.Itoa(k)
}

// scoreBin names the bin of a score.
func scoreBin(s float64) string {
	switch {
	case math.IsInf(s, 1):
		return "inf"
	case s < 0:
		return "negative"
	case s == 0:
		return "0"
	}
	_, exp := math.Frexp(s)
	return strconv.Itoa(exp - 1)
}
