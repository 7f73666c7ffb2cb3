package results

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// PartFormat is the name of the format that Part reads.
const PartFormat = "parquet"

// Part reads back results that were written as PartFormat, row by row, to be
// written again. It is owned by one goroutine.
type Part struct {
	meta    Meta
	file    *parquet.File
	columns map[string]int
	kinds   []dataset.CellKind // of Meta.Keep
	written map[int]bool       // of Meta.Keep: texts that are numbers written out
	groups  []parquet.RowGroup // that are not read yet
	rows    parquet.Rows
	buf     []parquet.Row
	at, end int
}

// partRows is how many rows are decoded at a time.
const partRows = 64

// OpenPart opens a file of results of size bytes. It does not close r. A file
// that is none is an error.
func OpenPart(r io.ReaderAt, size int64) (p *Part, err error) {
	defer corrupt(&err)
	f, err := parquet.OpenFile(r, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, err
	}
	p = &Part{file: f, columns: map[string]int{}, groups: f.RowGroups(), buf: make([]parquet.Row, partRows)}
	text, ok := f.Lookup(metaKey)
	if !ok {
		return nil, errors.New("no results of vaeguard: the metadata have no " + metaKey)
	}
	if err := json.Unmarshal([]byte(text), &p.meta); err != nil {
		return nil, fmt.Errorf("metadata %s: %w", metaKey, err)
	}
	for i, path := range f.Schema().Columns() {
		p.columns[path[0]] = i
	}
	for _, name := range append([]string{"index", "is_adversarial", "predicted", "error"}, p.meta.Keep...) {
		if _, ok := p.columns[name]; !ok {
			return nil, fmt.Errorf("no column %q", name)
		}
	}
	for _, name := range p.meta.Keep {
		fields := f.Schema().Fields()
		typ := fields[slices.IndexFunc(fields, func(c parquet.Field) bool { return c.Name() == name })].Type()
		kind := dataset.CellNumber
		switch typ.Kind() {
		case parquet.ByteArray:
			kind = dataset.CellText
		case parquet.Int64:
			kind = dataset.CellInteger
			if l := typ.LogicalType(); l != nil {
				if i, ok := l.Value.(*format.IntType); ok && !i.IsSigned {
					kind = dataset.CellUnsigned
				}
			}
		}
		p.kinds = append(p.kinds, kind)
	}
	return p, nil
}

// corrupt turns a panic of the decoder over a damaged file into an error.
func corrupt(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("damaged file: %.200v", p)
	}
}

// Meta is what the file says of the detector.
func (p *Part) Meta() Meta { return p.meta }

// Kinds are those of the columns of Meta.Keep.
func (p *Part) Kinds() []dataset.CellKind { return p.kinds }

// AsNumbers says that a kept column of text has numbers, written out: the writer of the
// part had to settle its kind before the first of them came.
func (p *Part) AsNumbers(j int) {
	if p.kinds[j] != dataset.CellText {
		return
	}
	if p.written == nil {
		p.written = map[int]bool{}
	}
	p.written[j] = true
}

// Close releases the rows at hand.
func (p *Part) Close() (err error) {
	defer corrupt(&err)
	if p.rows == nil {
		return nil
	}
	return p.rows.Close()
}

// Copy writes the next n rows to w, which numbers them first, first+1, …. shapes
// are those of the parts that o.Include names, by their names, for formats that
// nest them. Fewer rows are io.ErrUnexpectedEOF.
func (p *Part) Copy(w Writer, first, n int, o Options, shapes map[string]tensor.Shape) (err error) {
	defer corrupt(&err)
	for n > 0 {
		if err := p.fill(); err != nil {
			return err
		}
		m := min(n, p.end-p.at)
		if err := p.write(w, first, p.buf[p.at:p.at+m], o, shapes); err != nil {
			return err
		}
		p.at, first, n = p.at+m, first+m, n-m
	}
	return nil
}

// fill decodes rows unless some are left.
func (p *Part) fill() error {
	for p.at == p.end {
		if p.rows == nil {
			if len(p.groups) == 0 {
				return io.ErrUnexpectedEOF
			}
			p.rows, p.groups = p.groups[0].Rows(), p.groups[1:]
		}
		n, err := p.rows.ReadRows(p.buf)
		p.at, p.end = 0, n
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if n == 0 {
			rows := p.rows
			p.rows = nil
			if err := rows.Close(); err != nil {
				return err
			}
		}
	}
	return nil
}

// write hands rows to w: those that could not be scored one by one, others
// together.
func (p *Part) write(w Writer, first int, rows []parquet.Row, o Options, shapes map[string]tensor.Shape) error {
	for len(rows) > 0 {
		if text := p.text(rows[0], "error"); text != "" {
			if err := w.Bad(first, p.trace(rows[0]), errors.New(text)); err != nil {
				return err
			}
			first, rows = first+1, rows[1:]
			continue
		}
		n := 1
		for n < len(rows) && p.text(rows[n], "error") == "" {
			n++
		}
		traces := make([]dataset.Trace, n)
		for i := range traces {
			traces[i] = p.trace(rows[i])
		}
		if err := w.Batch(first, p.result(rows[:n], o, shapes), traces); err != nil {
			return err
		}
		first, rows = first+n, rows[n:]
	}
	return nil
}

