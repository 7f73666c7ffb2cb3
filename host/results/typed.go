package results

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/detect"
)

const (
	// mostWaiting bounds the rows that wait until the kinds of all kept columns
	// are known. A column that has no value in them is text.
	mostWaiting = 1024
	// A group of rows is written when it has so many, or so many bytes of lists
	// and texts.
	groupRows  = 1 << 16
	groupBytes = 16 << 20
	// metaKey is the key of Meta, as JSON, in the metadata of a schema.
	metaKey = "vaeguard"
)

// sink is a file of record batches.
type sink interface {
	// start is called once, first.
	start(w io.Writer, s *arrow.Schema) error
	write(r arrow.RecordBatch) error
	close() error
}

// typedResults writes rows as typed columns of Arrow. index is int64, classes
// and is_adversarial (0 or 1) are int64, scores float64, names and error utf8,
// parts lists of float32 in C order, kept columns float64 or utf8 by their first
// value. All but index are null where nothing is known.
type typedResults struct {
	o    Options
	w    io.Writer
	sink sink
	live bool // a batch is written as it comes, and not in groups

	waiting []row // until the columns are settled
	fields  []typedField
	builder *array.RecordBuilder // nil until then
	rows    int                  // in builder
	bytes   int
}

// typedField is one column: how it appends the value of a row.
type typedField struct {
	arrow.Field
	add func(array.Builder, *row) error
}

func (t *typedResults) Batch(first int, r *detect.Result, traces []dataset.Trace) error {
	return t.add(t.o.rowsOf(first, r, traces)...)
}

func (t *typedResults) Bad(index int, trace dataset.Trace, bad error) error {
	return t.add(t.o.badRow(index, trace, bad))
}

func (t *typedResults) Close() error {
	if err := t.settle(); err != nil {
		return err
	}
	defer t.builder.Release()
	if err := t.flush(); err != nil {
		return err
	}
	return t.sink.close()
}

func (t *typedResults) add(rows ...row) error {
	for i := range rows {
		if t.builder == nil {
			// Its trace is only lent.
			rows[i].kept = append([]dataset.Cell(nil), rows[i].kept...)
			t.waiting = append(t.waiting, rows[i])
			if t.kindsKnown() || len(t.waiting) == mostWaiting {
				if err := t.settle(); err != nil {
					return err
				}
			}
			continue
		}
		if err := t.append(&rows[i]); err != nil {
			return err
		}
	}
	if t.builder != nil && t.live && !t.o.Grouped {
		return t.flush()
	}
	return nil
}

// EndBatch implements Grouping.
func (t *typedResults) EndBatch() error {
	if err := t.settle(); err != nil {
		return err
	}
	return t.write()
}

// kind is that of kept column j: as known, or of its first value among the rows
// that wait.
func (t *typedResults) kind(j int) dataset.CellKind {
	if j < len(t.o.Kinds) && t.o.Kinds[j] != dataset.CellMissing {
		return t.o.Kinds[j]
	}
	for i := range t.waiting {
		c := t.waiting[i].cell(j)
		if LongDigits(c) { // a name in digits
			return dataset.CellText
		}
		if c.Kind != dataset.CellMissing {
			return c.Kind
		}
	}
	return dataset.CellMissing
}

func (t *typedResults) kindsKnown() bool {
	for j := range t.o.Keep {
		if t.kind(j) == dataset.CellMissing {
			return false
		}
	}
	return true
}

// settle fixes the columns, once, and writes the rows that waited for it.
func (t *typedResults) settle() error {
	if t.builder != nil {
		return nil
	}
	t.fields = t.columns()
	fields := make([]arrow.Field, len(t.fields))
	for i, f := range t.fields {
		fields[i] = f.Field
	}
	meta, err := json.Marshal(t.o.Meta)
	if err != nil {
		return err
	}
	about := arrow.NewMetadata([]string{metaKey}, []string{string(meta)})
	schema := arrow.NewSchema(fields, &about)
	if err := t.sink.start(t.w, schema); err != nil {
		return err
	}
	t.builder = array.NewRecordBuilder(memory.DefaultAllocator, schema)
	for i := range t.waiting {
		if err := t.append(&t.waiting[i]); err != nil {
			return err
		}
	}
	t.waiting = nil
	return nil
}

