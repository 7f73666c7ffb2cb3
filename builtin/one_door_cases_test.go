package builtin_test

import (
	"bytes"
	"encoding/binary"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/parquet-go/parquet-go"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/signature"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// doorColumn is a column of a random table.
type doorColumn struct {
	name       string
	categories []string // nil: numbers
	missing    string   // what fills it in, "" if none may be missing
	integer    bool
	values     []float64 // codes of categories; NaN: missing
}

// cell is a value as text.
func (c doorColumn) cell(i int) string {
	switch v := c.values[i]; {
	case math.IsNaN(v):
		return ""
	case c.categories != nil:
		return c.categories[int(v)]
	default:
		return strconv.FormatFloat(float64(float32(v)), 'g', -1, 32)
	}
}

// number is a value as an array of numbers has it: that of a category where it is one.
func (c doorColumn) number(i int) float32 {
	if v, err := strconv.ParseFloat(c.cell(i), 32); err == nil && c.categories != nil {
		return float32(v)
	}
	return float32(c.values[i])
}

// doorTable is a random table: its columns, classes and what is no feature.
type doorTable struct {
	columns []doorColumn
	classes []int
	names   []string
	named   bool // files have names
	r       *rand.Rand
}

func newTableCase(r *rand.Rand) *doorCase {
	t := &doorTable{r: r, named: r.IntN(4) > 0, names: [][]string{{"no", "yes"}, {"ham", "eggs", "spam"}}[r.IntN(2)]}
	n := 3 * partRows
	for i := range n {
		t.classes = append(t.classes, i%len(t.names))
	}
	c := &doorCase{trained: func(string) {}}
	columns := ""
	note := func(step string) {
		if !slices.Contains(c.steps, step) {
			c.steps = append(c.steps, step)
		}
	}
	for j := range 2 + r.IntN(4) {
		col := doorColumn{name: fmt.Sprintf("f%d", j)}
		rule := ""
		switch kind := r.IntN(4); {
		case kind == 2: // numbers, which their values say and not their places
			col.categories = [][]string{{"1", "2", "3"}, {"0.1", "-4", "30"}}[r.IntN(2)][:2+r.IntN(2)]
			rule = "categories: [" + strings.Join(col.categories, ", ") + "]"
			note("categories")
		case kind == 0 && t.named:
			col.categories = []string{"red", "green", "blue"}[:2+r.IntN(2)]
			rule = "categories: [" + strings.Join(col.categories, ", ") + "]"
			note("categories")
		case kind == 1 && t.named:
			col.integer, rule = true, "integer: true"
		}
		gaps := r.IntN(3) == 0
		if gaps {
			fills := []string{"median", "mean", "most_frequent", "3"}
			if col.categories != nil {
				fills = []string{"most_frequent", col.categories[0]}
			}
			if col.integer {
				fills = []string{"most_frequent", "3"}
			}
			col.missing = fills[r.IntN(len(fills))]
			rule = strings.TrimPrefix(rule+", missing: "+col.missing, ", ")
			note("missing")
		}
		for i := range n {
			v := r.NormFloat64()*10 + 20*float64(t.classes[i])
			switch {
			case col.categories != nil:
				v = float64((t.classes[i] + r.IntN(2)) % len(col.categories))
			case col.integer:
				v = math.Round(v)
			default:
				v = float64(float32(v))
			}
			if gaps && r.IntN(8) == 0 {
				v = math.NaN()
			}
			col.values = append(col.values, v)
		}
		if gaps && col.categories == nil { // there is something to learn from
			col.values[0] = 1
		}
		if rule != "" {
			key := col.name
			if !t.named {
				key = strconv.Quote(strconv.Itoa(j)) // columns without names go by their places
			}
			columns += fmt.Sprintf("    %s: {%s}\n", key, rule)
		}
		t.columns = append(t.columns, col)
	}
	if columns != "" {
		columns = "  columns:\n" + columns
	}
	width := 0
	for _, col := range t.columns {
		width += max(1, len(col.categories))
	}
	prepare := ""
	if r.IntN(2) == 0 {
		prepare += "    - rescale: {scale: 0.125, offset: -0.5}\n"
		note("rescale")
	} else if r.IntN(2) == 0 {
		var scales []string
		for range width {
			scales = append(scales, fmt.Sprintf("%.2f", .1+r.Float64()))
		}
		prepare += "    - rescale: {scale: [" + strings.Join(scales, ", ") + "]}\n"
		note("rescale")
	}
	if r.IntN(2) == 0 {
		prepare += "    - standard\n"
		note("standard")
	}
	if prepare != "" {
		prepare = "  prepare:\n" + prepare
	}
	c.spec = doorSpec("{hidden: [4]}", "mlp", columns+prepare, width)
	if t.named {
		c.named = true
		c.formats = []string{"csv", "csv in another order", "parquet", "jsonl", "json", "arrow"}
	} else {
		c.formats = []string{"npy", "npz", "csv without header", "jsonl arrays"}
	}
	c.write = t.write
	c.raw = t.raw
	return c
}

// doorSpec is a spec for rows of so many numbers.
func doorSpec(config, plugin, data string, width int) string {
	return `api_version: vaeguard/v1
kind: Experiment
name: door
seed: 3
data:
  train: %s
  calibration: %s
  test: %s
` + data + `classifier: {plugin: ` + plugin + `, config: ` + config + `, train: {epochs: 1, batch_size: 20}}
vae:
  latent_dim: 2
  encoder: [{flatten: {}}, {dense: {units: 4, activation: tanh}}]
  decoder: [{dense: {units: ` + strconv.Itoa(width) + `}}]
detector: {samples: 2}
train: {epochs: 1, batch_size: 20}
threshold: {fpr: 0.2}
attacks: [{fgsm: {eps: 0.1}}]
`
}

func (t *doorTable) raw(s signature.Signature, from, to int) *tensor.Tensor {
	x := tensor.New(to-from, len(t.columns))
	for i := from; i < to; i++ {
		for j := range t.columns {
			c := t.columns[j]
			if t.named && s.Named() { // in the order of train's file
				c = t.columns[slices.IndexFunc(t.columns, func(c doorColumn) bool { return c.name == s.Features[j].Name })]
			}
			x.Row(i - from)[j] = c.number(i)
		}
	}
	return x
}

// write writes rows from ≤ i < to, and says how a spec has them.
func (t *doorTable) write(dir, format string, from, to int, label bool) (path, source string, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", "", err
	}
	stem := filepath.Join(dir, fmt.Sprintf("%s-%d-%t", strings.ReplaceAll(format, " ", "-"), from, label))
	order := make([]int, len(t.columns))
	for j := range order {
		order[j] = j
	}
	if format != "csv" && t.named { // by names the order is no matter
		t.r.Shuffle(len(order), func(a, b int) { order[a], order[b] = order[b], order[a] })
	}
	if !t.named {
		return t.writeBare(dir, stem, format, from, to, label)
	}
	source = "{file: %s, label: class, id: key}"
	switch format {
	case "csv", "csv in another order":
		var b bytes.Buffer
		w := csv.NewWriter(&b)
		head := []string{"key"}
		for _, j := range order {
			head = append(head, t.columns[j].name)
		}
		if label {
			head = append(head, "class")
		}
		_ = w.Write(head)
		for i := from; i < to; i++ {
			line := []string{fmt.Sprintf("row%d", i)}
			for _, j := range order {
				line = append(line, t.columns[j].cell(i))
			}
			if label {
				line = append(line, t.names[t.classes[i]])
			}
			_ = w.Write(line)
		}
		w.Flush()
		path, err = stem+".csv", os.WriteFile(stem+".csv", b.Bytes(), 0o600)
	case "jsonl", "json":
		var lines [][]byte
		for i := from; i < to; i++ {
			m := map[string]any{"key": fmt.Sprintf("row%d", i)}
			for _, j := range order {
				switch c := t.columns[j]; {
				case math.IsNaN(c.values[i]):
					m[c.name] = nil
				case c.categories != nil:
					m[c.name] = c.cell(i)
				default:
					m[c.name] = c.values[i]
				}
			}
			if label {
				m["class"] = t.names[t.classes[i]]
			}
			line, err := json.Marshal(m)
			if err != nil {
				return "", "", err
			}
			lines = append(lines, line)
		}
		text := append(bytes.Join(lines, []byte("\n")), '\n')
		if path = stem + ".jsonl"; format == "json" {
			path, text = stem+".json", slices.Concat([]byte("["), bytes.Join(lines, []byte(",\n")), []byte("]"))
		}
		err = os.WriteFile(path, text, 0o600)
	case "arrow":
		path, err = stem+".arrow", t.writeArrow(stem+".arrow", order, from, to, label)
	case "parquet":
		path, err = stem+".parquet", t.writeParquet(stem+".parquet", from, to, label)
	}
	return path, fmt.Sprintf(source, path), err
}

