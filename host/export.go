package host

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/graph"
	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/launch"
	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Names of the tensors of an exported guard.
const (
	GraphInput  = "x"      // raw rows, (n, …), float32
	GraphRows   = "rows"   // what the classifier is to be asked about, (m, example…)
	GraphOutput = "output" // what it answers on them, (m, classes)
	graphLost   = "lost"
	graphLogits = "student"
)

// Exported is a guard as ONNX files (opset 17, or that of the classifier), which any
// runtime of that format executes without vaeguard.
type Exported struct {
	// Guard takes raw rows, GraphInput, and answers is_adversarial, instance_score,
	// p_value, predicted, reconstructed and corrected, each (n): the classifier is
	// inside. nil: it could not be, or was not asked for.
	Guard []byte
	// Before takes raw rows and gives GraphRows and what After wants besides. After
	// takes that and the classifier's answers on GraphRows, GraphOutput and
	// hidden.NAME, and answers as Guard does. nil if Guard is there.
	Before, After []byte
}

// ExportOptions of Export.
type ExportOptions struct {
	Classifier bool // the classifier is part of the graph
}

// Export writes a detector that was opened as ONNX graphs. What has no form in ONNX is
// an error that names it; scores then differ from Detect's by rounding alone, about
// 1e-6 of their size.
func (d *Detector) Export(ctx context.Context, o ExportOptions) (*Exported, error) {
	if d.stored == nil {
		return nil, errors.New("export: save the detector and open it: an export is of what was saved")
	}
	if p := d.Options().Precision; p == kernel.BF16 {
		return nil, fmt.Errorf("export: detector.precision is %s, which the threshold is for, and a graph would compute float32: make a detector with detector.precision: float32, such as by vae.from without training", p)
	}
	if o.Classifier {
		b := graph.New()
		rows, err := d.graphBefore(b)
		if err != nil {
			return nil, fmt.Errorf("export: %w", err)
		}
		output, hidden, err := d.graphClassifier(ctx, b, rows.All(b))
		if err != nil {
			return nil, fmt.Errorf("export: %w; without --with-classifier there are two graphs, and the classifier stays what it is between them", err)
		}
		file, err := d.graphAfter(b, rows, output, hidden, "guard")
		return &Exported{Guard: file}, err
	}
	b := graph.New()
	rows, err := d.graphBefore(b)
	if err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	b.Output(port(GraphRows, graph.Float, "what the classifier is to be asked about: the rows, then samples reconstructions of each", "m", d.InputShape()...), rows.All(b))
	b.Output(port(GraphInput+"_prepared", graph.Float, "the rows as the guard takes them", "n", d.InputShape()...), rows.X)
	if rows.Rebuilt != (graph.Value{}) {
		b.Output(port(graphLost, graph.Bool, "whether a reconstruction is not finite", "n"), rows.Lost)
	}
	if rows.Logits != (graph.Value{}) {
		b.Output(port(graphLogits, graph.Float, "the student's logits", "n", d.Info().NumClasses), rows.Logits)
	}
	before, err := b.Model(d.graphMeta("before"))
	if err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	after, err := d.graphSecond(rows)
	return &Exported{Before: before, After: after}, err
}

// port is one of n rows, or as many as free says.
func port(name string, t graph.Type, doc, free string, example ...int) graph.Port {
	return graph.Port{Name: name, Type: t, Doc: doc, Dims: append([]graph.Dim{graph.Free(free)}, graph.Fixed(example...)...)}
}

// graphBefore goes from raw rows to what the classifier is to be asked about.
func (d *Detector) graphBefore(b *graph.Builder) (detect.GraphedRows, error) {
	door, err := d.Experiment.Door()
	if err != nil {
		return detect.GraphedRows{}, err
	}
	raw := door.Raw()
	if raw == nil && door.Identity() {
		raw = d.InputShape()
	}
	x := b.Input(port(GraphInput, graph.Float, "raw rows, as files have them", "n", raw...))
	if x, err = door.Graph(b, x); err != nil {
		return detect.GraphedRows{}, err
	}
	return d.GraphRows(b, x)
}