// value is that of a column in a row; null where the column does not exist.
func (p *Part) value(row parquet.Row, name string) parquet.Value {
	at, ok := p.columns[name]
	if !ok {
		return parquet.NullValue()
	}
	for _, v := range row {
		if v.Column() == at {
			return v
		}
	}
	return parquet.NullValue()
}

func (p *Part) text(row parquet.Row, name string) string {
	v := p.value(row, name)
	if v.IsNull() {
		return ""
	}
	return string(v.ByteArray())
}

func (p *Part) trace(row parquet.Row) dataset.Trace {
	t := dataset.Trace{File: p.text(row, "file"), Kept: make([]dataset.Cell, len(p.meta.Keep))}
	if !slices.Contains(p.meta.Keep, "id") {
		t.ID = p.text(row, "id")
	}
	for j, name := range p.meta.Keep {
		v := p.value(row, name)
		switch {
		case v.IsNull():
		case p.written[j]:
			t.Kept[j] = numberCell(string(v.ByteArray()))
		case p.kinds[j] == dataset.CellText:
			t.Kept[j] = dataset.Cell{Kind: dataset.CellText, Text: string(v.ByteArray())}
		case p.kinds[j] == dataset.CellInteger:
			t.Kept[j] = wholeCell(float64(v.Int64()), strconv.FormatInt(v.Int64(), 10))
		case p.kinds[j] == dataset.CellUnsigned:
			t.Kept[j] = wholeCell(float64(v.Uint64()), strconv.FormatUint(v.Uint64(), 10))
		default:
			t.Kept[j] = dataset.Cell{Kind: dataset.CellNumber, Number: v.Double()}
		}
	}
	return t
}

// numberCell is a number that was written out; text that is none stays text.
func numberCell(text string) dataset.Cell {
	v, err := strconv.ParseFloat(text, 64)
	switch {
	case text == "true":
		v = 1
	case text == "false":
	case err != nil && !errors.Is(err, strconv.ErrRange):
		return dataset.Cell{Kind: dataset.CellText, Text: text}
	}
	return wholeCell(v, text)
}

// wholeCell is a whole number, with its digits where float64 does not hold it.
func wholeCell(v float64, digits string) dataset.Cell {
	c := dataset.Cell{Kind: dataset.CellNumber, Number: v, Text: digits}
	if !isLonger(c) {
		c.Text = ""
	}
	return c
}

// result is what a detector said of the rows.
func (p *Part) result(rows []parquet.Row, o Options, shapes map[string]tensor.Shape) *detect.Result {
	r := &detect.Result{Adversarial: make([]bool, len(rows)), NotFinite: make([]bool, len(rows))}
	for i, row := range rows {
		r.Adversarial[i] = p.value(row, "is_adversarial").Int64() != 0
	}
	integers := func(name string) []int {
		out := make([]int, len(rows))
		for i, row := range rows {
			out[i] = int(p.value(row, name).Int64())
		}
		return out
	}
	numbers := func(name string) []float64 {
		if p.value(rows[0], name).IsNull() {
			return nil
		}
		out := make([]float64, len(rows))
		for i, row := range rows {
			out[i] = p.value(row, name).Double()
		}
		return out
	}
	r.Predicted, r.Reconstructed, r.Corrected = integers("predicted"), integers("reconstructed"), integers("corrected")
	r.Score, r.PValue = numbers("instance_score"), numbers("p_value")
	for i := range r.Score {
		r.NotFinite[i] = math.IsInf(r.Score[i], 1)
	}
	lists := func(wanted bool, name string) *tensor.Tensor {
		if !wanted {
			return nil
		}
		return p.lists(rows, name, shapes[name])
	}
	if o.Include.CertifiedRadius {
		r.CertifiedRadius = numbers("certified_radius")
	}
	r.Probabilities = lists(o.Include.Probabilities, "probabilities")
	r.ProbabilitiesReconstructed = lists(o.Include.ProbabilitiesReconstructed, "probabilities_reconstructed")
	r.Reconstruction, r.Latent = lists(o.Include.Reconstruction, "reconstruction"), lists(o.Include.Latent, "latent")
	return r
}

// lists are those of a column, NaN where there is none; nil where no row has one.
func (p *Part) lists(rows []parquet.Row, name string, shape tensor.Shape) *tensor.Tensor {
	at := p.columns[name]
	numbers := make([][]float32, len(rows))
	size := shape.Size()
	if shape == nil {
		size = 0
	}
	for i, row := range rows {
		for _, v := range row {
			if v.Column() == at && !v.IsNull() {
				numbers[i] = append(numbers[i], v.Float())
			}
		}
		size = max(size, len(numbers[i]))
	}
	if size == 0 {
		return nil
	}
	if shape == nil || shape.Size() != size {
		shape = tensor.Shape{size}
	}
	out := tensor.Batch(len(rows), shape)
	for i, list := range numbers {
		to := out.Row(i)
		if list == nil {
			for k := range to {
				to[k] = float32(math.NaN())
			}
		}
		copy(to, list)
	}
	return out
}
