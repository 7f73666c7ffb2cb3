package proxy

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/serve/tensors"
	"github.com/vaeguard/vaeguard/sdk"
)

// correct replaces the class of flagged rows in an answer, and counts them. The
// classifier's answer becomes the one on the reconstruction: probabilities, or their
// logarithms where the classifier has logits. An output of one whole number a row, or of
// one text, that has the predicted class of every row, or its name, has the corrected
// one's. Other outputs stay. Flagged rows whose class is nowhere are an error.
func (t *target) correct(d *host.Detector, r *tensors.Response, v *detect.Result) (int, error) {
	if flagged(v) == 0 {
		return 0, nil
	}
	n, k := len(v.Adversarial), d.Info().NumClasses
	done := false
	if i := t.class(*r, n, k); i >= 0 {
		o := &r.Outputs[i]
		o.Raw = slices.Clone(o.Raw)
		row := make([]float32, k)
		for j := range n {
			if !v.Adversarial[j] {
				continue
			}
			copy(row, v.ProbabilitiesReconstructed.Row(j))
			if d.Info().Output == sdk.Logits {
				for c, p := range row {
					row[c] = float32(math.Log(max(float64(p), math.SmallestNonzeroFloat32)))
				}
			}
			one, err := tensors.FromFloats(o.Name, o.Datatype, []int64{1, int64(k)}, row)
			if err != nil {
				return 0, err
			}
			copy(o.Raw[j*len(one.Raw):], one.Raw)
		}
		done = true
	}
	names := d.ClassNames()
	for i := range r.Outputs {
		if o := &r.Outputs[i]; labels(*o, v.Predicted, names) {
			relabel(o, v, names)
			done = true
		}
	}
	if !done {
		return 0, errors.New("the answer has no class to correct")
	}
	return flagged(v), nil
}

// labels reports whether an output is the predicted class of each row.
func labels(o tensors.Tensor, predicted []int, names []string) bool {
	n := int64(len(predicted))
	if !slices.Equal(o.Shape, []int64{n}) && !slices.Equal(o.Shape, []int64{n, 1}) || o.Datatype.Float() || o.Datatype == tensors.Bool {
		return false
	}
	for i, c := range predicted {
		if o.Datatype == tensors.Bytes {
			if c >= len(names) || string(o.Texts[i]) != names[c] {
				return false
			}
		} else if o.Float64(i) != float64(c) {
			return false
		}
	}
	return true
}

// relabel writes the corrected class of flagged rows.
func relabel(o *tensors.Tensor, v *detect.Result, names []string) {
	o.Raw, o.Texts = slices.Clone(o.Raw), slices.Clone(o.Texts)
	for i, c := range v.Corrected {
		if !v.Adversarial[i] {
			continue
		}
		if o.Datatype == tensors.Bytes {
			o.Texts[i] = []byte(names[c])
			continue
		}
		size := o.Datatype.Size()
		copy(o.Raw[i*size:(i+1)*size], binary.LittleEndian.AppendUint64(nil, uint64(c))) // its low bytes
	}
}
