package signature

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Door prepares raw rows as a spec says and data.train taught. It is immutable
// but for Fit and Restore; then its methods may be called concurrently.
type Door struct {
	Signature
	chain []link
	taken map[string]State // of the steps that learn, by key; shared between the doors of the roles
	out   tensor.Shape     // of prepared rows, nil if it is not known
	spec  dataset.Section
	src   dataset.Source

	extent   *extent // raw rows, watched while the door learns; nil: not
	prepared *extent // likewise those that come out
	later    *later  // of a door that still learns from rows that were glanced at; else nil
	origin   *Door   // of a door of rows with a rescaling of their own: the one that it is For; else nil
}

// link is a step and the key of what it learnt.
type link struct {
	key  string
	step Step
	// array says that the step is about how arrays store a row: image files are
	// not stored so.
	array bool
}

// Keys of steps that are none of data.prepare. Those of prepare are prepare.N.
const (
	keyColumns  = "columns"
	keyStorage  = "storage"
	keyRescale  = "rescale"
	keyStandard = "scale" // so detectors have called it since there are any
)

// New makes the door of a section data for rows of a source. example is the
// shape of a raw row and about what else is known of them. Faults are
// registry.FieldErrors, below data.
func New(section dataset.Section, src dataset.Source, example tensor.Shape, about dataset.About) (*Door, error) {
	d := &Door{Signature: describe(example, about, src), taken: map[string]State{}, spec: section, src: src}
	if section.Columns != nil && d.Features == nil && len(example) == 1 {
		d.Kind, d.Features = KindTable, numbered(example[0])
		for i := range d.Features {
			f := &d.Features[i]
			c := section.Columns[f.Name]
			if f.Missing = c.Missing != nil; c.Integer {
				f.Kind = dataset.KindInteger
			}
			if f.Categories = c.Names(); f.Categories != nil {
				f.Kind = dataset.KindCategory
			}
		}
	}
	if err := d.checkColumns(); err != nil {
		return nil, err
	}
	d.ByValue = slices.ContainsFunc(d.Features, dataset.Feature.ByValue)
	d.build()
	if about.Prepared && len(d.chain) > 0 {
		return nil, fmt.Errorf("its rows are prepared already, as an attack wrote them (space: guard), and the preparation is learnt from these, which would prepare them twice: want raw rows")
	}
	if d.White == 1 && d.forBytes() {
		d.White = 255
	}
	if about.Varied {
		d.Shape = d.loosest(example)
	}
	out, err := d.shapes(d.Shape, about.Varied)
	if err != nil {
		return nil, err
	}
	if !free(out) {
		d.out = out
	}
	return d, nil
}

// Of is the door of a detector that was saved: its signature, and out, the shape
// of prepared rows. The zero signature stands for one of a while ago.
func Of(s Signature, section dataset.Section, src dataset.Source, out tensor.Shape) *Door {
	d := &Door{Signature: s, taken: map[string]State{}, spec: section, src: src, out: out}
	if s.Kind == "" {
		d.Kind, d.Label, d.ID = KindArray, src.Label, src.ID
		if len(out) == 3 {
			d.Kind = KindImage
		}
		d.Shape = storage{src.Reshape, src.Layout == "nchw"}.before(out)
	}
	d.build()
	return d
}

// For is the door for rows of another source of the same section: what is said
// of the source is that one's, and what was learnt is shared.
func (d *Door) For(src dataset.Source) *Door {
	other := *d
	other.src = src
	if !sameStorage(src, d.src) {
		other.Shape = nil // whatever gives rows of the same shape
	}
	if !sameRescale(src.Rescale, d.src.Rescale) {
		other.White, other.Signature.Raw = 0, nil // the source brings its own units to the others'
		other.extent, other.prepared, other.origin = &extent{}, &extent{}, d
	}
	other.build()
	return &other
}

