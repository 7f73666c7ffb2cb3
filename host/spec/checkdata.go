package spec

import (
	"fmt"
	"path/filepath"
	"strings"
)

// Role is a use of rows.
type Role struct {
	Name   string // train, validation, calibration, test
	Source *DataSource
}

// Roles lists the roles that have rows, in order of use.
func (d *Data) Roles() []Role {
	var out []Role
	for _, r := range []Role{{"train", d.Train}, {"validation", d.Validation}, {"calibration", d.Calibration}, {"test", d.Test}} {
		if r.Source != nil {
			out = append(out, r)
		}
	}
	return out
}

// Check finds what is wrong between the keys of one source. The error names
// no place.
func (d *DataSource) Check() error {
	faults := d.faults()
	if len(faults) == 0 {
		return nil
	}
	if e := faults[0]; e.key != "" {
		return fmt.Errorf("%s: %s", e.key, e.message)
	}
	return fmt.Errorf("%s", faults[0].message)
}

// fault is a message about a key of a section.
type fault struct{ key, message string }

// Where is the key and the value that says where the rows are: "file",
// "x.npy". Both are empty if none is set.
func (d *DataSource) Where() (key, value string) {
	for _, k := range d.places() {
		if k[1] != "" {
			return k[0], k[1]
		}
	}
	return "", ""
}

func (d *DataSource) places() [][2]string {
	return [][2]string{{"dataset", d.Dataset}, {"file", d.File}, {"folder", d.Folder}, {"idx", d.IDX}, {"cifar10", d.CIFAR10}}
}

func (d *DataSource) faults() []fault {
	var out []fault
	add := func(key, format string, args ...any) {
		out = append(out, fault{key, fmt.Sprintf(format, args...)})
	}
	var all, have []string
	for _, k := range d.places() {
		all = append(all, k[0])
		if k[1] != "" {
			have = append(have, k[0])
		}
	}
	switch len(have) {
	case 0:
		add("", "want one of %s", strings.Join(all, ", "))
		return out
	case 1:
	default:
		add("", "%s exclude each other; want one of them", strings.Join(have, ", "))
		return out
	}
	kind := have[0]
	ext := strings.ToLower(filepath.Ext(d.File))
	if kind == "file" {
		switch ext {
		case ".npy", ".npz", ".csv", ".parquet":
		default:
			add("file", "want .npy, .npz, .csv or .parquet, got %q", d.File)
			return out
		}
	}
	if d.X != "" && ext != ".npz" {
		add("x", "names an array of a .npz, and the source is none")
	}
	if d.Y != "" && ext != ".npz" {
		add("y", "names an array of a .npz, and the source is none")
	}
	if d.Y != "" && d.Labels != "" {
		add("y", "excludes labels: both say where the labels are")
	}
	if d.Label != "" && ext != ".csv" && ext != ".parquet" {
		add("label", "names a column of a table; for a file of labels write labels")
	}
	if d.Labels != "" && kind != "idx" && ext != ".npy" && ext != ".npz" {
		add("labels", "is for .npy, .npz and idx; %s", map[bool]string{true: "for a column write label", false: kind + " brings its own"}[kind == "file"])
	}
	if d.Range != nil {
		switch {
		case len(d.Range) != 2:
			add("range", "want [a, b], got %d numbers", len(d.Range))
		case d.Range[0] < 0 || d.Range[1] <= d.Range[0]:
			add("range", "want 0 <= a < b, got [%d, %d]", d.Range[0], d.Range[1])
		}
	}
	return out
}

func (s *Spec) checkSources(found Errors) Errors {
	var errs Errors
	for _, r := range s.Data.Roles() {
		if found.below("data." + r.Name) {
			continue
		}
		for _, f := range r.Source.faults() {
			path := "data." + r.Name
			if f.key != "" {
				path += "." + f.key
			}
			errs = append(errs, s.Errorf(path, "%s", f.message))
		}
	}
	return errs
}

// checkOverlap finds rows that certainly serve two roles, as far as the spec
// alone tells: the same source and split, and ranges that meet. (The same
// rows under two names are found by digest when they are read.)
func (s *Spec) checkOverlap(found Errors) Errors {
	if s.Data.AllowOverlap {
		return nil
	}
	var errs Errors
	var sound []Role
	for _, b := range s.Data.Roles() {
		if found.below("data."+b.Name) || len(b.Source.faults()) > 0 {
			continue
		}
		for _, a := range sound {
			if rows := a.Source.overlap(b.Source); rows != "" {
				errs = append(errs, s.Errorf("data."+b.Name, "%s also serve data.%s; split or range them apart, or set data.allow_overlap: true", rows, a.Name))
				break
			}
		}
		sound = append(sound, b)
	}
	return errs
}

// overlap says which rows two sources share, or nothing.
func (d *DataSource) overlap(e *DataSource) string {
	kind, name := d.Where()
	otherKind, otherName := e.Where()
	if kind != "dataset" {
		name, otherName = filepath.Clean(name), filepath.Clean(otherName)
	}
	if kind != otherKind || name != otherName || d.X != e.X {
		return ""
	}
	if d.Split != "" {
		name += " " + d.Split
	}
	if d.Split != e.Split || d.SplitSeed != e.SplitSeed {
		if d.Split != "" && e.Split != "" && d.SplitSeed == e.SplitSeed {
			return "" // parts of one partition
		}
		return "rows of " + name // another order: a common row is all but certain
	}
	if d.Range == nil && e.Range == nil {
		return "the rows of " + name
	}
	lo, hi := 0, -1
	for _, r := range [][]int{d.Range, e.Range} {
		if r != nil {
			lo = max(lo, r[0])
			if hi < 0 || r[1] < hi {
				hi = r[1]
			}
		}
	}
	if lo >= hi {
		return ""
	}
	return fmt.Sprintf("rows %d to %d of %s", lo, hi-1, name)
}