func (t *typedResults) append(r *row) error {
	for i, f := range t.fields {
		if err := f.add(t.builder.Field(i), r); err != nil {
			return fmt.Errorf("row %d: %w", r.Index, err)
		}
	}
	t.rows++
	t.bytes += len(r.ID) + len(r.File) + len(r.Error)
	for _, c := range r.kept {
		t.bytes += len(c.Text)
	}
	for _, p := range []*part{r.Probabilities, r.ProbabilitiesReconstructed, r.Reconstruction, r.Latent} {
		if p != nil {
			t.bytes += 4 * len(p.data)
		}
	}
	if !t.o.Grouped && (t.rows == groupRows || t.bytes >= groupBytes) {
		return t.flush()
	}
	return nil
}

func (t *typedResults) flush() error {
	if t.rows == 0 {
		return nil
	}
	return t.write()
}

// write writes the rows in the builder, also if there are none.
func (t *typedResults) write() error {
	batch := t.builder.NewRecordBatch() // leaves the builder empty
	defer batch.Release()
	t.rows, t.bytes = 0, 0
	return t.sink.write(batch)
}

// columns are those of the file, by the options and the rows that wait.
func (t *typedResults) columns() []typedField {
	first := &row{}
	if len(t.waiting) > 0 {
		first = &t.waiting[0]
	}
	var fields []typedField
	add := func(exists bool, f typedField) {
		if exists {
			fields = append(fields, f)
		}
	}
	labels := len(t.o.Classes) > 0
	index := integers("index", func(r *row) *int { return &r.Index })
	index.Nullable = false
	add(true, index)
	add(t.o.hasID(first), texts("id", func(r *row) string { return r.ID }))
	add(first.File != "", texts("file", func(r *row) string { return r.File }))
	add(true, integers("is_adversarial", func(r *row) *int { return r.Adversarial }))
	add(true, numbers("instance_score", func(r *row) *float64 { return r.Score }))
	add(true, numbers("p_value", func(r *row) *float64 { return r.PValue }))
	add(true, integers("predicted", func(r *row) *int { return r.Predicted }))
	add(labels, texts("predicted_label", func(r *row) string { return r.PredictedLabel }))
	add(true, integers("reconstructed", func(r *row) *int { return r.Reconstructed }))
	add(labels, texts("reconstructed_label", func(r *row) string { return r.ReconstructedLabel }))
	add(true, integers("corrected", func(r *row) *int { return r.Corrected }))
	add(labels, texts("corrected_label", func(r *row) string { return r.CorrectedLabel }))
	in := t.o.Include
	add(in.CertifiedRadius, numbers("certified_radius", func(r *row) *float64 { return r.CertifiedRadius }))
	add(in.Probabilities, lists("probabilities", func(r *row) *part { return r.Probabilities }))
	add(in.ProbabilitiesReconstructed, lists("probabilities_reconstructed", func(r *row) *part { return r.ProbabilitiesReconstructed }))
	add(in.Reconstruction, lists("reconstruction", func(r *row) *part { return r.Reconstruction }))
	add(in.Latent, lists("latent", func(r *row) *part { return r.Latent }))
	add(true, texts("error", func(r *row) string { return r.Error }))
	for j, name := range t.o.Keep {
		add(true, cells(name, j, t.kind(j)))
	}
	return fields
}

