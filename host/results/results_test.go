package results

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// named are options of a table with ids, classes and two kept columns.
func named() Options {
	return Options{
		Meta: Meta{Name: "g", DetectorType: "adversarial", DataType: "tabular", Version: "v", Threshold: new(0.5), Detector: "d",
			Classes: []string{"ham", "spam"}, Keep: []string{"age", "town"}},
		ID: true,
	}
}

func number(v float64) dataset.Cell {
	return dataset.Cell{Kind: dataset.CellNumber, Number: v}
}

func word(s string) dataset.Cell { return dataset.Cell{Kind: dataset.CellText, Text: s} }

// verdicts are results of n rows, and where they came from: row i has the score
// i/4, is flagged from 0.5 on and then corrected to the other class.
func verdicts(first, n int, include bool) (*detect.Result, []dataset.Trace) {
	r := &detect.Result{}
	var traces []dataset.Trace
	for i := first; i < first+n; i++ {
		score := float64(i) / 4
		predicted := i % 2
		corrected := predicted
		if score > 0.5 {
			corrected = 1 - predicted
		}
		r.Score, r.PValue = append(r.Score, score), append(r.PValue, 1/float64(i+1))
		r.Adversarial = append(r.Adversarial, score > 0.5)
		r.Predicted, r.Reconstructed, r.Corrected = append(r.Predicted, predicted), append(r.Reconstructed, corrected), append(r.Corrected, corrected)
		kept := []dataset.Cell{number(20.5 + float64(i)), word(fmt.Sprintf("Zürich, %d", i))}
		if i%3 == 2 {
			kept = []dataset.Cell{{}, {}}
		}
		traces = append(traces, dataset.Trace{ID: fmt.Sprintf("L-%d", i), Kept: kept})
	}
	if include {
		r.Latent = tensor.New(n, 2)
		r.Reconstruction = tensor.New(n, 2, 2, 1)
		for i := range r.Latent.Data {
			r.Latent.Data[i] = float32(2*first+i) / 8
		}
		for i := range r.Reconstruction.Data {
			r.Reconstruction.Data[i] = float32(4*first+i) / 8
		}
	}
	return r, traces
}

// write writes a bad row, then n-1 good ones in batches of so many, which are
// overwritten as soon as they are handed over, then a bad one.
func write(t *testing.T, format string, o Options, n, batch int) []byte {
	t.Helper()
	f, err := Lookup(format)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w, err := f.New(&b, o)
	if err != nil {
		t.Fatal(err)
	}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(w.Bad(0, dataset.Trace{}, errors.New("line 1: no, \"number\"")))
	for at := 1; at < n; at += batch {
		r, traces := verdicts(at, min(batch, n-at), o.Include.Latent)
		check(w.Batch(at, r, traces))
		clear(traces)
	}
	check(w.Bad(n, dataset.Trace{ID: fmt.Sprintf("L-%d", n), Kept: []dataset.Cell{number(99), {}}}, errors.New("too far")))
	check(w.Close())
	return b.Bytes()
}

const wantCSV = `index,id,is_adversarial,instance_score,p_value,predicted,predicted_label,reconstructed,reconstructed_label,corrected,corrected_label,error,age,town
0,,,,,,,,,,,"line 1: no, ""number""",,
1,L-1,0,0.25,0.5,1,spam,1,spam,1,spam,,21.5,"Zürich, 1"
2,L-2,0,0.5,0.3333333333333333,0,ham,0,ham,0,ham,,,
3,L-3,1,0.75,0.25,1,spam,0,ham,0,ham,,23.5,"Zürich, 3"
4,L-4,,,,,,,,,,too far,99,
`

const wantJSONL = `{"index":0,"is_adversarial":null,"instance_score":null,"p_value":null,"predicted":null,"reconstructed":null,"corrected":null,"error":"line 1: no, \"number\"","age":null,"town":null}
{"index":1,"id":"L-1","is_adversarial":0,"instance_score":0.25,"p_value":0.5,"predicted":1,"predicted_label":"spam","reconstructed":1,"reconstructed_label":"spam","corrected":1,"corrected_label":"spam","age":21.5,"town":"Zürich, 1"}
{"index":2,"id":"L-2","is_adversarial":0,"instance_score":0.5,"p_value":0.3333333333333333,"predicted":0,"predicted_label":"ham","reconstructed":0,"reconstructed_label":"ham","corrected":0,"corrected_label":"ham","age":null,"town":null}
{"index":3,"id":"L-3","is_adversarial":1,"instance_score":0.75,"p_value":0.25,"predicted":1,"predicted_label":"spam","reconstructed":0,"reconstructed_label":"ham","corrected":0,"corrected_label":"ham","age":23.5,"town":"Zürich, 3"}
{"index":4,"id":"L-4","is_adversarial":null,"instance_score":null,"p_value":null,"predicted":null,"reconstructed":null,"corrected":null,"error":"too far","age":99,"town":null}
`

