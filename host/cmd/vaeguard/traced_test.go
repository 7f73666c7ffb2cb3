package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host/cli"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// tracedFormat is a table of irises whose rows have an id, a file and two more
// columns: a JSON object a line.
type tracedFormat struct{}

func (tracedFormat) Traits() dataset.Traits {
	return dataset.Traits{Extensions: []string{".traced"}, Table: true}
}

func (tracedFormat) Open(path string, o dataset.ReadOptions) (dataset.Reader, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r := &tracedReader{lines: bufio.NewScanner(bytes.NewReader(b)), schema: dataset.Schema{ID: "name"}}
	if o.Schema != nil {
		r.schema.Keep = o.Schema.Keep
	}
	r.trace.Kept = make([]dataset.Cell, len(r.schema.Keep))
	return r, nil
}

type tracedReader struct {
	lines  *bufio.Scanner
	at     int
	schema dataset.Schema
	trace  dataset.Trace // Kept is overwritten row by row
}

func (*tracedReader) Example() tensor.Shape    { return tensor.Shape{4} }
func (*tracedReader) Count() int               { return -1 }
func (*tracedReader) Parts() []dataset.Part    { return nil }
func (*tracedReader) Close() error             { return nil }
func (*tracedReader) Notices() []string        { return nil }
func (r *tracedReader) Schema() dataset.Schema { return r.schema }
func (r *tracedReader) Trace() dataset.Trace   { return r.trace }

func (r *tracedReader) Next(dst []float32) error {
	if !r.lines.Scan() {
		return io.EOF
	}
	r.at++
	var row struct {
		Name string
		File string
		Town string
		Age  float64
		X    []float32
	}
	if err := json.Unmarshal(r.lines.Bytes(), &row); err != nil {
		return err
	}
	r.trace.ID, r.trace.File = row.Name, row.File
	for j, name := range r.schema.Keep {
		r.trace.Kept[j] = dataset.Cell{Kind: dataset.CellText, Text: row.Town}
		if name == "age" {
			r.trace.Kept[j] = dataset.Cell{Kind: dataset.CellNumber, Number: row.Age}
		}
	}
	if len(row.X) != 4 {
		return &dataset.RowError{Source: "x", Row: r.at - 1, Err: fmt.Errorf("%d numbers, want 4", len(row.X))}
	}
	copy(dst, row.X)
	return nil
}

// TestTraced: what a table tells of its rows is in every result of detect, next
// to the names of the classes, whatever batch a row is scored in.
func TestTraced(t *testing.T) {
	dir := t.TempDir()
	spec, guard, rows := filepath.Join(dir, "tiny.yaml"), filepath.Join(dir, "tiny"), filepath.Join(dir, "x.traced")
	var table strings.Builder
	for i := range 100 {
		x := "5.1, 3.5, 1.4, 0.2"
		if i%7 == 0 {
			x = "1"
		}
		fmt.Fprintf(&table, `{"name": "iris %d", "file": "bed/%d", "town": "Oslo", "age": %d, "x": [%s]}`+"\n", i, i, i, x)
	}
	if err := errors.Join(os.WriteFile(spec, []byte(tracedSpec), 0o600), os.WriteFile(rows, []byte(table.String()), 0o600)); err != nil {
		t.Fatal(err)
	}
	c := builtin.Components()
	c.Formats = c.Formats.With(registry.Entry[dataset.Format]{Name: "traced", Default: tracedFormat{}, Doc: "irises with names (.traced)"})
	run := func(code int, args ...string) (stdout, stderr string) {
		t.Helper()
		var out, errs bytes.Buffer
		if got := cli.Run(t.Context(), c, args, nil, &out, &errs); got != code {
			t.Fatalf("%v: exit status %d, want %d: %s", args, got, code, errs.String())
		}
		return out.String(), errs.String()
	}
	run(0, "train", spec, "--out", guard, "--quiet")
	detect := []string{"detect", guard, "--data", rows, "--keep", "age,town", "--on-error", "skip", "--format"}
	want, _ := run(0, append(detect, "jsonl")...)
	n := 0
	for line := range strings.Lines(want) {
		var row struct {
			Index          int
			ID             string
			File           string
			Age            *int
			Town           string
			Predicted      *int
			PredictedLabel string `json:"predicted_label"`
			CorrectedLabel string `json:"corrected_label"`
			Error          string
		}
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatal(err)
		}
		bad := n%7 == 0
		if row.Index != n || row.ID != fmt.Sprintf("iris %d", n) || row.File != fmt.Sprintf("bed/%d", n) || row.Age == nil || *row.Age != n || row.Town != "Oslo" ||
			bad != (row.Error == "1 numbers, want 4") || bad != (row.Predicted == nil) || bad != (row.PredictedLabel == "") || bad != (row.CorrectedLabel == "") {
			t.Errorf("row %d: %s", n, line)
		}
		if n++; !bad && row.PredictedLabel != []string{"setosa", "versicolor", "virginica"}[*row.Predicted] {
			t.Errorf("class %d is called %s", *row.Predicted, row.PredictedLabel)
		}
	}
	if n != 100 {
		t.Errorf("%d rows, want 100", n)
	}
	if got, _ := run(0, append(detect, "jsonl", "--batch", "3")...); got != want {
		t.Error("the results depend on the batch")
	}
	if got, _ := run(0, append(detect, "csv")...); !strings.HasPrefix(got, "index,id,file,is_adversarial,instance_score,p_value,predicted,predicted_label,"+
		"reconstructed,reconstructed_label,corrected,corrected_label,error,age,town\n0,iris 0,bed/0,,,,,,,,,,\"1 numbers, want 4\",0,Oslo\n1,iris 1,bed/1,") {
		t.Errorf("csv: %.400s", got)
	}
	if _, got := run(1, "detect", guard, "--data", rows); !strings.Contains(got, `row 0 ("bed/0"): 1 numbers`) {
		t.Errorf("a bad row is not named: %s", got)
	}
	if _, got := run(2, append(detect, "csv", "--keep", "predicted")...); !strings.Contains(got, `column "predicted" cannot be kept`) {
		t.Errorf("keeping predicted: %s", got)
	}
}

// tracedSpec has a small model of irises, whose classes have names.
const tracedSpec = `api_version: vaeguard/v1
kind: Experiment
name: traced
seed: 7
data:
  train:       {dataset: iris, split: train}
  calibration: {dataset: iris, split: calibration}
classifier:
  plugin: mlp
  config: {hidden: [8]}
  train: {epochs: 5, batch_size: 32}
  checks: "off"
vae:
  latent_dim: 2
  encoder:
    - dense: {units: 8, activation: relu}
  decoder:
    - dense: {units: 4}
detector: {samples: 1, data_type: tabular}
train: {epochs: 2, batch_size: 32}
threshold: {fpr: 0.1}
`
