package train

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Balanced is the word of ClassWeight that makes classes count alike.
const Balanced = "balanced"

// ClassWeight is train.class_weight: the factors of rows in the loss, by the class
// that the classifier predicts for the clean row. That is the class which a
// reconstruction has to keep, it is known of every row, labelled or not, and
// thresholds by class go by it. The zero value is none, as factors of 1.
//
// The words and the mean are Keras's: a loss is Σ factor·loss over the batch's rows,
// divided by their number. Unlike in Keras val_loss has the factors too, since
// early stopping goes by it; metrics have none.
type ClassWeight struct {
	// Balanced makes the factor of a class n/(k·n_c), for n_c of n rows of
	// data.train and k classes that are predicted at all: as scikit-learn does it.
	Balanced bool
	// Of are factors ≥ 0 by the number or the name of a class; others have 1.
	Of map[string]float64
}

// DecodeValue implements registry.Decoder.
func (c *ClassWeight) DecodeValue(v any) error {
	switch v := v.(type) {
	case string:
		if v == Balanced {
			*c = ClassWeight{Balanced: true}
			return nil
		}
	case map[string]any:
		of := map[string]float64{}
		for class, w := range v {
			switch w := w.(type) {
			case int:
				of[class] = float64(w)
			case float64:
				of[class] = w
			default:
				return fmt.Errorf("class %s: want a number, got %v", class, w)
			}
			if w := of[class]; !(w >= 0) || math.IsInf(w, 0) {
				return fmt.Errorf("class %s: want a number of at least 0, got %v", class, w)
			}
		}
		if len(of) > 0 {
			*c = ClassWeight{Of: of}
			return nil
		}
	}
	return fmt.Errorf("want %s, or a factor for each class: {0: 1, 2: 10}", Balanced)
}

// EncodeValue implements registry.Encoder.
func (c ClassWeight) EncodeValue() any {
	switch {
	case c.Balanced:
		return Balanced
	case len(c.Of) == 0:
		return nil
	}
	out := map[string]any{}
	for class, w := range c.Of {
		out[class] = w
	}
	return out
}

// JSONSchema implements registry.Schemer.
func (ClassWeight) JSONSchema() map[string]any {
	return map[string]any{"oneOf": []any{
		map[string]any{"enum": []string{Balanced}},
		map[string]any{"type": "object", "minProperties": 1, "additionalProperties": map[string]any{"type": "number", "minimum": 0}},
	}}
}

// given reports whether there are factors at all.
func (c ClassWeight) given() bool { return c.Balanced || len(c.Of) > 0 }

// factors are those of the classes, for the classifier's outputs p on the training
// rows, (N, classes). names may be nil.
func (c ClassWeight) factors(p *tensor.Tensor, names []string) ([]float64, error) {
	k := p.Stride()
	out, set := make([]float64, k), make([]bool, k)
	if !c.Balanced {
		for i := range out {
			out[i] = 1
		}
		for class, w := range c.Of {
			i := slices.Index(names, class)
			if i < 0 {
				var err error
				if i, err = strconv.Atoi(class); err != nil || i < 0 || i >= k {
					known := fmt.Sprintf("0 to %d", k-1)
					if len(names) > 0 {
						known += ", or " + strings.Join(names, ", ")
					}
					return nil, fmt.Errorf("train.class_weight: there is no class %s; known: %s", class, known)
				}
			}
			if set[i] {
				return nil, fmt.Errorf("train.class_weight: class %s is given twice, by name and by number", class)
			}
			out[i], set[i] = w, true
		}
		return out, nil
	}
	counts, present := make([]int, k), 0
	for i := range p.N() {
		c := oracle.Argmax(p.Row(i))
		if counts[c]++; counts[c] == 1 {
			present++
		}
	}
	for i, n := range counts {
		if out[i] = 1; n > 0 {
			out[i] = float64(p.N()) / float64(present*n)
		}
	}
	return out, nil
}

// ofRows are the factors of rows by the classifier's outputs p on them; nil
// without factors.
func ofRows(factors []float64, p *tensor.Tensor) []float64 {
	if factors == nil {
		return nil
	}
	out := make([]float64, p.N())
	for i := range out {
		out[i] = factors[oracle.Argmax(p.Row(i))]
	}
	return out
}

// rowWeights are the factors of training and validation rows, nil without any.
type rowWeights struct{ train, validation []float64 }

// weigh finds them from the classifier's outputs; valP may be nil.
func (o *Options) weigh(ctx context.Context, p, valP *tensor.Tensor) (w rowWeights, err error) {
	if !o.ClassWeight.given() {
		return w, nil
	}
	names := o.ClassNames
	if len(names) == 0 {
		info, err := o.Classifier.Info(ctx)
		if err != nil {
			return w, wrap(err)
		}
		names = info.Classes
	}
	factors, err := o.ClassWeight.factors(p, names)
	if err != nil {
		return w, err
	}
	w.train = ofRows(factors, p)
	if valP != nil {
		w.validation = ofRows(factors, valP)
	}
	return w, nil
}
