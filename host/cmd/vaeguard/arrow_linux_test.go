package main

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// byteImages are batches of digits, a column x of bytes beside one of names, as a
// stream of Arrow.
type byteImages struct {
	schema *arrow.Schema
	seed   uint32
}

func newByteImages() *byteImages {
	return &byteImages{schema: arrow.NewSchema([]arrow.Field{
		{Name: "name", Type: arrow.BinaryTypes.String},
		{Name: "x", Type: arrow.FixedSizeListOf(64, arrow.PrimitiveTypes.Uint8)},
	}, nil)}
}

// batch is the next n rows.
func (s *byteImages) batch(n int) arrow.RecordBatch {
	b := array.NewRecordBuilder(memory.DefaultAllocator, s.schema)
	list := b.Field(1).(*array.FixedSizeListBuilder)
	for range n {
		b.Field(0).(*array.StringBuilder).Append(fmt.Sprint("row ", s.seed))
		list.Append(true)
		for range 64 {
			s.seed = s.seed*1664525 + 1013904223
			list.ValueBuilder().(*array.Uint8Builder).Append(uint8(s.seed >> 24))
		}
	}
	return b.NewRecordBatch()
}

// TestArrowStream asks detect batch by batch: each one is answered before the
// next is sent, by one batch, and with the bits of the same rows in a file.
func TestArrowStream(t *testing.T) {
	w := newWorld(t, map[string]string{"chaos.yaml": chaosSpec})
	w.must(0, "train", "chaos.yaml", "--out", "guard", "--quiet")
	sizes := []int{3, 0, 200, 1, 64}
	source := newByteImages()
	file, err := os.Create(w.path("rows.arrows"))
	if err != nil {
		t.Fatal(err)
	}
	copied := ipc.NewWriter(file, ipc.WithSchema(source.schema))

	p := w.command("detect", "guard", "--data", "-", "--input-format", "arrow", "--format", "arrow", "--keep", "name", "--quiet")
	in, err := p.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, answers, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p.Cmd.Stdout = answers
	w.begin(p)
	if err := answers.Close(); err != nil {
		t.Fatal(err)
	}
	to := ipc.NewWriter(in, ipc.WithSchema(source.schema))
	var from *ipc.Reader
	var live []string
	for i, n := range sizes {
		batch := source.batch(n)
		if err := to.Write(batch); err != nil {
			t.Fatal(err)
		}
		if err := copied.Write(batch); err != nil {
			t.Fatal(err)
		}
		if from == nil {
			if from, err = ipc.NewReader(out); err != nil {
				t.Fatalf("%v; stderr:\n%s", err, p.stderr.String())
			}
		}
		if !from.Next() {
			t.Fatalf("batch %d: no answer: %v; stderr:\n%s", i, from.Err(), p.stderr.String())
		}
		answer := from.RecordBatch()
		if answer.NumRows() != int64(n) {
			t.Errorf("batch %d: %d rows, want %d", i, answer.NumRows(), n)
		}
		live = append(live, lines(answer)...)
	}
	if err := to.Close(); err != nil {
		t.Fatal(err)
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if from.Next() {
		t.Error("a batch more than was sent")
	}
	if code := p.code(t); code != 0 {
		t.Fatalf("exit code %d; stderr:\n%s", code, p.stderr.String())
	}
	if err := copied.Close(); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := ipc.NewReader(&w.must(0, "detect", "guard", "--data", "rows.arrows", "--format", "arrow", "--keep", "name", "--batch", "7", "--quiet").stdout)
	if err != nil {
		t.Fatal(err)
	}
	var stored []string
	for whole.Next() {
		stored = append(stored, lines(whole.RecordBatch())...)
	}
	if !slices.Equal(live, stored) {
		t.Errorf("the stream and the file differ:\n%s\n%s", strings.Join(live[:3], "\n"), strings.Join(stored[:3], "\n"))
	}
	if !strings.Contains(live[3], " row ") || len(live) != 268 {
		t.Errorf("%d rows, %s", len(live), live[3])
	}
}

// lines are the rows of a batch, numbers by their bits.
func lines(batch arrow.RecordBatch) []string {
	out := make([]string, batch.NumRows())
	for i := range out {
		for _, c := range batch.Columns() {
			text := c.ValueStr(i)
			if f, ok := c.(*array.Float64); ok && f.IsValid(i) {
				text = strconv.FormatUint(math.Float64bits(f.Value(i)), 16)
			}
			out[i] += " " + text
		}
	}
	return out
}

// TestArrowStreamRefused ends detect with the place of what is malformed, and
// answers all that came before.
func TestArrowStreamRefused(t *testing.T) {
	w := newWorld(t, map[string]string{"tiny.yaml": tinySpec})
	w.must(0, "train", "tiny.yaml", "--out", "tiny", "--quiet")
	schema := arrow.NewSchema([]arrow.Field{{Name: "petal width (cm)", Type: arrow.PrimitiveTypes.Float64, Nullable: true},
		{Name: "sepal length (cm)", Type: arrow.PrimitiveTypes.Float64},
		{Name: "petal length (cm)", Type: arrow.PrimitiveTypes.Int32}, {Name: "sepal width (cm)", Type: arrow.PrimitiveTypes.Float32}}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	var good bytes.Buffer
	to := ipc.NewWriter(&good, ipc.WithSchema(schema))
	for range 2 {
		b.Field(0).(*array.Float64Builder).AppendValues([]float64{1, 2}, []bool{true, true})
		b.Field(1).(*array.Float64Builder).AppendValues([]float64{5, 6}, nil)
		b.Field(2).(*array.Int32Builder).AppendValues([]int32{3, 4}, nil)
		b.Field(3).(*array.Float32Builder).AppendValues([]float32{2, 3}, nil)
		if err := to.Write(b.NewRecordBatch()); err != nil {
			t.Fatal(err)
		}
	}
	whole := good.Bytes()
	for _, c := range []struct {
		name   string
		stream []byte
		rows   int
		want   string
	}{
		{"garbage", append(slices.Clone(whole), "no more of Arrow"...), 4, "-: row 4: batch 2: "},
		{"cut", whole[:len(whole)-24], 2, "-: row 2: batch 1: "},
		{"no Arrow", []byte("[1,2,3,4]\n[1,2,3,4]\n"), -1, "-: a schema of "},
		{"empty", nil, -1, "-: empty"},
		{"a schema twice", slices.Concat(whole, whole), 4, "-: row 4: batch 2: "},
	} {
		p := w.command("detect", "tiny", "--data", "-", "--input-format", "arrow", "--format", "arrow", "--quiet")
		p.Stdin = bytes.NewReader(c.stream)
		w.begin(p)
		if code := p.code(t); code != 1 || !strings.Contains(p.stderr.String(), c.want) {
			t.Errorf("%s: exit code %d, stderr %q, want %q", c.name, code, p.stderr.String(), c.want)
		}
		rows := -1
		if r, err := ipc.NewReader(&p.stdout); err == nil {
			for rows = 0; r.Next(); rows += int(r.RecordBatch().NumRows()) {
			}
		}
		if rows != c.rows {
			t.Errorf("%s: %d rows, want %d", c.name, rows, c.rows)
		}
	}
}

// TestArrowStreamMemory sends batches for as long as VAEGUARD_STREAM says, or
// some, and wants each back, in constant memory.
func TestArrowStreamMemory(t *testing.T) {
	n, err := strconv.Atoi(os.Getenv("VAEGUARD_STREAM"))
	if err != nil {
		n = 1500 * 64
	}
	const rows = 64
	w := newWorld(t, map[string]string{"chaos.yaml": chaosSpec})
	w.must(0, "train", "chaos.yaml", "--out", "guard", "--quiet")
	p := w.command("detect", "guard", "--data", "-", "--input-format", "arrow", "--format", "arrow", "--quiet")
	in, out := io.Pipe()
	results, written := io.Pipe()
	p.Stdin, p.Cmd.Stdout = in, written
	w.begin(p)
	batches := n / rows
	go func() {
		source := newByteImages()
		batch := source.batch(rows)
		to := ipc.NewWriter(out, ipc.WithSchema(source.schema))
		for range batches {
			if to.Write(batch) != nil {
				break // a dead reader shows in the count
			}
		}
		_ = to.Close()
		_ = out.Close()
	}()
	from, err := ipc.NewReader(results)
	if err != nil {
		t.Fatalf("%v; stderr:\n%s", err, p.stderr.String())
	}
	early, late := 0, 0 // KiB in use after a tenth, and near the end
	read := 0
	for from.Next() {
		if from.RecordBatch().NumRows() != rows {
			t.Fatalf("batch %d has %d rows", read, from.RecordBatch().NumRows())
		}
		read++
		switch read {
		case batches / 10:
			early = resident(t, p.Process.Pid)
		case batches - 10:
			late = resident(t, p.Process.Pid)
		}
	}
	if code := p.code(t); code != 0 || read != batches {
		t.Fatalf("exit code %d, %d of %d batches; stderr:\n%s", code, read, batches, p.stderr.String())
	}
	t.Logf("%d batches of %d rows; %d KiB resident after a tenth, %d at the end", batches, rows, early, late)
	const slack = 32 << 10 // of the garbage collector's pace
	if late > early+slack {
		t.Errorf("%d KiB resident at the end, %d after a tenth", late, early)
	}
}
