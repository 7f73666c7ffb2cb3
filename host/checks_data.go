package host

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/evaluate"
	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/host/signature"
	"github.com/vaeguard/vaeguard/host/spec"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// known is what is known of the rows of a role: to lint by their header and the
// first of them, to a run by all. Both hold it against rowFaults.
type known struct {
	rows     int      // −1: not counted
	labelled bool     // rows have labels
	classes  []string // that occur
	whole    bool     // no other class does
}

// checkData reads the first rows of each role and finds what a run would
// stumble over: rows that are too few or have not the labels that they need and,
// for lint, what cannot be read. Data that is not at hand is left to the run.
func (s *Spec) checkData(d *spec.Document, c Components, found spec.Errors, lint bool) spec.Errors {
	var errs spec.Errors
	of := map[dataset.Role]known{}
	read := map[dataset.Role]*dataset.First{}
	in, _ := s.inputShape(d, c)
	classes := 0
	for _, role := range dataset.Roles {
		f, err := s.first(d, c, role)
		switch {
		case err != nil && lint:
			errs = append(errs, d.Errorf("data."+string(role), "%v", err))
		case err != nil: // the run says so
		case f != nil:
			of[role], read[role] = knownOf(f), f
			if role == dataset.RoleTrain {
				classes = f.Classes
			}
		}
	}
	errs = append(errs, roomFaults(d, of, in)...)
	if lint {
		errs = append(errs, s.agreeFaults(d, c, read)...)
	}
	if !found.Touch("classifier", "threshold", "detector") {
		errs = append(errs, s.rowFaults(d, of)...)
	}
	if !found.Touch("attacks", "corruptions") {
		errs = append(errs, s.fitFaults(d, in, classes)...)
	}
	return errs
}

// agreeFaults are roles whose rows become something else than those of the role that
// says what a row is, as far as headers and first rows tell. A run finds them when it
// has read all.
func (s *Spec) agreeFaults(d *spec.Document, c Components, read map[dataset.Role]*dataset.First) spec.Errors {
	first := s.Data.Describing()
	own := read[first]
	if own == nil {
		return nil
	}
	door, _, err := s.door(d, *s.Data.Of(first), c)
	if err != nil {
		return d.Faults("data", faultsBelow(string(first), err))
	}
	var errs spec.Errors
	for _, role := range dataset.Roles {
		f, src := read[role], s.Data.Of(role)
		if f == nil || role == first || f.About.Prepared {
			continue
		}
		if err := s.agrees(d, c, door, *src, f, own, string(first)); err != nil {
			errs = append(errs, d.Errorf("data."+string(role), "%v", err))
		}
	}
	return errs
}

// faultsBelow are faults of the section data with their keys, others those of a role.
func faultsBelow(role string, err error) error {
	var faults registry.FieldErrors
	if errors.As(err, &faults) {
		return faults
	}
	return registry.FieldErrors{{Key: role, Message: err.Error()}}
}

// agrees is agreeFaults of one source, whose first rows are f.
func (s *Spec) agrees(d *spec.Document, c Components, door *signature.Door, src dataset.Source, f, own *dataset.First, name string) error {
	if door.Kind == signature.KindTable && src.Dataset == "" {
		if _, err := dataset.ReadHeader(src, d.Abs("."), c.Datasets, c.Formats, dataset.OpenOptions{Schema: schemaFor(door, src)}); err != nil {
			return err
		}
	} else {
		other, err := signature.New(s.Data, src, f.Example, f.About)
		if err != nil {
			return err
		}
		if out, want := other.Out(), door.Out(); len(out) > 0 && len(want) > 0 && !out.Equal(want) {
			return fmt.Errorf("rows become %v, those of data.%s %v", out, name, want)
		}
	}
	if f.Low > f.High || own.Low > own.High {
		return nil
	}
	return door.AgreesFirst("data."+name, src, signature.Range{Low: f.Low, High: f.High}, signature.Range{Low: own.Low, High: own.High}, own.About.White)
}