func integers(name string, value func(*row) *int) typedField {
	return typedField{arrow.Field{Name: name, Type: arrow.PrimitiveTypes.Int64, Nullable: true}, func(b array.Builder, r *row) error {
		if v := value(r); v != nil {
			b.(*array.Int64Builder).Append(int64(*v))
		} else {
			b.AppendNull()
		}
		return nil
	}}
}

func numbers(name string, value func(*row) *float64) typedField {
	return typedField{arrow.Field{Name: name, Type: arrow.PrimitiveTypes.Float64, Nullable: true}, func(b array.Builder, r *row) error {
		if v := value(r); v != nil {
			b.(*array.Float64Builder).Append(*v)
		} else {
			b.AppendNull()
		}
		return nil
	}}
}

// texts is a column of names: "" is null.
func texts(name string, value func(*row) string) typedField {
	return typedField{arrow.Field{Name: name, Type: arrow.BinaryTypes.String, Nullable: true}, func(b array.Builder, r *row) error {
		if v := value(r); v != "" {
			appendText(b, v)
		} else {
			b.AppendNull()
		}
		return nil
	}}
}

// appendText appends v as the valid UTF-8 that readers insist on.
func appendText(b array.Builder, v string) {
	b.(*array.StringBuilder).Append(strings.ToValidUTF8(v, "\uFFFD"))
}

func lists(name string, value func(*row) *part) typedField {
	return typedField{arrow.Field{Name: name, Type: arrow.ListOf(arrow.PrimitiveTypes.Float32), Nullable: true}, func(b array.Builder, r *row) error {
		list := b.(*array.ListBuilder)
		if v := value(r); v != nil {
			list.Append(true)
			list.ValueBuilder().(*array.Float32Builder).AppendValues(v.data, nil)
		} else {
			list.AppendNull()
		}
		return nil
	}}
}

// cells is kept column j. Numbers in a column of text are written out; text in
// one of numbers is an error, and so is what does not fit into its numbers.
func cells(name string, j int, kind dataset.CellKind) typedField {
	f := typedField{Field: arrow.Field{Name: name, Type: arrow.BinaryTypes.String, Nullable: true}}
	switch kind {
	case dataset.CellNumber:
		f.Type = arrow.PrimitiveTypes.Float64
	case dataset.CellInteger:
		f.Type = arrow.PrimitiveTypes.Int64
	case dataset.CellUnsigned:
		f.Type = arrow.PrimitiveTypes.Uint64
	}
	f.add = func(b array.Builder, r *row) error {
		c := r.cell(j)
		if c.Kind == dataset.CellMissing {
			b.AppendNull()
			return nil
		}
		if text, ok := b.(*array.StringBuilder); ok {
			appendText(text, cellText(c))
			return nil
		}
		if c.Kind == dataset.CellText {
			return fmt.Errorf("kept column %q has the text %.40q after numbers: use %s", name, c.Text, Default(true))
		}
		switch b := b.(type) {
		case *array.Int64Builder:
			v, err := strconv.ParseInt(cellDigits(c), 10, 64)
			if err != nil {
				return fmt.Errorf("kept column %q has %.40q after whole numbers: use %s", name, cellText(c), Default(true))
			}
			b.Append(v)
		case *array.Uint64Builder:
			v, err := strconv.ParseUint(cellDigits(c), 10, 64)
			if err != nil {
				return fmt.Errorf("kept column %q has %.40q after whole numbers: use %s", name, cellText(c), Default(true))
			}
			b.Append(v)
		case *array.Float64Builder:
			if isLonger(c) {
				return fmt.Errorf("kept column %q has %.40q after numbers of fewer digits, and no number of 64 bits is that: use %s", name, c.Text, Default(true))
			}
			b.Append(c.Number)
		}
		return nil
	}
	return f
}

// cellDigits is a whole number without exponent.
func cellDigits(c dataset.Cell) string {
	if c.Text != "" {
		return c.Text
	}
	return strconv.FormatFloat(c.Number, 'f', -1, 64)
}
