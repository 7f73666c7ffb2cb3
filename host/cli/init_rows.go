package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// draft is a spec in the making: what was seen of the rows and the classifier,
// and what follows from it.
type draft struct {
	initFlags
	app     *app
	dir     string // of the spec: relative paths start there
	answers *bufio.Reader

	src     dataset.Source // the rows, without a split
	table   bool
	image   bool
	example tensor.Shape // of a raw row
	files   bool         // images are files, which arrays' reshape and layout are none of
	varied  bool         // images of several sizes or channels
	sides   [2]int       // of --size; 0: it is not given
	least   float64      // of the numbers that were looked at
	most    float64
	whole   bool     // all of them are whole numbers
	columns []column // of a table with names
	classes []string
	rows    int // −1: not counted
	ranged  int // rows of the official split train of a named set; 0: it has none
	holds   int // rows for calibration, as far as they were counted

	in        tensor.Shape // of a prepared row; nil: not known
	unit      bool         // prepared numbers are from 0 to 1
	prepare   []commented
	keys      []string // of each source: reshape, layout; neither twice
	order     string   // what is to be said of reshape; "": nothing
	model     commented
	config    []string
	legal     string    // key of config for the legal range; "": none
	info      *sdk.Info // nil: trained here
	train     string    // classifier.train; "": a trained one
	pre       string    // classifier.preprocess; "": none
	unsure    string    // why it is none, where it may have to be one
	normalize string    // vae.normalize; "": none

	asked  time.Duration // what the classifier's gradient of a row takes; 0: not known
	failed []string      // checks of the classifier
}

// commented is a line of YAML with what is to be said of it.
type commented struct{ text, why string }

// initRows is how many rows init looks at: of a table, and of other data.
const (
	initRows   = 100_000
	initImages = 512
)

// look finds out what the data is.
func (d *draft) look() error {
	if err := d.findSource(); err != nil {
		return err
	}
	if d.src.Dataset != "" {
		return d.lookNamed()
	}
	head, err := d.open(&dataset.Schema{Label: d.label, ID: d.id}, d.headerFlag())
	if err != nil {
		return d.explain(err)
	}
	about := head.About()
	d.table, d.example = about.Table != nil, head.Example().Clone()
	if err := head.Close(); err != nil {
		return err
	}
	if d.table {
		err = d.lookTable(about.Table)
	} else {
		err = d.lookArray(about)
	}
	if err != nil {
		return err
	}
	return d.lookLabels()
}

// explain adds to an error of opening the rows what init itself can do about it.
func (d *draft) explain(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("--data %s: no such file or folder, and no named set: see vaeguard list dataset", d.data)
	}
	return fmt.Errorf("--data %w", err)
}

func (d *draft) headerFlag() *bool {
	if d.header == "" {
		return nil
	}
	is := d.header == "true"
	return &is
}

// open opens the rows of --data.
func (d *draft) open(s *dataset.Schema, header *bool) (*dataset.Stream, error) {
	path := d.data
	if d.src.X != "" {
		path += ":" + d.src.X
	}
	return dataset.OpenStream(path, d.app.c.Formats, dataset.StreamOptions{Schema: s, Header: header, Keep: s.Keep, Batch: 1})
}

// relative is a path of the command line as the spec has it.
func (d *draft) relative(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	from, err1 := filepath.Abs(d.dir)
	to, err2 := filepath.Abs(path)
	if rel, err := filepath.Rel(from, to); err == nil && err1 == nil && err2 == nil {
		return filepath.ToSlash(rel)
	}
	return path
}

// findSource finds the key of the source.
func (d *draft) findSource() error {
	info, err := os.Stat(d.data)
	switch {
	case err != nil && d.app.c.Datasets.Names() != nil && slices.Contains(d.app.c.Datasets.Names(), d.data):
		d.src.Dataset = d.data
	case err == nil && info.IsDir():
		d.src.Folder = d.relative(d.data)
	default:
		d.src.File = d.relative(d.data) // also FILE.npz:KEY
	}
	d.src.Header = d.headerFlag()
	return nil
}

// lookNamed takes what the header of a named set says.
func (d *draft) lookNamed() error {
	set, err := d.app.c.Datasets.Lookup(d.src.Dataset)
	if err != nil {
		return err
	}
	official := set.Splits() != nil
	if official && !slices.Equal(set.Splits(), []string{"train", "test"}) {
		return usagef("--data %s: want a set with the splits train and test, or without any; it has %s", d.data, strings.Join(set.Splits(), ", "))
	}
	if official {
		d.src.Split = "train"
	}
	h, err := dataset.ReadHeader(d.src, d.dir, d.app.c.Datasets, d.app.c.Formats)
	if err != nil {
		return err
	}
	d.example, d.rows, d.image = h.Example, h.Rows, len(h.Example) == 3
	for c := range h.Classes {
		d.classes = append(d.classes, strconv.Itoa(c))
	}
	data, err := dataset.Open(d.src, d.dir, d.app.c.Datasets, d.app.c.Formats)
	if err != nil {
		return err
	}
	d.extent(func() ([]float32, error) { return nil, io.EOF })
	for i := range min(data.N(), initImages) {
		d.widen(data.X.Row(i))
	}
	if d.holds = d.rows * 15 / 100; official {
		d.ranged, d.holds = d.rows, d.rows-d.parts()[2]
	}
	return nil
}