// writeBare writes rows without names, labels beside them.
func (t *doorTable) writeBare(dir, stem, format string, from, to int, label bool) (path, source string, err error) {
	x := t.raw(signature.Signature{}, from, to)
	y := make([]string, 0, to-from)
	for i := from; i < to; i++ {
		y = append(y, t.names[t.classes[i]])
	}
	labels := filepath.Join(dir, "y.npy")
	if label {
		if filepath.Base(dir) != "labelled" {
			labels = stem + "-y.npy"
		}
		var b bytes.Buffer
		if err := dataset.WriteNPY(&b, dataset.Array{Shape: tensor.Shape{len(y)}, Data: y}); err != nil {
			return "", "", err
		}
		if err := os.WriteFile(labels, b.Bytes(), 0o600); err != nil {
			return "", "", err
		}
	}
	var b bytes.Buffer
	switch format {
	case "npy":
		path, source = stem+".npy", "{file: %s, labels: "+labels+"}"
		err = dataset.WriteNPY(&b, dataset.Array{Shape: x.Shape, Data: x.Data})
	case "npz":
		path, source = stem+".npz", "{file: %s, labels: "+labels+"}"
		err = dataset.WriteNPZ(&b, []dataset.Array{{Name: "x", Shape: x.Shape, Data: x.Data}})
	case "csv without header":
		path, source = stem+".csv", fmt.Sprintf("{file: %%s, header: false, label: %q}", strconv.Itoa(x.Stride()))
		for i := range x.N() {
			for j := range x.Row(i) {
				fmt.Fprintf(&b, "%s,", t.columns[j].cell(from+i))
			}
			if !label {
				b.Truncate(b.Len() - 1)
			} else {
				b.WriteString(y[i])
			}
			b.WriteByte('\n')
		}
	case "jsonl arrays":
		path, source = stem+".jsonl", "{file: %s, labels: "+labels+"}"
		for i := range x.N() {
			var cells []string
			for j := range x.Row(i) {
				if cells = append(cells, t.columns[j].cell(from+i)); cells[j] == "" {
					cells[j] = "null"
				}
			}
			b.WriteString("[" + strings.Join(cells, ", ") + "]\n")
		}
	}
	if err == nil {
		err = os.WriteFile(path, b.Bytes(), 0o600)
	}
	return path, fmt.Sprintf(source, path), err
}

