package dataset

import (
	"fmt"
	"path/filepath"

	"github.com/vaeguard/vaeguard/host/registry"
)

// Role is what rows are for.
type Role string

// The roles.
const (
	RoleTrain       Role = "train"
	RoleValidation  Role = "validation"
	RoleCalibration Role = "calibration"
	RoleTest        Role = "test"
)

// Roles lists them in order of use.
var Roles = [...]Role{RoleTrain, RoleValidation, RoleCalibration, RoleTest}

// Section is the spec's section data: the rows of each role.
type Section struct {
	Train        *Source `yaml:"train" doc:"trains the auto-encoder (and a trainable classifier)"`
	Validation   *Source `yaml:"validation" doc:"validation metrics and early stopping"`
	Calibration  *Source `yaml:"calibration" doc:"sets the threshold: clean, held out, drawn like the data to come"`
	Test         *Source `yaml:"test" doc:"judges the detector"`
	AllowOverlap bool    `yaml:"allow_overlap" doc:"rows may serve two roles"`

	Columns map[string]ColumnSpec `yaml:"columns" doc:"columns of tables, by name; one without a word here is a number that must be there"`
	Prepare []registry.Component  `yaml:"prepare" kind:"step" doc:"from rows as files have them to the rows that the guard and the classifier take, in order: see list step"`
	Classes []any                 `yaml:"classes" doc:"the classes, in order: what labels in files say; absent: what they say, sorted"`
}

// Of is the source of a role, nil if there is none.
func (s Section) Of(role Role) *Source {
	switch role {
	case RoleTrain:
		return s.Train
	case RoleValidation:
		return s.Validation
	case RoleCalibration:
		return s.Calibration
	case RoleTest:
		return s.Test
	}
	return nil
}

// Describing is the role whose source says what a row is: train, or else the
// first that there is; "": there is none.
func (s Section) Describing() Role {
	for _, role := range []Role{RoleTrain, RoleCalibration, RoleTest, RoleValidation} {
		if s.Of(role) != nil {
			return role
		}
	}
	return ""
}

// ClassNames are the declared classes as text, nil if none are.
func (s Section) ClassNames() []string {
	if s.Classes == nil {
		return nil
	}
	out := make([]string, len(s.Classes))
	for i, v := range s.Classes {
		out[i] = Canonical(v)
	}
	return out
}

// Source is where rows come from: one of dataset, file, folder, idx, cifar10.
type Source struct {
	Dataset   string   `yaml:"dataset" kind:"dataset" doc:"a named set: see list dataset"`
	File      string   `yaml:"file" format:"path" doc:"rows in a format of list format, by extension or first bytes; .npz:KEY names an array"`
	Folder    string   `yaml:"folder" format:"path" doc:"folder of images, one subfolder per class"`
	IDX       string   `yaml:"idx" format:"path" doc:"IDX images, .gz or plain"`
	CIFAR10   string   `yaml:"cifar10" format:"path" doc:"folder of CIFAR-10's binary batches"`
	X         string   `yaml:"x" doc:"key of the inputs in a .npz (x, or the only array)"`
	Labels    string   `yaml:"labels" doc:"labels: a file, or a key of the same .npz"`
	Y         string   `yaml:"y" doc:"key of the labels in the same .npz"`
	Label     string   `yaml:"label" doc:"column of the labels in a table"`
	ID        string   `yaml:"id" doc:"column of a table that names a row: no feature, and told beside its verdict"`
	Header    *bool    `yaml:"header" doc:"whether the first line of a table of text, or of labels as text, is a header; absent: known names tell"`
	Split     string   `yaml:"split" enum:"|train|validation|calibration|test" doc:"official split, or part of a stratified 60/10/15/15 partition; absent: all rows in file order"`
	SplitSeed uint64   `yaml:"split_seed" doc:"seed of the permutation of the partition, or of shuffle"`
	Shuffle   bool     `yaml:"shuffle" doc:"take the rows of an official split, or of a file, in the order of a permutation that split_seed fixes: ranges of them are then alike, whatever the file is sorted by. A partition has one anyway"`
	Range     []int    `yaml:"range" doc:"[a, b]: rows a ≤ i < b of those that split selects"`
	Limit     int      `yaml:"limit" check:">= 0" doc:"a class-balanced number of rows; 0: all"`
	Stream    bool     `yaml:"stream" doc:"data.train: leave rows in the file and read each batch when it is due, for data larger than memory; the weights have the same bits. Without it, so are rows of more than 2^30 numbers. .npy, IDX and images are read where they are, others are copied to a temporary file; what the classifier says of each row stays in memory, 4 bytes a class"`
	Layout    string   `yaml:"layout" enum:"|nhwc|nchw" doc:"layout of images in the file"`
	Rescale   *Rescale `yaml:"rescale" doc:"x·scale + offset: short for a step of prepare, before the others"`
	Reshape   []int    `yaml:"reshape" doc:"shape of one example"`
	Scale     string   `yaml:"scale" enum:"|standard" doc:"standardise features with data.train's mean and deviation: short for a step of prepare, after the others"`
}

