package vae

import (
	"fmt"
	"strings"

	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// misfit is the error of a list of layers that does not end in shape want. It
// stands at the last layer and names what would help: options of the layers
// that are there, or layers to append. reason says who wants it.
func (o Options) misfit(part string, seq *nn.Sequence, want tensor.Shape, reason string) error {
	var kinds []string
	for _, l := range nn.Describe(seq) {
		if l.Depth == 0 {
			kinds = append(kinds, l.Kind)
		}
	}
	var cures []string
	if changes := seq.Toward(want); len(changes) > 0 {
		set := make([]string, len(changes))
		for i, c := range changes {
			set[i] = fmt.Sprintf("%s[%d].%s.%s", part, c.Layer, kinds[c.Layer], c.Option)
		}
		cures = append(cures, "set "+strings.Join(set, " and "))
	}
	if o.Bridge != nil {
		cures = append(cures, "append "+o.Bridge(seq.Out(), want))
	}
	text := fmt.Sprintf("ends as %v, %s", seq.Out(), reason)
	if cures != nil {
		text += ": " + strings.Join(cures, ", or ")
	}
	last := len(kinds) - 1
	if last < 0 {
		return &PartError{part, fmt.Errorf("%s", text)}
	}
	return &PartError{part, &nn.LayerError{Path: []int{last}, Err: fmt.Errorf("%s %s", kinds[last], text)}}
}