func sameRescale(a, b *dataset.Rescale) bool {
	if a == nil || b == nil {
		return a == b
	}
	return slices.Equal(a.Scale, b.Scale) && slices.Equal(a.Offset, b.Offset)
}

func sameStorage(a, b dataset.Source) bool {
	return a.Layout == b.Layout && slices.Equal(a.Reshape, b.Reshape)
}

// checkColumns finds columns that data.columns names and the table lacks.
func (d *Door) checkColumns() error {
	var faults registry.FieldErrors
	if d.Features == nil {
		if d.spec.Columns != nil {
			faults.Add("columns", "rows of %v have no columns", d.Shape)
		}
		return faults.Err()
	}
	var have []string
	for _, f := range d.Features {
		have = append(have, f.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(d.spec.Columns)) {
		c := d.spec.Columns[name]
		if !slices.Contains(have, name) && !c.Ignore && name != d.Label && name != d.ID {
			faults.Add("columns."+name, "there is no such column among %s", listed(have))
		}
	}
	return faults.Err()
}

// listed are some names in words.
func listed(names []string) string {
	const most = 12
	if len(names) > most {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	return strings.Join(names, ", ")
}

// build lines up the steps.
func (d *Door) build() {
	d.chain = nil
	add := func(key string, s Step, array bool) { d.chain = append(d.chain, link{key, s, array}) }
	if c := d.columns(); c.needed() {
		add(keyColumns, c, false)
	}
	if d.src.Reshape != nil || d.src.Layout == "nchw" {
		add(keyStorage, storage{d.src.Reshape, d.src.Layout == "nchw"}, true)
	}
	if r := d.src.Rescale; r != nil {
		add(keyRescale, Rescale(*r), false)
	}
	for i, c := range d.spec.Prepare {
		add(fmt.Sprintf("prepare.%d", i), registry.As[Step](c), false)
	}
	if d.src.Standard() {
		add(keyStandard, Standard{}, false)
	}
}

func (d *Door) columns() columns {
	c := columns{features: d.Features, byValue: d.ByValue}
	for _, f := range d.Features {
		c.specs = append(c.specs, d.spec.Columns[f.Name])
	}
	return c
}

// loosest is the shape of images that the steps can take: of any size and number
// of channels where they make one of it, else that of the example.
func (d *Door) loosest(example tensor.Shape) tensor.Shape {
	if len(example) != 3 {
		return example
	}
	h, w, c := example[0], example[1], example[2]
	for _, s := range []tensor.Shape{{0, 0, 0}, {0, 0, c}, {h, w, 0}} {
		if out, err := d.shapes(s, true); err == nil && !free(out) {
			return s
		}
	}
	return example
}

// shapes is the shape of what the steps make of rows of shape in. images says
// that they are of image files. Steps that learn are taken to keep a shape, but
// for that of the columns.
func (d *Door) shapes(in tensor.Shape, images bool) (tensor.Shape, error) {
	for _, l := range d.chain {
		if images && l.arrays(in) {
			continue
		}
		if c, ok := l.step.(columns); ok {
			in = tensor.Shape{c.total()}
			continue
		}
		if f, ok := l.step.(Fitter); ok && d.taken[l.key] == nil {
			if p, ok := f.(Planner); ok {
				in = p.Plan(in)
			}
			continue
		}
		b, err := d.bind(l, in)
		if err != nil {
			return nil, d.place(l.key, err)
		}
		in = b.Out()
	}
	return in, nil
}

// forBytes reports whether the first rescaling is one of bytes: (x/255 − mean)/std
// and its like. Images that files give as intensities are then bytes before it.
func (d *Door) forBytes() bool {
	for _, l := range d.chain {
		if r, ok := l.step.(Rescale); ok {
			return len(r.Scale) > 0 && !slices.ContainsFunc(r.Scale, func(s float64) bool { return math.Abs(s) > 1./32 })
		}
	}
	return false
}

// Planner is a Fitter whose rows out have another shape than those in.
type Planner interface {
	Fitter
	// Plan is the shape of rows out for rows in.
	Plan(in tensor.Shape) tensor.Shape
}

// place is an error of a step with its key below data.
func (d *Door) place(key string, err error) error {
	if n, ok := strings.CutPrefix(key, "prepare."); ok {
		return registry.FieldErrors{{Key: "prepare[" + n + "]", Message: err.Error()}}
	}
	return err
}

func (d *Door) bind(l link, in tensor.Shape) (Bound, error) {
	f, ok := l.step.(Fitter)
	if !ok {
		return l.step.Bind(in)
	}
	if s := d.taken[l.key]; s != nil {
		return f.BindFitted(in, s)
	}
	return f.Bind(in)
}

// unfitted is the first step that has to learn yet, len(chain) if there is none.
func (d *Door) unfitted() int {
	for i, l := range d.chain {
		if _, ok := l.step.(Fitter); ok && d.taken[l.key] == nil {
			return i
		}
	}
	return len(d.chain)
}

// Learns reports whether a step has to learn yet, and so the door cannot be
// entered.
func (d *Door) Learns() bool { return d.unfitted() < len(d.chain) }

// Out is the shape of prepared rows, nil if it is not known.
func (d *Door) Out() tensor.Shape { return d.out }

// Raw implements dataset.Door.
func (d *Door) Raw() tensor.Shape {
	if free(d.Shape) {
		return nil
	}
	return d.Shape
}

// indicators are the positions that hold 0 or 1 of a category before link n.
func (d *Door) indicators(n int) []int {
	if n == 0 || d.chain[0].key != keyColumns {
		return nil
	}
	var out []int
	k := 0
	c := d.columns()
	for i := range c.features {
		w := c.width(i)
		for j := range w {
			if w > 1 {
				out = append(out, k+j)
			}
		}
		k += w
	}
	return out
}

// Columns are the names of the columns of prepared rows: colour=red of a
// category. nil where they have none.
func (d *Door) Columns() []string {
	if !d.Named() {
		return nil
	}
	return d.columns().names()
}

// PreparedFeatures are the columns of prepared rows of a table, numbers all of them,
// as readers of tables match them; their names are empty where the files have none.
// nil of what is no table.
func (d *Door) PreparedFeatures() []dataset.Feature {
	if d.Features == nil || len(d.out) != 1 {
		return nil
	}
	names := d.Columns()
	if len(names) != d.out[0] { // a step makes others of them
		names = make([]string, d.out[0])
	}
	out := make([]dataset.Feature, len(names))
	for i, n := range names {
		out[i] = dataset.Feature{Name: n, Kind: dataset.KindNumber}
	}
	return out
}

// Prepare is x, raw rows (N, example…), as the guard takes them, which are held to what
// the signature says as those of a file of float32 are. Rows of another shape than the
// signature's are an error.
func (d *Door) Prepare(x *tensor.Tensor) (*tensor.Tensor, error) {
	in, err := d.admit(x.Example(), false, false)
	if err != nil {
		return nil, err
	}
	g, err := d.gate(in, false)
	if err != nil {
		return nil, err
	}
	out := x
	switch {
	case len(g.steps) > 0:
		out = tensor.Batch(x.N(), g.out)
	case !x.Example().Equal(g.out):
		out = x.Reshape(append([]int{x.N()}, g.out...)...)
	}
	domains, raw := d.domains(), make([]float32, in.Size())
	for i := range x.N() {
		row := x.Row(i)
		if domains != nil {
			copy(raw, row)
			row, err = raw, domains.Take(raw)
		}
		if err == nil {
			err = d.units(row)
		}
		if err == nil && len(g.steps) > 0 {
			err = g.row(out.Row(i), row, in)
		}
		if err != nil {
			return nil, fmt.Errorf("row %d: %w", i, err)
		}
	}
	return out, nil
}

// Identity reports whether prepared rows are the raw ones.
func (d *Door) Identity() bool { return len(d.chain) == 0 }