// first reads the first rows of a role. It is nil if there is none, or nothing
// to read where the spec is checked.
func (s *Spec) first(d *spec.Document, c Components, role dataset.Role) (*dataset.First, error) {
	src := s.Data.Of(role)
	if src == nil {
		return nil, nil
	}
	want := dataset.Enough{}
	switch {
	case role == dataset.RoleTrain:
		want.Classes = s.wantClasses()
	case role == dataset.RoleCalibration && s.Threshold != nil:
		want.Rows = func(n int) bool { return s.Threshold.Check(s.Detector.CalibrationScores(n)) == nil }
	}
	f, err := dataset.ReadFirst(*src, d.Abs("."), c.Datasets, c.Formats, want, dataset.OpenOptions{Schema: s.schemaOf(*src)})
	if err != nil && (src.Dataset != "" || errors.Is(err, fs.ErrNotExist)) {
		return nil, nil
	}
	return &f, err
}

// wantClasses is how many classes it takes to know that there are enough.
func (s *Spec) wantClasses() int {
	n := 0
	if s.Classifier.Model.Train != nil {
		n = 2
	}
	for _, a := range s.Attacks {
		if v, ok := a.Value.(attack.Attack); ok && attack.Fits(v, nil, 2) != nil {
			n = 3
		}
	}
	return n
}

func knownOf(f *dataset.First) known {
	return known{rows: f.Rows, labelled: f.Labelled || f.Classes > 0, classes: f.Seen, whole: f.Whole}
}

// knownRows is what all rows tell.
func knownRows(data *dataset.Data) known {
	k := known{rows: data.N(), labelled: data.Labels != nil, whole: true}
	seen := map[int]bool{}
	for _, y := range data.Labels {
		if !seen[y] {
			seen[y] = true
			k.classes = append(k.classes, data.Classes[y])
		}
	}
	return k
}

// rowFaults are those of the rows of each role: what classifier.train and the
// threshold need of them.
func (s *Spec) rowFaults(d *spec.Document, of map[dataset.Role]known) spec.Errors {
	var errs spec.Errors
	if train, ok := of[dataset.RoleTrain]; ok && s.Classifier.Model.Train != nil {
		switch {
		case !train.labelled:
			errs = append(errs, d.Errorf("data.train", "names no labels (label: or labels:), and classifier.train needs them"))
		case train.whole && len(train.classes) == 1:
			errs = append(errs, d.Errorf("data.train", "every label is %s: a classifier tells two classes or more apart", train.classes[0]))
		}
	}
	if rows, ok := of[dataset.RoleCalibration]; ok && s.Threshold != nil && rows.rows >= 0 {
		if err := s.Threshold.Check(s.Detector.CalibrationScores(rows.rows)); err != nil {
			errs = append(errs, d.Errorf("threshold", "%v", err))
		}
	}
	return errs
}

// roomFaults are the roles whose rows of a shape, nil: not known, are too many for
// memory. Those of data.train stay in their file then.
func roomFaults(d *spec.Document, of map[dataset.Role]known, in tensor.Shape) spec.Errors {
	var errs spec.Errors
	for _, role := range dataset.Roles {
		rows := of[role].rows
		if role == dataset.RoleTrain || in == nil {
			continue
		}
		if most := dataset.MaxElements / max(1, in.Size()); rows > most {
			errs = append(errs, d.Errorf("data."+string(role), "%d rows of %v are %v, and are needed in memory: limit or range of at most %d bounds them", rows, in, dataset.ErrTooLarge, most))
		}
	}
	return errs
}

// fitFaults are attacks and corruptions that do not fit examples of a shape or a
// number of classes; nil and 0: not known.
func (s *Spec) fitFaults(d *spec.Document, in tensor.Shape, classes int) spec.Errors {
	var errs spec.Errors
	for _, c := range s.Attacks {
		if err := attack.Fits(registry.As[attack.Attack](c), in, classes); err != nil {
			errs = append(errs, d.Errorf(c.Path, "%v", err))
		}
	}
	for _, c := range s.Corruptions {
		if in == nil {
			break
		}
		if err := evaluate.Fits(registry.As[evaluate.Corruption](c), in); err != nil {
			errs = append(errs, d.Errorf(c.Path, "%v", err))
		}
	}
	return errs
}

