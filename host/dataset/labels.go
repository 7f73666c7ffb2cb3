package dataset

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// maxClass bounds class indices.
const maxClass = 1 << 16

// ReadLabels reads n labels (n < 0: all) from a .npy, a .npz:KEY (default y,
// or the only array), a table of one column (.csv, .parquet) or an IDX file. Whole numbers from
// 0 are class indices and classes is nil; text is classes by name, in sorted
// order.
func ReadLabels(path string, n int) (labels []int, classes []string, err error) {
	file, key := splitKey(path)
	format, err := formatOf(file)
	if err != nil {
		return nil, nil, err
	}
	var a Array
	switch format {
	case "npz":
		a, err = npzLabels(file, key)
	case "npy":
		a, err = ReadNPYFile(file)
	case "csv":
		a, err = csvLabels(file, n)
	case "idx":
		var c *content
		if c, err = openContent(file); err == nil {
			a, err = idxLabels(c)
			err = errors.Join(err, c.close())
		}
	case "parquet":
		a, err = parquetLabels(file)
	default:
		err = fmt.Errorf("%s: want labels as .npy, .npz, .csv, .parquet or IDX", file)
	}
	if err != nil {
		return nil, nil, err
	}
	return a.labels(path, n)
}

func npzLabels(file, key string) (Array, error) {
	z, err := openNPZ(file)
	if err != nil {
		return Array{}, err
	}
	if key == "" && z.has("y") {
		key = "y"
	}
	if key == "" {
		if key, err = z.only(""); err != nil {
			return Array{}, errors.Join(err, z.Close())
		}
	}
	a, err := z.array(key)
	return a, errors.Join(err, z.Close())
}

// csvLabels reads one label a line. A first line that is one more than the n
// wanted, or where n is unknown the only one that is no number, is a header.
func csvLabels(file string, n int) (Array, error) {
	c, err := openContent(file)
	if err != nil {
		return Array{}, err
	}
	r := csv.NewReader(&recordLimit{r: c.Reader, left: 1 << 30})
	r.FieldsPerRecord = 1
	r.TrimLeadingSpace = true
	var out []string
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return Array{}, errors.Join(fmt.Errorf("%s: want one label a line: %w", file, err), c.close())
		}
		out = append(out, strings.TrimSpace(record[0]))
	}
	if len(out) > 1 && (len(out) == n+1 || n < 0 && !isIndex(out[0]) && isIndex(out[1])) {
		out = out[1:]
	}
	return Array{Shape: []int{len(out)}, Data: out}, c.close()
}

// parquetLabels reads a table whose only column is the label.
func parquetLabels(file string) (Array, error) {
	d, err := Read(file, StreamOptions{Format: "parquet"})
	if err != nil {
		return Array{}, err
	}
	if n := d.X.Stride(); n != 1 {
		return Array{}, fmt.Errorf("%s: %d columns, want one of labels", file, n)
	}
	return Array{Shape: d.X.Shape[:1], Data: d.X.Data}, nil
}

// labels turns a vector of n (n < 0: any number) into class indices.
func (a Array) labels(name string, n int) ([]int, []string, error) {
	if len(a.Shape) == 0 || len(a.Shape) > 2 || len(a.Shape) == 2 && a.Shape[1] != 1 {
		return nil, nil, fmt.Errorf("%s: labels of shape %v, want a vector of class indices or names", name, a.Shape)
	}
	if n >= 0 && a.Shape[0] != n {
		return nil, nil, fmt.Errorf("%s: %d labels for %d rows", name, a.Shape[0], n)
	}
	if texts, ok := a.Data.([]string); ok {
		return classesOf(name, texts)
	}
	labels, err := a.Ints()
	if err != nil {
		return nil, nil, fmt.Errorf("%s: labels: %w", name, err)
	}
	for i, y := range labels {
		if y < 0 || y >= maxClass {
			return nil, nil, fmt.Errorf("%s: row %d: label %d, want class indices from 0", name, i, y)
		}
	}
	return labels, nil, nil
}

func isIndex(text string) bool {
	v, err := strconv.ParseFloat(text, 64)
	return err == nil && v >= 0 && v < maxClass && v == math.Trunc(v)
}

// classesOf reads labels written as text: class indices if all are whole
// numbers from 0, else names.
func classesOf(name string, texts []string) (labels []int, classes []string, err error) {
	labels = make([]int, len(texts))
	indices := true
	numbers := 0
	seen := map[string]int{}
	for _, s := range texts {
		indices = indices && isIndex(s)
		if _, ok := seen[s]; !ok {
			if v, err := strconv.ParseFloat(s, 64); err == nil && v != math.Trunc(v) {
				numbers++
			}
			seen[s] = 0
		}
	}
	if indices {
		for i, s := range texts {
			v, _ := strconv.ParseFloat(s, 64)
			labels[i] = int(v)
		}
		return labels, nil, nil
	}
	if numbers > 0 {
		i := slices.IndexFunc(texts, func(s string) bool { return !isIndex(s) })
		return nil, nil, fmt.Errorf("%s: row %d: label %.40q, want class indices from 0 or names", name, i, texts[i])
	}
	classes = slices.Sorted(maps.Keys(seen))
	for i, s := range classes {
		seen[s] = i
	}
	for i, s := range texts {
		labels[i] = seen[s]
	}
	return labels, classes, nil
}
