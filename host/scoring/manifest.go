package scoring

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/vaeguard/vaeguard/host/atomicfile"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/results"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// manifestFormat is the version of what a manifest says, and of what a shard is.
const manifestFormat = 1

// Manifest stands beside the results of a shard, and is written after them: what
// has one is done.
type Manifest struct {
	Format     int          `json:"format"`
	Shard      int          `json:"shard"` // from 0
	Of         int          `json:"of"`
	Meta       results.Meta `json:"meta"`       // of the detector, with its digest
	Classifier string       `json:"classifier"` // digest of the classifier, "" if it has none
	Example    tensor.Shape `json:"example"`    // of a row, as the guard takes it
	Included   Included     `json:"included"`
	Input      InputDigest  `json:"input"`
	ID         bool         `json:"id"` // rows have ids
	// Kinds are those of the columns of Meta.Keep: 1 numbers, 2 text, 3 and 4 whole numbers
	// of 64 bits with and without a sign, 0 no value.
	Kinds  []dataset.CellKind `json:"kinds,omitempty"`
	Total  int                `json:"total"` // units of all shards
	Units  []Unit             `json:"units"` // of this one, in order
	Output OutputDigest       `json:"output"`
	Tally  Tally              `json:"tally"`
}

// Included is what results have, and how rows are read: the same for all shards.
type Included struct {
	Parts    detect.Include `json:"parts"`
	NoScore  bool           `json:"no_instance_score,omitempty"`
	SkipBad  bool           `json:"skip_bad,omitempty"`
	Prepared bool           `json:"prepared,omitempty"`
	Format   string         `json:"input_format,omitempty"`
	Label    string         `json:"label,omitempty"`
	Header   *bool          `json:"header,omitempty"`
}

// InputDigest says what the rows were.
type InputDigest struct {
	// Listing is the digest of the names and sizes of all files, and of the rows of
	// all units: the same for all shards.
	Listing string `json:"listing"`
	// Rows is the digest of the numbers of the shard's rows, as the guard takes them.
	Rows string `json:"rows"`
}

// OutputDigest says what the results are.
type OutputDigest struct {
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// partName is the name of a shard's results, without its ending.
func partName(i, n int) string { return fmt.Sprintf("part-%d-of-%d", i, n) }

// Endings of the names of a shard's files.
const (
	partEnding     = ".parquet"
	manifestEnding = ".json"
)

// readManifest reads a manifest; nil if there is none.
func readManifest(dir, name string) (*Manifest, error) {
	b, err := os.ReadFile(filepath.Join(dir, name+manifestEnding))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	m := &Manifest{}
	if err := json.Unmarshal(b, m); err != nil {
		return nil, fmt.Errorf("%s: %w", name+manifestEnding, err)
	}
	if m.Format != manifestFormat {
		return nil, fmt.Errorf("%s: format %d, want %d", name+manifestEnding, m.Format, manifestFormat)
	}
	if m.Shard < 0 || m.Shard >= m.Of {
		return nil, fmt.Errorf("%s: shard %d of %d: want one of 0 to n-1", name+manifestEnding, m.Shard, m.Of)
	}
	return m, nil
}

func (m *Manifest) write(dir string) error {
	return atomicfile.Write(filepath.Join(dir, partName(m.Shard, m.Of)+manifestEnding), func(f *os.File) error {
		enc := json.NewEncoder(f)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		return enc.Encode(m)
	})
}

// whole reports whether the results are those that the manifest tells of.
func (m *Manifest) whole(dir string) error {
	name := partName(m.Shard, m.Of) + partEnding
	f, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		return err
	}
	h := sha256.New()
	n, err := io.Copy(h, f)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if n != m.Output.Bytes || hex.EncodeToString(h.Sum(nil)) != m.Output.SHA256 {
		return fmt.Errorf("%s: not the file that %s was written for", name, partName(m.Shard, m.Of)+manifestEnding)
	}
	return nil
}

// differs says in what two manifests are not of one run; "" if they are.
func (m *Manifest) differs(o *Manifest) string {
	same := func(a, b any) bool {
		x, err := json.Marshal(a)
		y, err2 := json.Marshal(b)
		return err == nil && err2 == nil && bytes.Equal(x, y)
	}
	threshold := func(m *Manifest) any { return m.Meta.Threshold }
	switch {
	case m.Of != o.Of:
		return fmt.Sprintf("of %d shards, not %d", m.Of, o.Of)
	case m.Meta.Detector != o.Meta.Detector || !same(threshold(m), threshold(o)):
		return fmt.Sprintf("by detector %s, not %s", m.Meta.Detector, o.Meta.Detector)
	case m.Classifier != o.Classifier:
		return fmt.Sprintf("by classifier %s, not %s", m.Classifier, o.Classifier)
	case m.Input.Listing != o.Input.Listing:
		return "of other data"
	case !slices.Equal(m.Meta.Keep, o.Meta.Keep) || !same(m.Included, o.Included):
		return "with other options"
	case m.Meta.Version != o.Meta.Version:
		return fmt.Sprintf("by version %s, not %s", m.Meta.Version, o.Meta.Version)
	}
	return ""
}
