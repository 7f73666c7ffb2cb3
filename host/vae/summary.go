package vae

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Describe lists the model's layers in order: encoder/conv2d_0, …, mean,
// log_var, decoder/dense_0, …. FLOPs are of one instance, with one sample;
// activations of the heads are not counted.
func (m *Model) Describe() []nn.LayerInfo {
	infos := within("encoder/", m.Encoder)
	if m.mean != nil {
		infos = append(infos, m.mean.describe("mean"), m.logVar.describe("log_var"))
	}
	return append(infos, within("decoder/", m.Decoder)...)
}

// Describe lists the student's layers in order, the last one "output".
func (s *Student) Describe() []nn.LayerInfo {
	return append(within("student/", s.Layers), s.Net.(*dense).head.describe("output"))
}

func within(prefix string, s *nn.Sequence) []nn.LayerInfo {
	infos := nn.Describe(s)
	for i := range infos {
		infos[i].Name = prefix + infos[i].Name
	}
	return infos
}

func (h *Head) describe(name string) nn.LayerInfo {
	return nn.LayerInfo{Name: name, Kind: "dense", Out: tensor.Shape{h.out()},
		Params: (h.in() + 1) * h.out(), FLOPs: 2 * int64(h.in()) * int64(h.out())}
}

// Total adds up what Describe lists, nested layers once.
func Total(infos []nn.LayerInfo) (params int, flops int64) {
	for _, i := range infos {
		if i.Depth == 0 {
			params += i.Params
			flops += i.FLOPs
		}
	}
	return params, flops
}

// WriteTable writes what Describe lists as lines of text, with the totals: a
// layer's output shape, its params and the MFLOP of one instance.
func WriteTable(w io.Writer, infos []nn.LayerInfo) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	width := len("layer")
	for _, l := range infos {
		width = max(width, 2*l.Depth+len(l.Name))
	}
	fmt.Fprintf(t, "%-*s\toutput\tparams\tMFLOP\t\n", width, "layer")
	for _, l := range infos {
		fmt.Fprintf(t, "%-*s\t%v\t%d\t%.3f\t\n", width, strings.Repeat("  ", l.Depth)+l.Name, l.Out, l.Params, float64(l.FLOPs)/1e6)
	}
	params, flops := Total(infos)
	fmt.Fprintf(t, "%-*s\t\t%d\t%.3f\t\n", width, "total", params, float64(flops)/1e6)
	return t.Flush()
}