// graphSecond is the graph after the classifier.
func (d *Detector) graphSecond(first detect.GraphedRows) ([]byte, error) {
	b, none := graph.New(), graph.Value{}
	all := b.Input(port(GraphRows, graph.Float, "of the graph before", "m", d.InputShape()...))
	rows := detect.GraphedRows{X: b.Input(port(GraphInput+"_prepared", graph.Float, "of the graph before", "n", d.InputShape()...))}
	if first.Rebuilt != none {
		rows.Lost = b.Input(port(graphLost, graph.Bool, "of the graph before", "n"))
		n := b.Slice(b.Op("Shape", []graph.Value{rows.X}), 0, 0, 1)
		rows.Rebuilt = b.Op("Slice", []graph.Value{all, n, b.Ints(1 << 62), b.Ints(0)})
	}
	if first.Logits != none {
		rows.Logits = b.Input(port(graphLogits, graph.Float, "of the graph before", "n", d.Info().NumClasses))
	}
	output := b.Input(port(GraphOutput, graph.Float, "the classifier's "+d.Info().Output.String()+" on rows", "m", d.Info().NumClasses))
	var hidden []graph.Value
	for _, h := range d.Options().Hidden {
		hidden = append(hidden, b.Input(port(sdk.HiddenPrefix+h.Name, graph.Float, "the classifier's hidden layer on rows", "m", d.hiddenShape(h)...)))
	}
	return d.graphAfter(b, rows, output, hidden, "after")
}

func (d *Detector) hiddenShape(h oracle.Head) tensor.Shape {
	layers := d.Info().Hidden
	if i := slices.IndexFunc(layers, func(l sdk.HiddenLayer) bool { return l.Name == h.Name }); i >= 0 {
		return layers[i].Shape
	}
	return tensor.Shape{h.Kernel.N()}
}

// graphClassifier puts the classifier into the graph: a shipped one, configured in
// this process as it was in its own.
func (d *Detector) graphClassifier(ctx context.Context, b *graph.Builder, rows graph.Value) (graph.Value, []graph.Value, error) {
	e := d.Experiment
	section := e.Spec.Classifier.Model
	shipped, err := e.c.Classifiers.Lookup(section.Plugin)
	if err != nil {
		return rows, nil, fmt.Errorf("%w: it is a program of its own", launch.ErrNotGraphed)
	}
	c := shipped.New()
	if s, ok := c.(sdk.Configurable); ok {
		if err := s.Configure(ctx, d.config); err != nil {
			return rows, nil, err
		}
	}
	var hidden []string
	for _, h := range d.Options().Hidden {
		hidden = append(hidden, h.Name)
	}
	return launch.Graph(ctx, c, section.Preprocess, b, rows, hidden...)
}

// graphAfter goes from the classifier's answers to the verdict, and closes the graph.
func (d *Detector) graphAfter(b *graph.Builder, rows detect.GraphedRows, output graph.Value, hidden []graph.Value, part string) ([]byte, error) {
	r, err := d.GraphVerdict(b, rows, output, hidden)
	if err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	corrected := "reconstructed where flagged, else predicted"
	if d.State().Correction != nil {
		corrected = "reconstructed where flagged and the reconstruction prefers it by enough, else predicted"
	}
	b.Output(port("is_adversarial", graph.Int64, "1: flagged", "n"), b.Cast(r.Adversarial, graph.Int64))
	b.Output(port("instance_score", graph.Double, "higher is stranger", "n"), r.Score)
	if r.PValue != (graph.Value{}) {
		b.Output(port("p_value", graph.Double, "conformal", "n"), r.PValue)
	}
	b.Output(port("predicted", graph.Int64, "the classifier's class", "n"), r.Predicted)
	b.Output(port("reconstructed", graph.Int64, "its class of the reconstruction", "n"), r.Reconstructed)
	b.Output(port("corrected", graph.Int64, corrected, "n"), r.Corrected)
	return b.Model(d.graphMeta(part))
}

func (d *Detector) graphMeta(part string) graph.Meta {
	t := d.Threshold()
	return graph.Meta{Producer: "vaeguard", Version: Version(), Name: "vaeguard_" + part,
		Doc: "a detector of vaeguard: see vaeguard export --help",
		Properties: map[string]string{
			"vaeguard.detector":   d.Digest(),
			"vaeguard.classifier": d.Info().Digest,
			"vaeguard.part":       part,
			"vaeguard.threshold":  strconv.FormatFloat(t.Value, 'g', -1, 64),
		}}
}
