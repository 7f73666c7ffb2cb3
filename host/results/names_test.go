package results

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/host/dataset"
)

// TestKeptNote: kept columns may be called as what some results have besides: they are the
// user's own, and leave no room for another.
func TestKeptNote(t *testing.T) {
	o := Options{Meta: Meta{Keep: []string{"note", "retry"}}}
	for _, format := range []string{"npz", "jsonl", "json", "csv", "parquet", "arrow"} {
		f, err := Lookup(format)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		w, err := f.New(&b, o)
		if err != nil {
			t.Fatal(err)
		}
		r, _ := verdicts(0, 1, false)
		r.Score[0], r.Adversarial[0], r.NotFinite = math.Inf(1), true, []bool{true}
		kept := dataset.Trace{Kept: []dataset.Cell{word("mine"), word("never")}}
		if err := w.Batch(0, r, []dataset.Trace{kept}); err != nil {
			t.Fatalf("%s: %v", format, err)
		}
		if err := w.Bad(1, kept, &AwayError{Err: errors.New("away")}); err != nil {
			t.Fatalf("%s: %v", format, err)
		}
		if err := w.Close(); err != nil {
			t.Errorf("%s: %v", format, err)
		}
		if format != "jsonl" {
			continue
		}
		for _, line := range strings.Split(strings.TrimSpace(b.String()), "\n") {
			var got map[string]any
			if err := json.Unmarshal([]byte(line), &got); err != nil || got["note"] != "mine" || got["retry"] != "never" {
				t.Errorf("%s: %v", line, err)
			}
			if strings.Count(line, `"note"`)+strings.Count(line, `"retry"`) != 2 {
				t.Errorf("a key twice: %s", line)
			}
		}
	}
}

// TestCSVEmpty: without rows there is still a header.
func TestCSVEmpty(t *testing.T) {
	f, _ := Lookup("csv")
	var b bytes.Buffer
	w, err := f.New(&b, named())
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	lines, err := csv.NewReader(&b).ReadAll()
	if err != nil || len(lines) != 1 || strings.Join(lines[0][:3], ",") != "index,id,is_adversarial" || lines[0][len(lines[0])-1] != "town" {
		t.Errorf("%q, %v", lines, err)
	}
}