// Rescale is x·Scale + Offset.
type Rescale struct {
	Scale  Values `yaml:"scale" default:"1" doc:"factor: a number, or a list with one a channel or column"`
	Offset Values `yaml:"offset" default:"0" doc:"added after the factor: a number, or a list as scale"`
}

// Standard reports whether the source is standardised.
func (s *Source) Standard() bool { return s.Scale == "standard" }

// Prepared reports whether the source says how its rows are prepared.
func (s *Source) Prepared() bool {
	return s.Layout != "" || s.Rescale != nil || s.Reshape != nil || s.Standard()
}

// places are the keys that say where rows are, and their values.
func (s *Source) places() (keys []string, values []string) {
	return []string{"dataset", "file", "folder", "idx", "cifar10"}, []string{s.Dataset, s.File, s.Folder, s.IDX, s.CIFAR10}
}

// Where is the key and the value that says where the rows are: "file",
// "x.npy". Both are empty if none is set.
func (s *Source) Where() (key, value string) {
	keys, values := s.places()
	for i, v := range values {
		if v != "" {
			return keys[i], v
		}
	}
	return "", ""
}

// Validate implements registry.Validator: what can be told without the formats
// (see Check).
func (s *Source) Validate() error {
	var faults registry.FieldErrors
	keys, values := s.places()
	set := make([]bool, len(keys))
	for i, v := range values {
		set[i] = v != ""
	}
	if faults.OneOf(keys, set...); len(faults) > 0 {
		return faults
	}
	if s.Y != "" && s.Labels != "" {
		faults.Add("y", "excludes labels: both say where the labels are")
	}
	if s.Range != nil {
		switch {
		case len(s.Range) != 2:
			faults.Add("range", "want [a, b], got %d numbers", len(s.Range))
		case s.Range[0] < 0 || s.Range[1] <= s.Range[0]:
			faults.Add("range", "want 0 <= a < b, got [%d, %d]", s.Range[0], s.Range[1])
		}
	}
	return faults.Err()
}

// Overlaps finds rows that certainly serve two roles, as far as the section
// alone tells: the same source and split, and ranges that meet. (The same rows
// under two names are found by digest when they are read.) Roles whose source
// is not sound are left out.
func (s Section) Overlaps(sound func(Role) bool) error {
	if s.AllowOverlap {
		return nil
	}
	var faults registry.FieldErrors
	var before []Role
	for _, role := range Roles {
		src := s.Of(role)
		if src == nil || !sound(role) {
			continue
		}
		for _, other := range before {
			if rows := s.Of(other).overlap(src); rows != "" {
				faults.Add(string(role), "%s also serve data.%s; split or range them apart, or set data.allow_overlap: true", rows, other)
				break
			}
		}
		before = append(before, role)
	}
	return faults.Err()
}

// Unlike finds roles whose source says scale: standard where that of the role which
// says what a row is does not, or the other way round: their rows would be prepared
// otherwise. Roles whose source is not sound are left out.
func (s Section) Unlike(sound func(Role) bool) error {
	var faults registry.FieldErrors
	first := s.Describing()
	if first == "" || !sound(first) {
		return nil
	}
	standard := s.Of(first).Standard()
	for _, role := range Roles {
		src := s.Of(role)
		if src == nil || !sound(role) || src.Standard() == standard {
			continue
		}
		if standard {
			faults.Add(string(role), "lacks the scale: standard of data.%s, whose rows the guard would know standardised and these not; say it here too, or for all rows as the last step of data.prepare", first)
			continue
		}
		faults.Add(string(role)+".scale", "is standard, and data.%s has no scale: the rows of both have to be prepared alike; say it there too, or for all rows as the last step of data.prepare", first)
	}
	return faults.Err()
}

// overlap says which rows two sources share, or nothing.
func (s *Source) overlap(e *Source) string {
	kind, name := s.Where()
	otherKind, otherName := e.Where()
	if kind != "dataset" {
		name, otherName = filepath.Clean(name), filepath.Clean(otherName)
	}
	if kind != otherKind || name != otherName || s.X != e.X {
		return ""
	}
	if s.Split != "" {
		name += " " + s.Split
	}
	if s.Split == e.Split && (s.Shuffle != e.Shuffle || s.Shuffle && s.SplitSeed != e.SplitSeed) {
		if s.Range != nil && e.Range != nil {
			return "" // of two orders: only the rows tell
		}
		return "rows of " + name
	}
	if s.Split != e.Split || s.SplitSeed != e.SplitSeed {
		if s.Split != "" && e.Split != "" && (s.SplitSeed == e.SplitSeed || s.Shuffle || e.Shuffle) {
			return "" // parts of one partition, or official splits
		}
		return "rows of " + name // another order: a common row is all but certain
	}
	if s.Range == nil && e.Range == nil {
		return "the rows of " + name
	}
	lo, hi := 0, -1
	for _, r := range [][]int{s.Range, e.Range} {
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
