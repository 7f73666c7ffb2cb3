package scoring

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/results"
)

// deal writes rows with one kept column as n shards, as their scoring would.
func deal(t *testing.T, dir string, cells []dataset.Cell, n int) {
	t.Helper()
	format, err := results.Lookup(results.PartFormat)
	if err != nil {
		t.Fatal(err)
	}
	meta := results.Meta{Name: "test", Keep: []string{"k"}}
	total := (len(cells) + rangeRows - 1) / rangeRows
	for i := range n {
		m := &Manifest{Format: manifestFormat, Shard: i, Of: n, Meta: meta, Total: total, Units: []Unit{}}
		var b bytes.Buffer
		w, err := format.New(&b, results.Options{Meta: meta})
		if err != nil {
			t.Fatal(err)
		}
		c := newCounted(w, nil, 1)
		row := 0
		for u := i; u < total; u += n {
			of := cells[u*rangeRows : min((u+1)*rangeRows, len(cells))]
			m.Units = append(m.Units, Unit{Number: u, Source: "rows.jsonl", From: u * rangeRows, Rows: len(of)})
			for _, cell := range of {
				r := &detect.Result{Adversarial: []bool{false}, Predicted: []int{1}, Reconstructed: []int{1}, Corrected: []int{1}, Score: []float64{.5}, PValue: []float64{.5}}
				if err := c.Batch(row, r, []dataset.Trace{{Kept: []dataset.Cell{cell}}}); err != nil {
					t.Fatal(err)
				}
				row++
			}
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(b.Bytes())
		m.Tally, m.Kinds, m.Output = c.tally, c.kinds, OutputDigest{Bytes: int64(b.Len()), SHA256: hex.EncodeToString(sum[:])}
		if err := os.WriteFile(filepath.Join(dir, partName(i, n)+partEnding), b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := m.write(dir); err != nil {
			t.Fatal(err)
		}
	}
}

// TestMergeKeptNumbers: numbers of JSON lines that were kept merge to the same bytes of
// any number of shards, whatever column the parts have for them: text for more digits
// than float64 holds, and for numbers that come after many rows without any.
func TestMergeKeptNumbers(t *testing.T) {
	number := func(text string) dataset.Cell {
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Fatal(err)
		}
		return dataset.Cell{Kind: dataset.CellNumber, Number: v, Text: text}
	}
	var ids, late, mixed []dataset.Cell
	for i := range 3000 {
		ids = append(ids, number(fmt.Sprintf("12345678901234%05d", i)))
		late, mixed = append(late, dataset.Cell{}), append(mixed, ids[i])
		if i >= 1500 {
			late[i], mixed[i] = number(strconv.Itoa(i)), number(strconv.Itoa(i))
		}
	}
	late[1600] = dataset.Cell{Kind: dataset.CellNumber, Number: 1, Text: "true"}
	for name, c := range map[string]struct {
		cells []dataset.Cell
		last  string
	}{"ids": {ids, ",1234567890123402999"}, "late": {late, ",2999"}, "mixed": {mixed, ",2999"}} {
		t.Run(name, func(t *testing.T) {
			merged := map[string][]byte{}
			for _, n := range []int{1, 2, 3} {
				dir := t.TempDir()
				deal(t, dir, c.cells, n)
				for _, to := range []string{results.PartFormat, "csv"} {
					m, err := OpenParts(dir)
					if err != nil {
						t.Fatal(err)
					}
					format, err := results.Lookup(to)
					if err != nil {
						t.Fatal(err)
					}
					var b bytes.Buffer
					if err := m.Write(t.Context(), format, &b); err != nil {
						t.Fatalf("%d shards as %s: %v", n, to, err)
					}
					switch {
					case merged[to] == nil:
						merged[to] = b.Bytes()
					case !bytes.Equal(merged[to], b.Bytes()):
						t.Errorf("%d shards as %s: other bytes than of one", n, to)
					}
				}
			}
			if text := strings.TrimSpace(string(merged["csv"])); !strings.HasSuffix(text, c.last) {
				t.Errorf("the table ends %q", text[len(text)-60:])
			}
		})
	}
}

// TestNoShards: a manifest of no shards is refused.
func TestNoShards(t *testing.T) {
	for name, text := range map[string]string{
		"part-0-of-0":  `{"format": 1, "shard": 0, "of": 0}`,
		"part-3-of-2":  `{"format": 1, "shard": 3, "of": 2}`,
		"part--1-of-2": `{"format": 1, "shard": -1, "of": 2}`,
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, name+manifestEnding), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenParts(dir); err == nil || !strings.Contains(err.Error(), "want one of") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
