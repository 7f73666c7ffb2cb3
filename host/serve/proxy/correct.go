package proxy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/host/serve/judge"
	"github.com/vaeguard/vaeguard/host/serve/tensors"
	"github.com/vaeguard/vaeguard/sdk"
)

// correct replaces the class of rows that detect gives another one than the predicted, and
// counts them. The classifier's answer becomes the one on the reconstruction:
// probabilities, or their logarithms where the server answers in logits. An output of one
// whole number a row, or of one text, that has the predicted class of every row, or its
// name, has the corrected one's. Other outputs stay, and so do other rows, flagged or
// not. Rows whose class is nowhere are an error.
func (t *target) correct(d *host.Detector, r *tensors.Response, v *judge.Opinion) (int, error) {
	changed := 0
	for j, c := range v.Corrected {
		if c != v.Predicted[j] {
			changed++
		}
	}
	if changed == 0 {
		return 0, nil
	}
	n, k := len(v.Corrected), d.Info().NumClasses
	done := false
	if i := t.class(*r, n, k); i >= 0 {
		o := &r.Outputs[i]
		o.Raw = slices.Clone(o.Raw)
		row := make([]float32, k)
		for j, c := range v.Corrected {
			if c == v.Predicted[j] {
				continue
			}
			copy(row, v.ProbabilitiesReconstructed.Row(j))
			if v.Kind == sdk.Logits {
				for c, p := range row {
					row[c] = float32(math.Log(max(float64(p), math.SmallestNonzeroFloat32)))
				}
			}
			one, err := answer(o.Datatype, row, c)
			if err != nil {
				return 0, err
			}
			copy(o.Raw[j*len(one):], one)
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
	return changed, nil
}

// answer is a row of a classifier's answer in a datatype, whose first highest number is that of
// a class also where rounding makes others as high. row is overwritten.
func answer(d tensors.Datatype, row []float32, class int) ([]byte, error) {
	step := math.Ldexp(1, -22) // float32 has 24 bits
	if d.Size() == 2 {
		step = math.Ldexp(1, -6) // bfloat16 has 8
	}
	for range 2 {
		one, err := tensors.FromFloats("", d, []int64{1, int64(len(row))}, row)
		if err != nil {
			return nil, err
		}
		all := one.Float32s()
		if oracle.Argmax(all) == class {
			return one.Raw, nil
		}
		for i, v := range all[:class] {
			if v >= all[class] {
				row[i] -= float32(math.Abs(float64(row[i])) * step)
			}
		}
	}
	return nil, fmt.Errorf("the answer on the reconstruction cannot be written as %s", d)
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

// relabel writes the class of rows that have another one than the predicted.
func relabel(o *tensors.Tensor, v *judge.Opinion, names []string) {
	o.Raw, o.Texts = slices.Clone(o.Raw), slices.Clone(o.Texts)
	for i, c := range v.Corrected {
		if c == v.Predicted[i] {
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