const wantJSON = `{"data":{"id":[null,"L-1","L-2","L-3","L-4"],"is_adversarial":[null,0,0,1,null],"instance_score":[null,0.25,0.5,0.75,null],"p_value":[null,0.5,0.3333333333333333,0.25,null],` +
	`"predicted":[null,1,0,1,null],"predicted_label":[null,"spam","ham","spam",null],"reconstructed":[null,1,0,0,null],"reconstructed_label":[null,"spam","ham","ham",null],` +
	`"corrected":[null,1,0,0,null],"corrected_label":[null,"spam","ham","ham",null],` +
	`"kept":{"age":[null,21.5,null,23.5,99],"town":[null,"Zürich, 1",null,"Zürich, 3",null]},"errors":[{"index":0,"error":"line 1: no, \"number\""},{"index":4,"error":"too far"}]},` +
	`"meta":{"name":"g","detector_type":"adversarial","data_type":"tabular","online":false,"version":"v","threshold":0.5,"detector":"d","classes":["ham","spam"],"keep":["age","town"]}}
`

// What texts hold, to the byte.
func TestTexts(t *testing.T) {
	for format, want := range map[string]string{"csv": wantCSV, "jsonl": wantJSONL, "json": wantJSON} {
		if got := write(t, format, named(), 4, 2); string(got) != want {
			t.Errorf("%s:\n%s\nwant\n%s", format, got, want)
		}
	}
}

// Rows that nothing is known of look as they did before rows had names.
func TestNameless(t *testing.T) {
	for format, want := range map[string]string{
		"csv":   "index,is_adversarial,instance_score,p_value,predicted,reconstructed,corrected,error\n0,0,0,,0,0,0,\n",
		"jsonl": `{"index":0,"is_adversarial":0,"instance_score":0,"p_value":null,"predicted":0,"reconstructed":0,"corrected":0,"latent":[0,0.125]}` + "\n",
		"json": `{"data":{"is_adversarial":[0],"instance_score":[0],"p_value":null,"predicted":[0],"reconstructed":[0],"corrected":[0],"latent":[[0,0.125]]},` +
			`"meta":{"name":"","detector_type":"","data_type":"","online":false,"version":"","threshold":null,"detector":""}}` + "\n",
	} {
		f, err := Lookup(format)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		w, err := f.New(&b, Options{})
		if err != nil {
			t.Fatal(err)
		}
		r, _ := verdicts(0, 1, true)
		r.PValue, r.Reconstruction = nil, nil
		if err := errors.Join(w.Batch(0, r, nil), w.Close()); err != nil {
			t.Fatal(err)
		}
		if b.String() != want {
			t.Errorf("%s: %s, want %s", format, b.String(), want)
		}
	}
}

// Files of folders come with the first row, a bad one too.
func TestFiles(t *testing.T) {
	f, _ := Lookup("csv")
	var b bytes.Buffer
	w, err := f.New(&b, Options{})
	if err != nil {
		t.Fatal(err)
	}
	r, _ := verdicts(1, 1, false)
	err = errors.Join(w.Bad(0, dataset.Trace{File: "cat/1.png"}, errors.New("no image")),
		w.Batch(1, r, []dataset.Trace{{File: "dog/2.png"}}), w.Close())
	want := "index,file,is_adversarial,instance_score,p_value,predicted,reconstructed,corrected,error\n0,cat/1.png,,,,,,,no image\n1,dog/2.png,0,0.25,0.5,1,1,1,\n"
	if err != nil || b.String() != want {
		t.Errorf("%v\n%s\nwant\n%s", err, b.String(), want)
	}
}

// A file does not depend on how many rows are scored together. An Arrow stream
// has a batch for each, so its rows are compared elsewhere.
func TestBatches(t *testing.T) {
	for _, f := range Formats() {
		if f.Name == "arrow" {
			continue
		}
		o := named()
		o.Include.Latent = f.Parts
		o.Include.Reconstruction = f.Parts
		want := write(t, f.Name, o, 50, 50)
		for _, batch := range []int{1, 7} {
			if got := write(t, f.Name, o, 50, batch); !bytes.Equal(got, want) {
				t.Errorf("%s: %d bytes in batches of %d, others than the %d of one batch", f.Name, len(got), batch, len(want))
			}
		}
	}
}

