package artifact

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"slices"

	"github.com/vaeguard/vaeguard/host/artifact/safetensors"
	"github.com/vaeguard/vaeguard/host/detect"
)

// pendingSuffix is the end of a file's name that an in-place calibration has
// written and not yet moved to its place.
const pendingSuffix = ".new"

// maxMeta bounds meta.json.
const maxMeta = 16 << 20

// Load reads and verifies a detector: every file is there, with the size and
// the sha256 that meta.json has. path may be a run. The error names the file
// and whether it is missing, truncated or edited.
func Load(path string) (*Detector, error) {
	dir, err := Resolve(path)
	if err != nil {
		return nil, err
	}
	d, err := load(dir)
	if err != nil {
		return nil, fmt.Errorf("detector %s: %w", dir, err)
	}
	return d, nil
}

func load(dir string) (*Detector, error) {
	b, err := readFile(filepath.Join(dir, MetaFile), maxMeta)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", MetaFile, err)
	}
	d := &Detector{Dir: dir, Digest: "sha256:" + digest(b)}
	if d.Meta, err = parseMeta(b); err != nil {
		return nil, err
	}
	content := map[string][]byte{}
	for _, name := range sortedNames(d.Meta.Files) {
		if content[name], err = verified(dir, name, d.Meta); err != nil {
			return nil, err
		}
	}
	for _, name := range []string{SpecFile, WeightsFile} {
		if _, ok := content[name]; !ok {
			return nil, fmt.Errorf("%s lists no %s", MetaFile, name)
		}
	}
	d.Spec = content[SpecFile]
	weights, err := safetensors.Decode(bytes.NewReader(content[WeightsFile]), int64(len(content[WeightsFile])))
	if err == nil {
		err = weights.CheckFinite()
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", WeightsFile, err)
	}
	d.Tensors = weights.Tensors
	if d.State, err = readState(d.Meta, content); err != nil {
		return nil, err
	}
	if sub := filepath.Join(dir, ClassifierDir); hasClassifier(d.Meta) {
		d.ClassifierDir = sub
	}
	return d, nil
}

// verified reads one file and holds it against meta.json. After a calibration
// that was interrupted after its commit point, the new file still has its
// pending name.
func verified(dir, name string, m Meta) ([]byte, error) {
	if !filepath.IsLocal(filepath.FromSlash(name)) {
		return nil, fmt.Errorf("%s lists %q, which is outside the folder", MetaFile, name)
	}
	path := filepath.Join(dir, filepath.FromSlash(name))
	size := m.Sizes[name]
	b, err := readFile(path, size)
	if err == nil && digest(b) == m.Files[name] {
		return b, nil
	}
	if p, pendingErr := readFile(path+pendingSuffix, size); pendingErr == nil && digest(p) == m.Files[name] {
		return p, nil
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s is missing", name)
	case errors.Is(err, errNoFile):
		return nil, fmt.Errorf("%s is not a file", name)
	case errors.Is(err, errLong):
		return nil, fmt.Errorf("%s was edited: it has more than its %d bytes", name, size)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", name, err)
	case int64(len(b)) < m.Sizes[name]:
		return nil, fmt.Errorf("%s is truncated: %d of %d bytes", name, len(b), m.Sizes[name])
	}
	return nil, fmt.Errorf("%s was edited: its sha256 is %s, want %s", name, digest(b), m.Files[name])
}

// Files are the bytes of the files of the detector in dir, meta.json among
// them, by name with slashes, verified: the same detector elsewhere.
func Files(dir string) (map[string][]byte, error) {
	fault := func(err error) error { return fmt.Errorf("detector %s: %w", dir, err) }
	b, err := readFile(filepath.Join(dir, MetaFile), maxMeta)
	if err != nil {
		return nil, fault(fmt.Errorf("%s: %w", MetaFile, err))
	}
	m, err := parseMeta(b)
	if err != nil {
		return nil, fault(err)
	}
	out := map[string][]byte{MetaFile: b}
	for _, name := range sortedNames(m.Files) {
		if out[name], err = verified(dir, name, m); err != nil {
			return nil, fault(err)
		}
	}
	return out, nil
}

// readState restores the calibration and holds that the threshold follows
// from it.
func readState(m Meta, content map[string][]byte) (detect.State, error) {
	s := detect.State{Threshold: m.Threshold.detect()}
	if b, ok := content[CalibrationFile]; ok {
		rows, err := decodeNPY(b)
		if err != nil {
			return s, fmt.Errorf("%s: %w", CalibrationFile, err)
		}
		if s.Scores = rows[0]; len(rows) != 1 || !slices.IsSorted(s.Scores) || slices.ContainsFunc(s.Scores, math.IsNaN) {
			return s, fmt.Errorf("%s: want a sorted vector of scores", CalibrationFile)
		}
	}
	if b, ok := content[FusionFile]; ok {
		rows, err := decodeNPY(b)
		if err != nil {
			return s, fmt.Errorf("%s: %w", FusionFile, err)
		}
		s.Reference = rows
	}
	if b, ok := content[ClassesFile]; ok {
		rows, err := decodeNPY(b)
		if err != nil {
			return s, fmt.Errorf("%s: %w", ClassesFile, err)
		}
		for _, v := range rows[0] {
			if len(rows) != 1 || v != math.Trunc(v) || !(v >= 0 && v < float64(m.Classifier.Classes)) {
				return s, fmt.Errorf("%s: want a vector of classes", ClassesFile)
			}
			s.Classes = append(s.Classes, int(v))
		}
	}
	if s.Threshold != nil {
		if n := len(s.Threshold.ByClass); s.Threshold.Rule.By != "" && n != m.Classifier.Classes { // before anything of that size is made
			return s, fmt.Errorf("%s: %d thresholds by class for %d classes", MetaFile, n, m.Classifier.Classes)
		}
		again, err := detect.NewClassThresholds(s.Threshold.Rule, s.Scores, s.Classes, m.Classifier.Classes)
		if err != nil {
			return s, fmt.Errorf("%s: %w", MetaFile, err)
		}
		if again.Value != s.Threshold.Value {
			return s, fmt.Errorf("%s: the threshold %g does not follow from the calibration, which gives %g", MetaFile, s.Threshold.Value, again.Value)
		}
		if !slices.Equal(again.ByClass, s.Threshold.ByClass) {
			return s, fmt.Errorf("%s: the thresholds by class do not follow from the calibration", MetaFile)
		}
	}
	return s, nil
}

func hasClassifier(m Meta) bool {
	for name := range m.Files {
		if len(name) > len(ClassifierDir) && name[:len(ClassifierDir)+1] == ClassifierDir+"/" {
			return true
		}
	}
	return false
}