// extent starts the range of the numbers that are looked at, with rows that next
// gives.
func (d *draft) extent(next func() ([]float32, error)) {
	d.least, d.most, d.whole = math.Inf(1), math.Inf(-1), true
	for {
		row, err := next()
		var bad *dataset.RowError
		if errors.As(err, &bad) {
			continue
		}
		if err != nil {
			return
		}
		d.widen(row)
	}
}

func (d *draft) widen(row []float32) {
	for _, v := range row {
		d.least, d.most = min(d.least, float64(v)), max(d.most, float64(v))
		d.whole = d.whole && v == float32(math.Trunc(float64(v)))
	}
}

// lookArray looks at images, and at arrays of numbers.
func (d *draft) lookArray(about dataset.About) error {
	s, err := d.open(&dataset.Schema{}, nil)
	if err != nil {
		return d.explain(err)
	}
	row := make([]float32, s.Example().Size())
	n, odd := 0, 0
	d.extent(func() ([]float32, error) {
		if n == initImages {
			return nil, io.EOF
		}
		n++
		err := s.ReadRow(row)
		var bad *dataset.RowError
		if errors.As(err, &bad) && about.Varied {
			odd++
		}
		return row, err
	})
	d.files, d.varied = about.Varied, odd > 0
	e := d.example
	d.image = len(e) == 3 || len(e) == 2 && e[0] > 1 && e[1] > 1
	switch {
	case len(e) == 2 && d.image:
		d.keys = append(d.keys, fmt.Sprintf("reshape: [%d, %d, 1]", e[0], e[1]))
		d.example = tensor.Shape{e[0], e[1], 1}
	case d.image && d.src.Folder == "" && (e[0] == 1 || e[0] == 3) && e[2] > 4 && e[1] > 4:
		d.keys = append(d.keys, "layout: nchw")
		d.example = tensor.Shape{e[1], e[2], e[0]}
	}
	return s.Close()
}

// lookLabels finds the classes, and counts rows as far as the threshold needs.
func (d *draft) lookLabels() error {
	if err := d.placeLabels(); err != nil {
		return err
	}
	src := d.src
	schema := &dataset.Schema{Label: src.Label, ID: src.ID, Rules: d.rules()}
	want := dataset.Enough{Classes: math.MaxInt}
	f, err := dataset.ReadFirst(src, d.dir, d.app.c.Datasets, d.app.c.Formats, want, dataset.OpenOptions{Schema: schema})
	if err != nil && d.label != "" {
		return fmt.Errorf("--data %s --label %s: %w", d.data, d.label, err)
	} else if err != nil {
		return d.explain(err)
	}
	d.rows, d.classes = f.Rows, slices.Clone(f.Seen)
	if !f.Labelled && len(f.Seen) == 0 {
		return usagef("--label is missing: nothing tells the classes of the rows of %s: name a file of labels, put each class into a folder of its own, or name the array", d.data)
	}
	slices.SortFunc(d.classes, byNumber)
	switch n := len(d.classes); {
	case n == 1 && f.Whole:
		return usagef("--label: every row is of class %s: a classifier tells two classes or more apart", d.classes[0])
	case n > 30 && d.rows > 0 && n > d.rows/3:
		return usagef("--label %s: %d different values in %d rows are no classes", d.label, n, d.rows)
	}
	if d.rows > 0 {
		d.holds = d.rows * 15 / 100
	}
	return nil
}

// byNumber orders numbers as such, before words.
func byNumber(a, b string) int {
	x, errA := strconv.ParseFloat(a, 64)
	y, errB := strconv.ParseFloat(b, 64)
	switch {
	case errA == nil && errB == nil && x != y:
		if x < y {
			return -1
		}
		return 1
	case errA == nil && errB != nil:
		return -1
	case errA != nil && errB == nil:
		return 1
	}
	return strings.Compare(a, b)
}

// placeLabels finds the key of the source that names the labels.
func (d *draft) placeLabels() error {
	if d.table {
		d.src.Label, d.src.ID = d.label, d.id
		return nil
	}
	if d.label != "" {
		if _, err := os.Stat(d.label); err == nil {
			d.src.Labels = d.relative(d.label)
		} else {
			d.src.Y = d.label
		}
		return nil
	}
	for _, key := range []string{"", "y", "labels", "label"} {
		src := d.src
		src.Y = key
		if h, err := dataset.ReadHeader(src, d.dir, d.app.c.Datasets, d.app.c.Formats); err == nil && h.Labelled {
			d.src.Y = key
			return nil
		}
	}
	if !d.interactive {
		return nil
	}
	answer, err := d.ask("labels (a file, or the name of an array):")
	if err != nil || answer == "" {
		return err
	}
	d.label = answer
	return d.placeLabels()
}
