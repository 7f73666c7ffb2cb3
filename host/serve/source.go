package serve

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"unicode"
	"unicode/utf8"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/artifact"
	"github.com/vaeguard/vaeguard/host/artifact/pack"
	"github.com/vaeguard/vaeguard/host/spec"
)

// candidate is a detector on disk that a model may use.
type candidate struct {
	model   Model
	path    string
	version string // of a repository, its folder; "": the detector's digest tells
	stamp   string // of what is there now
	doc     *spec.Document
	limits  Limits
}

// settings are what a file says of how it is opened and judges: what it says of upstreams is
// the proxy's.
func (c candidate) settings() string {
	m := c.model
	m.Upstream, m.Policy, m.OnFailure, m.Block = nil, "", "", ""
	if m.ReconstructWith != nil {
		text, _ := json.Marshal(m.ReconstructWith) // it came from YAML
		m.ReconstructWith = nil
		return fmt.Sprintf("%+v %+v %s", m, c.limits.ofModels(), text)
	}
	return fmt.Sprintf("%+v %+v", m, c.limits.ofModels())
}

// same reports whether two candidates are the same files in the same place, with the same
// settings.
func (c candidate) same(other candidate) bool {
	return c.path == other.path && c.version == other.version && c.stamp == other.stamp && c.settings() == other.settings()
}

// options are how it is opened.
func (c candidate) options() host.OpenOptions {
	o := host.OpenOptions{Base: c.doc.Abs(c.model.Base), Classifier: c.model.Classifier, AllowCommand: c.model.AllowCommand, AllowLock: c.doc.Abs(c.model.Lock)}
	if r := c.model.ReconstructWith; r != nil {
		replica := *r
		replica.Base = c.doc.Abs(".")
		o.Replica = &replica
	}
	return o
}

// versionOf is its version: of a detector that a file lists, the head of its digest.
func (c candidate) versionOf(d *host.Detector) string {
	if c.version != "" {
		return c.version
	}
	digest := strings.TrimPrefix(d.Digest(), "sha256:")
	return digest[:min(12, len(digest))]
}

// key names a candidate as it is now.
func (c candidate) key() string { return c.path + " " + c.stamp + " " + c.settings() }

// stampOf tells the files of a detector from others: by the names, sizes and times
// of all of them, so that a copy under way is another one than the whole. "": there
// is no detector.
func stampOf(path string) string {
	h := sha256.New()
	note := func(name string, info fs.FileInfo) {
		fmt.Fprintf(h, "%q %d %d\n", name, info.Size(), info.ModTime().UnixNano())
	}
	dir, err := artifact.Resolve(path)
	switch {
	case err == nil:
		err = filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			info, err := e.Info()
			if err == nil {
				note(name, info)
			}
			return err
		})
		if err != nil {
			return "" // it is being changed
		}
	case pack.Is(path):
		info, err := os.Stat(path)
		if err != nil {
			return ""
		}
		note(path, info)
	default:
		return ""
	}
	return hex.EncodeToString(h.Sum(nil))
}

// source is where models come from: a file that may be read again meanwhile.
type source struct{ spec *atomic.Pointer[Spec] }

func newSource(s *Spec) source {
	out := source{new(atomic.Pointer[Spec])}
	out.spec.Store(s)
	return out
}

// now is the file as it is in force.
func (s source) now() *Spec { return s.spec.Load() }

func (s source) root() string {
	if s.now().Repository == "" {
		return ""
	}
	return s.now().Abs(s.now().Repository)
}

// listed is the model of a name that the file lists.
func (s source) listed(name string) (Model, bool) { return s.now().listed(name) }

// listed is the model of a name that the file lists.
func (s *Spec) listed(name string) (Model, bool) {
	for _, m := range s.Models {
		if m.Name == name {
			return m, true
		}
	}
	return Model{}, false
}

// names are all models, in order.
func (s source) names() []string {
	var out []string
	for _, m := range s.now().Models {
		out = append(out, m.Name)
	}
	if root := s.root(); root != "" {
		for _, name := range folders(root) {
			if !slices.Contains(out, name) && len(s.versions(name)) > 0 {
				out = append(out, name)
			}
		}
	}
	slices.Sort(out)
	return out
}

// folders are the visible folders in one, and packs.
func folders(dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil // it is gone, or was never there: nothing is offered
	}
	var out []string
	for _, e := range entries {
		odd := !utf8.ValidString(e.Name()) || strings.ContainsFunc(e.Name(), unicode.IsControl) // names stand in metrics, logs and answers
		if odd || strings.HasPrefix(e.Name(), ".") || strings.HasSuffix(e.Name(), ".partial") {
			continue
		}
		if info, err := os.Stat(filepath.Join(dir, e.Name())); err == nil && info.IsDir() {
			out = append(out, e.Name())
		}
	}
	return out
}

// versions are those of a model of the repository that hold a detector, the highest first.
func (s source) versions(name string) []string {
	if _, ok := s.listed(name); ok || s.root() == "" {
		return nil
	}
	var out []string
	for _, v := range folders(filepath.Join(s.root(), name)) {
		if stampOf(filepath.Join(s.root(), name, v)) != "" {
			out = append(out, v)
		}
	}
	slices.SortFunc(out, func(a, b string) int { return higher(b, a) })
	return out
}

// higher compares versions: by their numbers where they begin with some, else by
// their letters. 2 is below 10.
func higher(a, b string) int {
	x, y := numbers(a), numbers(b)
	for i := range min(len(x), len(y)) {
		if c := cmp.Compare(x[i], y[i]); c != 0 {
			return c
		}
	}
	return cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(a, b))
}

// numbers are those of a version such as 1.10.2 or v3, up to what is none.
func numbers(version string) []uint64 {
	var out []uint64
	for part := range strings.SplitSeq(strings.TrimPrefix(version, "v"), ".") {
		n, err := strconv.ParseUint(part, 10, 64)
		if err != nil {
			break
		}
		out = append(out, n)
	}
	return out
}

// has reports whether a model has a version on disk.
func (s source) has(name, version string) bool { return slices.Contains(s.versions(name), version) }

// place is where a model's detectors are looked for.
func (s source) place(name string) string {
	if m, ok := s.listed(name); ok {
		return s.now().Abs(m.Detector)
	}
	return filepath.Join(s.root(), name)
}

// candidates are what a model may use, the best first.
func (s source) candidates(name string) []candidate {
	if m, ok := s.listed(name); ok {
		path := s.now().Abs(m.Detector)
		return []candidate{{model: m, path: path, stamp: cmp.Or(stampOf(path), "none"), doc: s.now().Document, limits: s.now().Limits}}
	}
	var out []candidate
	for _, v := range s.versions(name) {
		path := filepath.Join(s.root(), name, v)
		out = append(out, candidate{model: Model{Name: name, Batching: defaultBatching, Budget: Budget{Sample: 1}}, path: path, version: v, stamp: stampOf(path), doc: s.now().Document, limits: s.now().Limits})
	}
	return out
}

// defaultBatching is that of models of a repository.
var defaultBatching = Batching{MaxRows: 64, MaxDelay: Duration(2e6), Concurrency: 2}