func TestCells(t *testing.T) {
	digits := dataset.Cell{Kind: dataset.CellNumber, Number: 12345678901234567890, Text: "12345678901234567890"}
	for _, c := range []struct {
		cell      dataset.Cell
		json, csv string
	}{
		{dataset.Cell{}, "null", ""},
		{word("007"), `"007"`, "007"},
		{number(41), "41", "41"},
		{number(-1.5e300), "-1.5e+300", "-1.5e+300"},
		{number(1e-9), "1e-09", "1e-09"},
		{number(math.NaN()), "null", "NaN"},
		{digits, "12345678901234567890", "12345678901234567890"},
		{dataset.Cell{Kind: dataset.CellNumber, Number: 7, Text: "007"}, "7", "007"},
		{dataset.Cell{Kind: dataset.CellNumber, Number: 1, Text: "true"}, "1", "true"},
	} {
		got := jsonOf(t, c.cell)
		if got != c.json && strings.ReplaceAll(got, "e-9", "e-09") != c.json {
			t.Errorf("%+v in JSON: %s, want %s", c.cell, got, c.json)
		}
		if got := cellText(c.cell); got != c.csv {
			t.Errorf("%+v as text: %q, want %q", c.cell, got, c.csv)
		}
	}
}

// jsonOf is the kept cell of a line of jsonl.
func jsonOf(t *testing.T, c dataset.Cell) string {
	t.Helper()
	f, _ := Lookup("jsonl")
	var b bytes.Buffer
	w, err := f.New(&b, Options{Meta: Meta{Keep: []string{"k"}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Bad(0, dataset.Trace{Kept: []dataset.Cell{c}}, io.EOF); err != nil {
		t.Fatal(err)
	}
	_, value, _ := strings.Cut(b.String(), `"k":`)
	return strings.TrimSuffix(value, "}\n")
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		format string
		o      Options
		want   string // "": no fault
	}{
		{"json", Options{Meta: Meta{Keep: []string{"a", "b/c", "id"}}}, ""},
		{"json", Options{Meta: Meta{Keep: []string{"id"}}, ID: true}, `column "id" cannot be kept`},
		{"csv", Options{Meta: Meta{Keep: []string{"predicted"}}}, `column "predicted" cannot be kept`},
		{"csv", Options{Meta: Meta{Keep: []string{"a", "a"}}}, `column "a" is kept twice`},
		{"csv", Options{Meta: Meta{Keep: []string{""}}}, "has no name"},
		{"csv", Options{Include: detect.Include{Latent: true}}, "csv has one value per column; use json, jsonl, npz, parquet, arrow"},
		{"npz", Options{Meta: Meta{Keep: []string{"b/c"}}}, "has a slash"},
	} {
		f, err := Lookup(c.format)
		if err != nil {
			t.Fatal(err)
		}
		w, err := f.New(io.Discard, c.o)
		if c.want == "" && (err != nil || w == nil) || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s of %+v: %v, want %q", c.format, c.o, err, c.want)
		}
	}
	if _, err := Lookup("xml"); err == nil || !strings.Contains(err.Error(), "known: json, jsonl, csv, npz, parquet, arrow") {
		t.Errorf("xml: %v", err)
	}
}

// A kept column id takes the place of the row's.
func TestKeptID(t *testing.T) {
	o := Options{Meta: Meta{Keep: []string{"id"}}}
	for format, want := range map[string]string{"csv": ",error,id\n", "jsonl": `"corrected":1,"id":"mine"}`} {
		f, _ := Lookup(format)
		var b bytes.Buffer
		w, err := f.New(&b, o)
		if err != nil {
			t.Fatal(err)
		}
		r, _ := verdicts(1, 1, false)
		if err := errors.Join(w.Batch(0, r, []dataset.Trace{{ID: "other", Kept: []dataset.Cell{word("mine")}}}), w.Close()); err != nil {
			t.Fatal(err)
		}
		if got := b.String(); !strings.Contains(got, want) || strings.Contains(got, "other") {
			t.Errorf("%s: %s", format, got)
		}
	}
}

// full is a disk with room for so many bytes.
type full int

var errFull = errors.New("no space left on device")

func (f *full) Write(b []byte) (int, error) {
	n := min(len(b), int(*f))
	*f -= full(n)
	if n < len(b) {
		return n, errFull
	}
	return n, nil
}

// A disk that fills is an error of every format, wherever it fills.
func TestFullDisk(t *testing.T) {
	for _, f := range Formats() {
		size := len(write(t, f.Name, named(), 4, 3))
		for room := 0; room < size; room += 1 + size/97 {
			disk := full(room)
			w, err := f.New(&disk, named())
			if err != nil {
				t.Fatal(err)
			}
			r, traces := verdicts(1, 3, false)
			err = w.Bad(0, dataset.Trace{}, errors.New("line 1: no, \"number\""))
			if err == nil {
				err = w.Batch(1, r, traces)
			}
			if err == nil {
				err = w.Bad(4, dataset.Trace{ID: "L-4", Kept: []dataset.Cell{number(99), {}}}, errors.New("too far"))
			}
			if err == nil {
				err = w.Close()
			}
			if !errors.Is(err, errFull) {
				t.Fatalf("%s with room for %d of %d bytes: %v", f.Name, room, size, err)
			}
		}
	}
}
