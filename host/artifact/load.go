package artifact

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vaeguard/vaeguard/host/artifact/safetensors"
	"github.com/vaeguard/vaeguard/host/detect"
)

// pendingSuffix is the end of a file's name that an in-place calibration has
// written and not yet moved to its place.
const pendingSuffix = ".new"

// maxMeta bounds meta.json.
const maxMeta = 16 << 20

const (
	// MaxClassifier is how many bytes of its classifier's files a detector may hold.
	MaxClassifier = 16 << 30
	// maxOwn bounds each file of the detector's own, which are read whole.
	maxOwn = 4 << 30
)

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
	content, err := contents(dir, d.Meta)
	if err != nil {
		return nil, err
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
	if b, ok := content[CanariesFile]; ok {
		if d.Canaries, err = parseCanaries(b, d.Meta); err != nil {
			return nil, fmt.Errorf("%s: %w", CanariesFile, err)
		}
	}
	if sub := filepath.Join(dir, ClassifierDir); hasClassifier(d.Meta) {
		d.ClassifierDir = sub
	}
	return d, nil
}

// contents verifies all files. Those of the detector's own are in the map, those of
// its classifier were only looked through.
func contents(dir string, m Meta) (map[string][]byte, error) {
	out := map[string][]byte{}
	total := int64(0)
	for _, name := range sortedNames(m.Files) {
		size := m.Sizes[name]
		if ofClassifier(name) {
			if total += size; size < 0 || size > MaxClassifier || total > MaxClassifier {
				return nil, fmt.Errorf("%s lists more than %d bytes of the classifier", MetaFile, int64(MaxClassifier))
			}
			if err := verifiedStream(dir, name, m); err != nil {
				return nil, err
			}
			continue
		}
		if size > maxOwn {
			return nil, fmt.Errorf("%s says that %s has %d bytes, want at most %d", MetaFile, name, size, int64(maxOwn))
		}
		var err error
		if out[name], err = verified(dir, name, m); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// ofClassifier reports whether a file is one of the classifier's.
func ofClassifier(name string) bool { return strings.HasPrefix(name, ClassifierDir+"/") }

// verifiedStream is verified for a file that is not kept in memory.
func verifiedStream(dir, name string, m Meta) error {
	if !filepath.IsLocal(filepath.FromSlash(name)) {
		return fmt.Errorf("%s lists %q, which is outside the folder", MetaFile, name)
	}
	size := m.Sizes[name]
	sum, n, err := digestFile(filepath.Join(dir, filepath.FromSlash(name)), size)
	if err == nil && sum == m.Files[name] {
		return nil
	}
	return mismatch(name, sum, n, err, m)
}

// mismatch says how a file is not the one that meta.json lists.
func mismatch(name, sum string, n int64, err error, m Meta) error {
	size := m.Sizes[name]
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s is missing", name)
	case errors.Is(err, errNoFile):
		return fmt.Errorf("%s is not a file", name)
	case errors.Is(err, errLong):
		return fmt.Errorf("%s was edited: it has more than its %d bytes", name, size)
	case err != nil:
		return fmt.Errorf("%s: %w", name, err)
	case n < size:
		return fmt.Errorf("%s is truncated: %d of %d bytes", name, n, size)
	}
	return fmt.Errorf("%s was edited: its sha256 is %s, want %s", name, sum, m.Files[name])
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
	return nil, mismatch(name, digest(b), int64(len(b)), err, m)
}

// Files are the bytes of the files of the detector in dir, meta.json among
// them, by name with slashes, verified: the same detector elsewhere. Those of its
// classifier, which may be large, are named in classifier alone.
func Files(dir string) (own map[string][]byte, classifier []string, err error) {
	fault := func(err error) error { return fmt.Errorf("detector %s: %w", dir, err) }
	b, err := readFile(filepath.Join(dir, MetaFile), maxMeta)
	if err != nil {
		return nil, nil, fault(fmt.Errorf("%s: %w", MetaFile, err))
	}
	m, err := parseMeta(b)
	if err != nil {
		return nil, nil, fault(err)
	}
	if own, err = contents(dir, m); err != nil {
		return nil, nil, fault(err)
	}
	own[MetaFile] = b
	for _, name := range sortedNames(m.Files) {
		if ofClassifier(name) {
			classifier = append(classifier, name)
		}
	}
	return own, classifier, nil
}

// readState restores the calibration and holds that the threshold follows
// from it.
func readState(m Meta, content map[string][]byte) (detect.State, error) {
	s := detect.State{Threshold: m.Threshold.detect(), Correction: m.Correction.detect()}
	if c := s.Correction; c != nil && len(c.Least) != m.Classifier.Classes {
		return s, fmt.Errorf("%s: correction has %d margins for %d classes", MetaFile, len(c.Least), m.Classifier.Classes)
	}
	if b, ok := content[CalibrationFile]; ok {
		rows, err := decodeNPY(b)
		if err != nil {
			return s, fmt.Errorf("%s: %w", CalibrationFile, err)
		}
		if s.Scores = rows[0]; len(rows) != 1 || !slices.IsSorted(s.Scores) || slices.ContainsFunc(s.Scores, math.IsNaN) {
			return s, fmt.Errorf("%s: want a sorted vector of scores", CalibrationFile)
		}
	}
	if b, ok := content[FirstFile]; ok {
		rows, err := decodeNPY(b)
		if err != nil {
			return s, fmt.Errorf("%s: %w", FirstFile, err)
		}
		if s.First = rows[0]; len(rows) != 1 || len(s.First) != len(s.Scores) || slices.ContainsFunc(s.First, math.IsNaN) {
			return s, fmt.Errorf("%s: want a vector of as many scores as are in %s", FirstFile, CalibrationFile)
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
		if n := len(s.Threshold.ByClass); s.Threshold.Rule.Splits() && n != m.Classifier.Classes { // before anything of that size is made
			return s, fmt.Errorf("%s: %d thresholds by class for %d classes", MetaFile, n, m.Classifier.Classes)
		}
		if err := s.Threshold.Follows(s.Scores, s.Classes, m.Classifier.Classes); err != nil {
			return s, fmt.Errorf("%s: %w", MetaFile, err)
		}
	}
	return s, nil
}

func hasClassifier(m Meta) bool {
	for name := range m.Files {
		if ofClassifier(name) {
			return true
		}
	}
	return false
}
