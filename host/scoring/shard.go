package scoring

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"
	"os"
	"path/filepath"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/atomicfile"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/results"
)

// Shard is one of N parts of the rows of Data, which other processes need not know
// of. Its results are OUT/part-i-of-n.parquet, and a manifest beside them.
type Shard struct {
	I, N int    // shard I, from 0, of N
	Data string // a file, a folder of images, or a pattern of files: in/*.parquet
	Out  string // folder of the results, made if need be
	// Resume accepts a shard that is done, and does it again only where its results
	// are not those of its manifest; else one that is done is an error.
	Resume bool
	Read   host.ReadOptions
	Options
	// Notice receives what a reader of rows has to say; nil: nobody.
	Notice func(lines []string)
}

// ErrDone is the cause of an error for a shard that is done already.
var ErrDone = errors.New("it is done already")

// Run scores the rows of a shard, and reports whether it was done before. A shard
// that is done twice has the same bytes. What is there when it is interrupted is
// no part yet.
func (s Shard) Run(ctx context.Context, d *host.Detector) (m *Manifest, before bool, err error) {
	if s.N < 1 || s.I < 0 || s.I >= s.N {
		return nil, false, fmt.Errorf("shard %d of %d: want 0 to %d", s.I, s.N, s.N-1)
	}
	in, err := survey(d, s.Data, s.Read)
	if err != nil {
		return nil, false, err
	}
	if s.Notice != nil {
		s.Notice(in.notices)
	}
	m = s.manifest(d, in)
	if err := os.MkdirAll(s.Out, 0o755); err != nil {
		return nil, false, err
	}
	name := partName(s.I, s.N)
	old, err := readManifest(s.Out, name)
	switch {
	case err != nil:
		return nil, false, err
	case old != nil:
		if how := old.differs(m); how != "" || old.Shard != s.I {
			return nil, false, fmt.Errorf("%s in %s is %s: write to another folder", name, s.Out, how)
		}
		if !s.Resume {
			return nil, false, fmt.Errorf("shard %d of %d in %s: %w", s.I, s.N, s.Out, ErrDone)
		}
		if old.whole(s.Out) == nil {
			return old, true, nil
		}
	}
	if err := s.score(ctx, d, in, m); err != nil {
		return nil, false, err
	}
	return m, false, m.write(s.Out)
}

// manifest is what is known of the shard before it is scored.
func (s Shard) manifest(d *host.Detector, in *input) *Manifest {
	m := &Manifest{Format: manifestFormat, Shard: s.I, Of: s.N, Meta: Meta(d), Classifier: d.Info().Digest, Example: d.InputShape(), ID: in.id}
	m.Meta.Keep = s.Read.Keep
	m.Included = Included{Parts: s.Include, NoScore: s.NoScore, SkipBad: s.SkipBad, Prepared: s.Read.Prepared,
		Format: s.Read.Format, Label: s.Read.Label, Header: s.Read.Header}
	m.Input.Listing = in.digest
	return m
}

// score writes the results, and completes the manifest.
func (s Shard) score(ctx context.Context, d *host.Detector, in *input, m *Manifest) error {
	format, err := results.Lookup(results.PartFormat)
	if err != nil {
		return err
	}
	from := newShare(d, in, s.Read, s.I, s.N)
	rows := sha256.New()
	err = atomicfile.Write(filepath.Join(s.Out, partName(s.I, s.N)+partEnding), func(f *os.File) error {
		out := &digested{w: f, h: sha256.New()}
		w, err := format.New(out, results.Options{Meta: m.Meta, ID: m.ID, Include: s.Include, Kinds: in.kinds})
		if err != nil {
			return err
		}
		c := newCounted(w, m.Meta.Classes, len(m.Meta.Keep))
		p := &pass{d: d, o: s.Options, results: c, of: " of the shard", saw: func(data []float32) { hashNumbers(rows, data) }}
		if err := p.run(ctx, from); err != nil {
			return err
		}
		m.Tally, m.Kinds = c.tally, c.kinds
		for i, k := range in.kinds {
			if k != dataset.CellMissing {
				m.Kinds[i] = k
			}
		}
		m.Output = OutputDigest{Bytes: out.n, SHA256: hex.EncodeToString(out.h.Sum(nil))}
		return nil
	})
	if err := errors.Join(err, from.finally()); err != nil {
		return err
	}
	m.Input.Rows = "sha256:" + hex.EncodeToString(rows.Sum(nil))
	m.Units, m.Total = from.done, from.total
	if m.Units == nil {
		m.Units = []Unit{}
	}
	return nil
}

// digested is a file whose bytes are hashed as they are written.
type digested struct {
	w io.Writer
	h hash.Hash
	n int64
}

func (d *digested) Write(b []byte) (int, error) {
	n, err := d.w.Write(b)
	d.h.Write(b[:n])
	d.n += int64(n)
	return n, err
}

// hashNumbers adds the bits of numbers, little end first.
func hashNumbers(h hash.Hash, data []float32) {
	b := make([]byte, 0, 4*1024)
	for len(data) > 0 {
		n := min(len(data), 1024)
		b = b[:0]
		for _, v := range data[:n] {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
		}
		h.Write(b)
		data = data[n:]
	}
}
