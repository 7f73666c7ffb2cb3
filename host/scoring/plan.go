package scoring

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/dataset"
)

// rangeRows is how many rows a unit has of what is not divided by itself. It is
// part of what a shard is: another number makes other shards.
const rangeRows = 1024

// Unit is the least that a shard takes whole: a row group of Parquet, a file, or
// a range of rows. Units are numbered from 0 through all files, and shard i of n
// has those whose number leaves i when divided by n.
type Unit struct {
	Number int    `json:"number"`
	Source string `json:"source"` // name of the file
	From   int    `json:"from"`   // first row, in the file
	Rows   int    `json:"rows"`   // in a manifest those that there were

	file int // number of the file
}

// input is what all shards share: files in order and their units.
type input struct {
	names   []string // as manifests have them
	paths   []string
	several bool // a pattern: rows have the name of their file
	units   []Unit
	openEnd bool               // one file of an unknown number of rows: units of rangeRows follow until it ends
	id      bool               // rows have ids
	kinds   []dataset.CellKind // of kept columns, as the first file knows them
	notices []string
	digest  string
}

// files are those that data names, a path or a pattern such as in/*.parquet, in
// order, with the names below what is no pattern.
func files(data string) (paths, names []string, several bool, err error) {
	if _, err := os.Stat(data); err == nil || !strings.ContainsAny(data, "*?[") {
		return []string{data}, []string{filepath.Base(data)}, false, nil
	}
	paths, err = filepath.Glob(data) // sorted
	if err != nil {
		return nil, nil, true, fmt.Errorf("%s: %w", data, err)
	}
	if len(paths) == 0 {
		return nil, nil, true, fmt.Errorf("%s: no such files", data)
	}
	base := data
	for strings.ContainsAny(base, "*?[") {
		base = filepath.Dir(base)
	}
	for _, p := range paths {
		name, err := filepath.Rel(base, p)
		if err != nil {
			return nil, nil, true, err
		}
		names = append(names, filepath.ToSlash(name))
	}
	return paths, names, true, nil
}

// survey finds the units of data. It opens every file, as far as its header.
func survey(d *host.Detector, data string, read host.ReadOptions) (*input, error) {
	if data == "-" {
		return nil, errors.New("standard input cannot be shared out: give a file, a folder, or a pattern of files")
	}
	in := &input{}
	var err error
	if in.paths, in.names, in.several, err = files(data); err != nil {
		return nil, err
	}
	type listed struct {
		Name  string
		Bytes int64
		Units []int
	}
	list := make([]listed, len(in.paths))
	for i, path := range in.paths {
		units, err := in.divide(d, i, path, read)
		if err != nil {
			return nil, err
		}
		list[i] = listed{Name: in.names[i], Units: units}
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			list[i].Bytes = info.Size()
		}
	}
	text, err := json.Marshal(list)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(text)
	in.digest = "sha256:" + hex.EncodeToString(sum[:])
	return in, nil
}

// divide adds the units of a file, and gives their rows; nil where they are not
// known.
func (in *input) divide(d *host.Detector, i int, path string, read host.ReadOptions) (units []int, err error) {
	s, err := d.Stream(path, read)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if i == 0 {
		in.notices, in.kinds = s.About().Notices, s.Kept()
	}
	in.id = in.id || s.Schema().ID != ""
	switch units = s.Units(); {
	case units != nil:
	case in.several:
		units = []int{-1}
	case s.Count() >= 0:
		for left := s.Count(); left > 0; left -= rangeRows {
			units = append(units, min(left, rangeRows))
		}
	default:
		in.openEnd = true
		return nil, nil
	}
	from := 0
	for _, n := range units {
		in.units = append(in.units, Unit{file: i, Number: len(in.units), Source: in.names[i], From: from, Rows: n})
		from += n
	}
	return units, nil
}
