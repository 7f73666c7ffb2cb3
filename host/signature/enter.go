package signature

import (
	"errors"
	"fmt"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Spaced is a reader of rows that need not be raw.
type Spaced interface {
	dataset.Reader
	// Prepared reports whether the rows are what the guard takes.
	Prepared() bool
}

// Enter implements dataset.Door.
func (d *Door) Enter(r dataset.Reader) (dataset.Entered, error) {
	if s, ok := r.(Spaced); ok && s.Prepared() {
		return Prepared{d}.Enter(r)
	}
	v, varied := r.(dataset.Varied)
	_, images := r.(dataset.Interleaved)
	images = images || varied
	in, err := d.admit(r.Example(), images, varied)
	if err != nil {
		return nil, err
	}
	g, err := d.gate(in, images)
	if err != nil {
		return nil, err
	}
	e := &entered{gate: g, in: in, from: r, factor: d.factor(r), extent: d.extent, prepared: d.prepared, learns: d.extent != nil, units: d.units}
	if c, ok := r.(dataset.Coded); !ok || !c.Coded() {
		e.domains = d.domains()
	}
	if d.later != nil && d.Signature.Raw == nil && d.extent == nil {
		e.units = func(row []float32) error {
			n := e.row - 1
			if a, ok := r.(interface{ RowNumber() int }); ok {
				n = a.RowNumber()
			}
			d.later.add(d, e.name(), n, row)
			return nil
		}
	}
	if varied {
		if free(in) || d.Kind == KindImage {
			e.images = v
		}
	}
	return e, nil
}

// admit is the shape of the raw rows that a source stores as stored: images, or
// those of sizes that vary.
func (d *Door) admit(stored tensor.Shape, images, varied bool) (tensor.Shape, error) {
	switch {
	case varied && free(d.Shape):
		return d.Shape, nil
	case images && d.out != nil && len(d.out) == 3 && d.hasStorage():
		return stored, nil // the gate says whether it fits
	case d.Shape == nil:
		return stored, nil
	case fits(stored, d.Shape):
		if free(d.Shape) {
			return stored, nil
		}
		return d.Shape, nil
	}
	if s := d.src.Reshape; s != nil && stored.Size() == d.Shape.Size() && fits(stored, s) {
		return d.Shape, nil
	}
	if images && len(stored) == 3 && len(d.Shape) == 3 && d.Shape[2] == 3 && stored[2] == 1 {
		return d.Shape, nil
	}
	message := fmt.Sprintf("examples are %v, want %v", stored, d.Shape)
	if d.out != nil && !d.out.Equal(d.Shape) && fits(stored, d.out) {
		message += ", as files have them; these are like prepared ones: say so (--prepared) if they are"
	}
	return nil, errors.New(message)
}

func (d *Door) hasStorage() bool {
	for _, l := range d.chain {
		if l.array {
			return true
		}
	}
	return false
}

// gate is a door opened for rows of one shape, or of those that a shape with a 0
// stands for.
type gate struct {
	steps []Bound
	keys  []string
	out   tensor.Shape
}

// arrays reports whether a step is about how arrays store a row, which is none of image
// files' business. That a row is a list is said of both where the order of its numbers
// is the same in both: of one channel.
func (l link) arrays(in tensor.Shape) bool {
	s, ok := l.step.(storage)
	return l.array && !(ok && len(s.reshape) == 1 && len(in) == 3 && in[2] == 1)
}

// gate binds the steps. images leaves out those about arrays.
func (d *Door) gate(in tensor.Shape, images bool) (*gate, error) {
	g := &gate{out: in}
	for _, l := range d.chain {
		if images && l.arrays(g.out) {
			continue
		}
		b, err := d.bind(l, g.out)
		if err != nil {
			return nil, d.place(l.key, err)
		}
		g.steps, g.keys, g.out = append(g.steps, b), append(g.keys, l.key), b.Out()
	}
	if free(g.out) {
		return nil, fmt.Errorf("images of any size, which data.prepare does not bring to one: put resize there")
	}
	if d.out != nil && !g.out.Equal(d.out) {
		if len(g.steps) > 0 || !fits(g.out, d.out) {
			return nil, fmt.Errorf("examples are %v, want %v", g.out, d.out)
		}
		g.out = d.out
	}
	return g, nil
}

// row prepares one row.
func (g *gate) row(dst, src []float32, in tensor.Shape) error {
	if len(g.steps) == 0 {
		copy(dst, src)
		return nil
	}
	for i, b := range g.steps {
		to := dst
		shape := shapeOut(b, in)
		if i < len(g.steps)-1 {
			to = make([]float32, shape.Size())
		}
		if err := b.Apply(to, src, in); err != nil {
			return err
		}
		src, in = to, shape
	}
	return dataset.BadNumber(dst, dataset.Numbered)
}

// entered are the rows of a reader behind the door.
type entered struct {
	*gate
	in               tensor.Shape
	from             dataset.Reader
	images           dataset.Varied // nil: rows have the shape in
	factor           factor
	extent, prepared *extent // of raw rows and of those that come out; nil: not watched
	learns           bool    // from rows that are watched
	units            func([]float32) error
	domains          *dataset.Domains // of rows that are no table's; nil: any numbers
	raw              []float32
	row              int
}

// Example implements dataset.Entered.
func (e *entered) Example() tensor.Shape { return e.out }

// Next implements dataset.Entered.
func (e *entered) Next(dst []float32) error {
	raw, shape, err := e.next()
	var bad *dataset.RowError
	if err != nil && !errors.As(err, &bad) {
		return err
	}
	e.row++
	if err != nil {
		return err
	}
	if err := e.factor.dim(raw); err != nil {
		return &dataset.RowError{Source: e.name(), Row: e.row - 1, Err: err}
	}
	e.factor.apply(raw)
	if e.domains != nil {
		if err := e.domains.Take(raw); err != nil {
			return &dataset.RowError{Source: e.name(), Row: e.row - 1, Err: err}
		}
	}
	if e.learns {
		e.extent.add(raw)
	}
	if err := e.units(raw); err != nil {
		return &dataset.RowError{Source: e.name(), Row: e.row - 1, Err: err}
	}
	if err := e.gate.row(dst, raw, shape); err != nil {
		return &dataset.RowError{Source: e.name(), Row: e.row - 1, Err: err}
	}
	if e.prepared != nil && (e.learns || e.extent == nil) {
		e.prepared.add(dst)
	}
	return nil
}

// Watch implements dataset.Watcher.
func (e *entered) Watch(on bool) bool {
	e.learns = on && e.extent != nil
	return e.extent != nil
}

// next is the next raw row and its shape.
func (e *entered) next() ([]float32, tensor.Shape, error) {
	if e.images == nil {
		if e.raw == nil {
			if e.from.Count() == 0 {
				return nil, nil, e.from.Next(nil) // an example's size is but a claim
			}
			e.raw = make([]float32, e.in.Size())
		}
		return e.raw, e.in, e.from.Next(e.raw)
	}
	data, size, err := e.images.NextImage()
	if err != nil {
		return nil, nil, err
	}
	shape := tensor.Shape(size[:])
	if fits(shape, e.in) {
		return data, shape, nil
	}
	if e.spreads(shape) {
		e.raw = e.raw[:0]
		for _, v := range data {
			e.raw = append(e.raw, v, v, v)
		}
		return e.raw, tensor.Shape{shape[0], shape[1], 3}, nil
	}
	return nil, nil, e.unfit(e.row, shape)
}

// spreads reports whether an image is grey among coloured ones: it has three equal
// channels then.
func (e *entered) spreads(shape tensor.Shape) bool {
	return e.in[2] == 3 && shape[2] == 1 && fits(tensor.Shape{shape[0], shape[1], 3}, e.in)
}

// Fits implements dataset.Sized.
func (e *entered) Fits(row int, size [3]int) error {
	shape := tensor.Shape(size[:])
	if e.images == nil || fits(shape, e.in) || e.spreads(shape) {
		return nil
	}
	return e.unfit(row, shape)
}

// unfit is the error of an image of another shape.
func (e *entered) unfit(row int, shape tensor.Shape) error {
	cure := "resize in data.prepare brings images to one size"
	if shape[0] == e.in[0] && shape[1] == e.in[1] {
		cure = "color in data.prepare brings images to one number of channels"
	}
	return &dataset.RowError{Source: e.name(), Row: row, Err: fmt.Errorf("an image of %v, want %v: %s", shape, e.in, cure)}
}

// name is what the reader calls itself, for errors.
func (e *entered) name() string {
	if n, ok := e.from.(interface{ SourceName() string }); ok {
		return n.SourceName()
	}
	return "data"
}

// Prepared is the door's way in for rows that are prepared already.
type Prepared struct{ Door *Door }

// Raw implements dataset.Door.
func (p Prepared) Raw() tensor.Shape { return p.Door.out }

// Enter implements dataset.Door.
func (p Prepared) Enter(r dataset.Reader) (dataset.Entered, error) {
	out := p.Door.out
	if out == nil {
		out = r.Example()
	}
	if !fits(r.Example(), out) {
		return nil, fmt.Errorf("examples are %v, want prepared ones of %v", r.Example(), out)
	}
	return &entered{gate: &gate{out: out}, in: out, from: r, factor: factor{1, 1}, units: func([]float32) error { return nil }}, nil
}