func (t *doorTable) writeArrow(path string, order []int, from, to int, label bool) error {
	fields := []arrow.Field{{Name: "key", Type: arrow.BinaryTypes.String}}
	for _, j := range order {
		c := t.columns[j]
		f := arrow.Field{Name: c.name, Type: arrow.PrimitiveTypes.Float64, Nullable: true}
		if c.categories != nil {
			f.Type = arrow.BinaryTypes.String
		}
		fields = append(fields, f)
	}
	if label {
		fields = append(fields, arrow.Field{Name: "class", Type: arrow.BinaryTypes.String})
	}
	schema := arrow.NewSchema(fields, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	for i := from; i < to; i++ {
		b.Field(0).(*array.StringBuilder).Append(fmt.Sprintf("row%d", i))
		for k, j := range order {
			c := t.columns[j]
			switch f := b.Field(k + 1).(type) {
			case *array.StringBuilder:
				if math.IsNaN(c.values[i]) {
					f.AppendNull()
				} else {
					f.Append(c.cell(i))
				}
			case *array.Float64Builder:
				if math.IsNaN(c.values[i]) {
					f.AppendNull()
				} else {
					f.Append(c.values[i])
				}
			}
		}
		if label {
			b.Field(len(fields) - 1).(*array.StringBuilder).Append(t.names[t.classes[i]])
		}
	}
	batch := b.NewRecordBatch()
	defer batch.Release()
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	w, err := ipc.NewFileWriter(f, ipc.WithSchema(schema))
	if err != nil {
		return err
	}
	if err := w.Write(batch); err != nil {
		return err
	}
	return w.Close()
}

func (t *doorTable) writeParquet(path string, from, to int, label bool) error {
	names := []string{"key"}
	group := parquet.Group{"key": parquet.String()}
	for _, c := range t.columns {
		names = append(names, c.name)
		group[c.name] = parquet.Optional(parquet.Leaf(parquet.DoubleType))
		if c.categories != nil {
			group[c.name] = parquet.Optional(parquet.String())
		}
	}
	if label {
		group["class"] = parquet.String()
	}
	if label {
		names = append(names, "class")
	}
	slices.Sort(names) // as the schema has them
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	w := parquet.NewWriter(f, parquet.NewSchema("rows", group))
	for i := from; i < to; i++ {
		var row parquet.Row
		for at, name := range names {
			j := slices.IndexFunc(t.columns, func(c doorColumn) bool { return c.name == name })
			switch {
			case name == "key":
				row = append(row, parquet.ValueOf(fmt.Sprintf("row%d", i)).Level(0, 0, at))
			case name == "class":
				row = append(row, parquet.ValueOf(t.names[t.classes[i]]).Level(0, 0, at))
			case math.IsNaN(t.columns[j].values[i]):
				row = append(row, parquet.NullValue().Level(0, 0, at))
			case t.columns[j].categories != nil:
				row = append(row, parquet.ValueOf(t.columns[j].cell(i)).Level(0, 1, at))
			default:
				row = append(row, parquet.ValueOf(t.columns[j].values[i]).Level(0, 1, at))
			}
		}
		if _, err := w.WriteRows([]parquet.Row{row}); err != nil {
			return err
		}
	}
	return w.Close()
}

// doorImages are random images of bytes.
type doorImages struct {
	h, w, c int // 0: each image its own height and width
	images  []*image.NRGBA
	classes []int
	names   []string
	nchw    bool
}

func newImageCase(r *rand.Rand) *doorCase {
	m := &doorImages{h: 4 + r.IntN(4), w: 4 + r.IntN(4), c: 1 + 2*r.IntN(2), names: []string{"cat", "dog"}}
	c := &doorCase{formats: []string{"folder", "npy", "npz"}, write: m.write, raw: m.raw, trained: func(f string) { m.nchw = m.nchw && strings.HasPrefix(f, "np") }}
	varied := r.IntN(4) == 0
	m.nchw = !varied && r.IntN(3) == 0
	for i := range 3 * partRows {
		class := i % 2
		h, w := m.h, m.w
		if varied && i > 0 {
			h, w = h+r.IntN(4), w+r.IntN(4)
		}
		im := image.NewNRGBA(image.Rect(0, 0, w, h))
		for p := range h * w {
			v := [3]uint8{}
			for k := range v {
				v[k] = uint8(r.IntN(128) + 100*class)
			}
			if m.c == 1 {
				v[1], v[2] = v[0], v[0]
			}
			im.SetNRGBA(p%w, p/w, color.NRGBA{v[0], v[1], v[2], 255})
		}
		m.images, m.classes = append(m.images, im), append(m.classes, class)
	}
	h, w, channels := m.h, m.w, m.c
	prepare := ""
	if varied || r.IntN(2) == 0 {
		h, w = 3+r.IntN(3), 3+r.IntN(3)
		prepare += fmt.Sprintf("    - resize: {height: %d, width: %d, method: %s}\n", h, w, []string{"area", "bilinear", "bicubic"}[r.IntN(3)])
		c.steps = append(c.steps, "resize")
	}
	if r.IntN(2) == 0 {
		mode := []string{"rgb", "grey"}[r.IntN(2)]
		prepare += "    - color: " + mode + "\n"
		channels = map[string]int{"rgb": 3, "grey": 1}[mode]
		c.steps = append(c.steps, "color")
	}
	if r.IntN(2) == 0 {
		scale := "0.5"
		if channels == 3 {
			scale = "[0.5, 0.25, 0.125]"
		}
		prepare += "    - rescale: {scale: " + scale + ", offset: 0.125}\n"
		c.steps = append(c.steps, "rescale")
	}
	if r.IntN(3) == 0 {
		prepare += "    - standard\n"
		c.steps = append(c.steps, "standard")
	}
	if prepare != "" {
		prepare = "  prepare:\n" + prepare
	}
	if m.nchw {
		c.steps = append(c.steps, "layout")
	}
	if m.c == 1 && !varied {
		c.formats = append(c.formats, "idx")
	}
	if varied {
		c.formats, c.raw = []string{"folder"}, nil
	}
	c.spec = doorSpec("{filters: [2], hidden: [4]}", "cnn", prepare, h*w*channels)
	c.spec = strings.Replace(c.spec, "}}]\ndetector", fmt.Sprintf("}}, {reshape: {target_shape: [%d, %d, %d]}}]\ndetector", h, w, channels), 1)
	return c
}

// pixels are the bytes of an image, (height, width, channels).
func (m *doorImages) pixels(i int) []byte {
	im := m.images[i]
	var out []byte
	for p := 0; p < len(im.Pix); p += 4 {
		out = append(out, im.Pix[p:p+m.c]...)
	}
	return out
}

// stored are the bytes of an image as arrays have them.
func (m *doorImages) stored(i int) []byte {
	px := m.pixels(i)
	if !m.nchw {
		return px
	}
	out := make([]byte, 0, len(px))
	for k := range m.c {
		for p := k; p < len(px); p += m.c {
			out = append(out, px[p])
		}
	}
	return out
}

func (m *doorImages) shape(n int) tensor.Shape {
	if m.nchw {
		return tensor.Shape{n, m.c, m.h, m.w}
	}
	return tensor.Shape{n, m.h, m.w, m.c}
}

// raw is in the units of train's rows, whose white is known.
func (m *doorImages) raw(s signature.Signature, from, to int) *tensor.Tensor {
	var data []float32
	for i := from; i < to; i++ {
		for _, v := range m.stored(i) {
			if s.White == 1 {
				data = append(data, float32(v)/255)
			} else {
				data = append(data, float32(v))
			}
		}
	}
	return tensor.From(data, m.shape(to-from)...)
}

func (m *doorImages) write(dir, format string, from, to int, label bool) (path, source string, err error) {
	stem := filepath.Join(dir, fmt.Sprintf("%s-%d-%t", format, from, label))
	if err := os.MkdirAll(stem, 0o755); err != nil {
		return "", "", err
	}
	if format == "folder" {
		for i := from; i < to; i++ {
			at := stem
			if label {
				at = filepath.Join(stem, m.names[m.classes[i]])
			}
			if err := os.MkdirAll(at, 0o755); err != nil {
				return "", "", err
			}
			var b bytes.Buffer
			var im image.Image = m.images[i]
			if m.c == 1 {
				g := image.NewGray(im.Bounds())
				copy(g.Pix, m.pixels(i))
				im = g
			}
			if err := png.Encode(&b, im); err != nil {
				return "", "", err
			}
			if err := os.WriteFile(filepath.Join(at, fmt.Sprintf("%03d.png", i)), b.Bytes(), 0o600); err != nil {
				return "", "", err
			}
		}
		return stem, "{folder: " + stem + "}", nil
	}
	labels := stem + "-y.npy"
	if filepath.Base(dir) == "labelled" {
		labels = filepath.Join(dir, "y.npy")
	}
	var y []string
	var data []byte
	for i := from; i < to; i++ {
		y = append(y, m.names[m.classes[i]])
		data = append(data, m.stored(i)...)
	}
	var b bytes.Buffer
	if err := dataset.WriteNPY(&b, dataset.Array{Shape: tensor.Shape{len(y)}, Data: y}); err != nil {
		return "", "", err
	}
	if err := os.WriteFile(labels, b.Bytes(), 0o600); err != nil {
		return "", "", err
	}
	b.Reset()
	layout := ""
	if m.nchw {
		layout = ", layout: nchw"
	}
	source = "{file: %s, labels: " + labels + layout + "}"
	switch format {
	case "npy":
		path = stem + ".npy"
		err = dataset.WriteNPY(&b, dataset.Array{Shape: m.shape(to - from), Data: data})
	case "npz":
		path = stem + ".npz"
		err = dataset.WriteNPZ(&b, []dataset.Array{{Name: "x", Shape: m.shape(to - from), Data: data}})
	case "idx":
		path, source = stem+"-idx3-ubyte", "{idx: %s, labels: "+labels+"}"
		b.Write([]byte{0, 0, 8, 3})
		for _, n := range []int{to - from, m.h, m.w} {
			_ = binary.Write(&b, binary.BigEndian, uint32(n))
		}
		b.Write(data)
	}
	if err == nil {
		err = os.WriteFile(path, b.Bytes(), 0o600)
	}
	return path, fmt.Sprintf(source, path), err
}
