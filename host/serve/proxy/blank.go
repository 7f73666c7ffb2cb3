package proxy

import (
	"bytes"
	"math"
	"slices"

	"github.com/vaeguard/vaeguard/host/serve/judge"
	"github.com/vaeguard/vaeguard/host/serve/tensors"
)

// blank takes what an answer says of flagged rows out of it: floats become NaN, whole numbers −1
// or the highest that there is, truth values false, and texts empty. false: an output has no
// row for each row, so that it cannot be told what it says of which.
func blank(r *tensors.Response, v *judge.Opinion) bool {
	n := int64(len(v.Adversarial))
	for _, o := range r.Outputs {
		if len(o.Shape) == 0 || o.Shape[0] != n {
			return false
		}
	}
	for i := range r.Outputs {
		o := &r.Outputs[i]
		o.Raw, o.Texts = slices.Clone(o.Raw), slices.Clone(o.Texts)
		each := o.N() / int(n)
		nothing := bytes.Repeat([]byte{0xff}, max(0, o.Datatype.Size())) // −1, or the highest
		switch {
		case o.Datatype.Float():
			one, err := tensors.FromFloats(o.Name, o.Datatype, []int64{1}, []float32{float32(math.NaN())})
			if err != nil {
				return false
			}
			nothing = one.Raw
		case o.Datatype == tensors.Bool:
			nothing = []byte{0}
		}
		for row, flagged := range v.Adversarial {
			for at := row * each; flagged && at < (row+1)*each; at++ {
				if o.Datatype == tensors.Bytes {
					o.Texts[at] = nil
				} else {
					copy(o.Raw[at*len(nothing):], nothing)
				}
			}
		}
	}
	return true
}