// testFaults finds that the rows that judge a detector have no labels, which
// run needs and train does not.
func (s *Spec) testFaults(d *spec.Document, c Components) spec.Errors {
	f, err := s.first(d, c, dataset.RoleTest)
	if err != nil || f == nil || knownOf(f).labelled {
		return nil
	}
	return spec.Errors{d.Errorf("data.test", "names no labels (label: or labels:), and an evaluation needs them")}
}

// checkRead holds the rows that were read against what the spec needs of them,
// before anything is trained.
func (e *Experiment) checkRead() error {
	of := map[dataset.Role]known{}
	for role, data := range e.rows.of {
		of[role] = knownRows(data)
	}
	if faults := e.Spec.rowFaults(e.Spec.Document, of); len(faults) > 0 {
		return faults
	}
	return nil
}

// checkModel holds the rows that were read, the attacks and the corruptions
// against a classifier that runs, before a detector is trained. notice receives
// what is odd and may be meant.
func (e *Experiment) checkModel(in tensor.Shape, classes int, names []string, notice func(string)) error {
	s := e.Spec
	if faults := s.fitFaults(s.Document, in, classes); len(faults) > 0 {
		return faults
	}
	for _, role := range dataset.Roles {
		data := e.rows.of[role]
		if data == nil || data.Labels == nil {
			continue
		}
		if n := len(s.Data.Classes); n > 0 && n != classes {
			return s.Errorf("data.classes", "%d classes, and the classifier has %d", n, classes)
		}
		if c, at := misnumbered(data.Classes, names); c != "" {
			return s.Errorf("data.classes", "labels are numbered as %.200q, and the classifier has %.40q at %d: say the classifier's classes, data.classes: %s", data.Classes, c, at, flowList(names))
		}
		if n := len(data.Classes); len(names) == 0 && n < classes && data.Classes[n-1] != strconv.Itoa(n-1) {
			return s.Errorf("data.classes", "the labels have %d values, %.200q, and the classifier %d classes: say which is which, data.classes: [0, 1, …]", n, data.Classes, classes)
		}
		have := make([]bool, classes)
		for i, y := range data.Labels {
			if y < 0 || y >= classes {
				return s.Errorf("data."+string(role), "row %d is of class %d (label %s), and the classifier has the classes 0 to %d", i, y, data.Classes[y], classes-1)
			}
			have[y] = true
		}
		if role != dataset.RoleTrain && role != dataset.RoleCalibration {
			continue
		}
		if without := missing(have, names, data.Classes); without != "" {
			notice(fmt.Sprintf("data.%s has no row of the classifier's %s", role, without))
		}
	}
	return nil
}

// misnumbered finds a class that labels and classifier know under one name and
// number differently; "": there is none.
func misnumbered(labels, names []string) (class string, at int) {
	for i, c := range labels {
		if at := slices.Index(names, c); at >= 0 && at != i {
			return c, at
		}
	}
	return "", 0
}

// flowList are names as a list of YAML.
func flowList(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = strconv.Quote(n)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// missing lists classes without rows, "" if each has one. Names are the
// classifier's, or those of the labels.
func missing(have []bool, names, labels []string) string {
	if len(names) != len(have) {
		names = labels
	}
	const most = 5
	var out []string
	n := 0
	for c, ok := range have {
		switch {
		case ok:
			continue
		case n < most && c < len(names):
			out = append(out, names[c])
		case n < most:
			out = append(out, fmt.Sprint(c))
		}
		n++
	}
	switch {
	case n == 0:
		return ""
	case n > most:
		return fmt.Sprintf("classes %s and %d more", strings.Join(out, ", "), n-most)
	case n > 1:
		return "classes " + strings.Join(out, ", ")
	}
	return "class " + out[0]
}
