package scoring

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/results"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Merged are the shards of a folder, all there and of one run.
type Merged struct {
	Manifests []*Manifest // by shard
	Tally     Tally       // of all
	dir       string
	kinds     []dataset.CellKind
}

// OpenParts reads the manifests of the shards in a folder, and holds that they are
// one run, by one detector, of all the rows, each of them once, and that their
// results are what the manifests tell of. What is missing, there twice or foreign
// is an error that names it.
func OpenParts(dir string) (*Merged, error) {
	found, err := manifests(dir)
	if err != nil {
		return nil, err
	}
	m := &Merged{dir: dir}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		p := found[name]
		if want := partName(p.Shard, p.Of); name != want {
			return nil, fmt.Errorf("%s in %s is a copy of %s", name, dir, want)
		}
	}
	first := found[slices.MinFunc(slices.Collect(maps.Keys(found)), func(a, b string) int { return order(found[a], found[b]) })]
	for _, name := range slices.Sorted(maps.Keys(found)) {
		if how := found[name].differs(first); how != "" {
			return nil, fmt.Errorf("%s in %s is foreign: it is %s, which %s is", name, dir, how, partName(first.Shard, first.Of))
		}
	}
	for i := range first.Of {
		p := found[partName(i, first.Of)]
		if p == nil {
			return nil, fmt.Errorf("%s is missing in %s: shard %d of %d is not done", partName(i, first.Of), dir, i, first.Of)
		}
		if err := p.whole(dir); err != nil {
			return nil, fmt.Errorf("%s in %s: %w", partName(i, first.Of), dir, err)
		}
		m.Manifests = append(m.Manifests, p)
		m.Tally.Add(p.Tally)
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	return m, m.settle()
}

// order sorts manifests by the number of shards, most first, so that the one that
// a few others stray from is taken as the measure, and then by shard.
func order(a, b *Manifest) int {
	if a.Of != b.Of {
		return b.Of - a.Of
	}
	return a.Shard - b.Shard
}

// manifests are those of a folder, by the names of their parts. Results without
// one are an error.
func manifests(dir string) (map[string]*Manifest, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	found := map[string]*Manifest{}
	var alone []string
	for _, e := range entries {
		name, isManifest := strings.CutSuffix(e.Name(), manifestEnding)
		part, isPart := strings.CutSuffix(e.Name(), partEnding)
		switch {
		case !strings.HasPrefix(e.Name(), "part-"):
		case isPart:
			alone = append(alone, part)
		case isManifest:
			if found[name], err = readManifest(dir, name); err != nil {
				return nil, fmt.Errorf("%s: %w", dir, err)
			}
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%s: no shard is done: %w", dir, fs.ErrNotExist)
	}
	for _, part := range alone {
		if found[part] == nil {
			return nil, fmt.Errorf("%s in %s has no manifest: that shard is not done", part+partEnding, dir)
		}
	}
	return found, nil
}

// check holds that the units are there once each, and follow each other.
func (m *Merged) check() error {
	total, units := m.Manifests[0].Total, 0
	for _, p := range m.Manifests {
		units += len(p.Units)
	}
	if total < 0 || total > units {
		return fmt.Errorf("%s: %d units in its shards, %d in all: rows are missing", m.dir, units, total)
	}
	whose := make([]*Manifest, total)
	for _, p := range m.Manifests {
		name := partName(p.Shard, p.Of)
		if p.Total != total {
			return fmt.Errorf("%s in %s counts %d units, and %s %d: the data were not the same", name, m.dir, p.Total, partName(0, p.Of), total)
		}
		rows := 0
		for _, u := range p.Units {
			if u.Number < 0 || u.Number >= total || u.Rows < 0 || u.From < 0 {
				return fmt.Errorf("%s in %s: unit %d of %d", name, m.dir, u.Number, total)
			}
			if o := whose[u.Number]; o != nil {
				return fmt.Errorf("%s in %s has rows of %s from row %d on, which %s has too", name, m.dir, u.Source, u.From, partName(o.Shard, o.Of))
			}
			whose[u.Number] = p
			rows += u.Rows
		}
		if rows != p.Tally.Rows {
			return fmt.Errorf("%s in %s: %d rows in its units, %d in all", name, m.dir, rows, p.Tally.Rows)
		}
	}
	var last Unit
	return m.each(func(_ *Manifest, u Unit) error {
		switch {
		case u.Source == last.Source && u.From != last.From+last.Rows:
			return fmt.Errorf("%s: rows %d to %d of %s are in no shard", m.dir, last.From+last.Rows, u.From-1, u.Source)
		case u.Source != last.Source && u.From != 0:
			return fmt.Errorf("%s: rows 0 to %d of %s are in no shard", m.dir, u.From-1, u.Source)
		}
		last = u
		return nil
	})
}

// each goes over the units in the order of the input.
func (m *Merged) each(f func(p *Manifest, u Unit) error) error {
	at := make([]int, len(m.Manifests)) // next unit of each
	for k := range m.Manifests[0].Total {
		i := k % len(m.Manifests)
		p := m.Manifests[i]
		if at[i] == len(p.Units) || p.Units[at[i]].Number != k {
			return fmt.Errorf("%s in %s lacks unit %d of %d", partName(p.Shard, p.Of), m.dir, k, p.Total)
		}
		if err := f(p, p.Units[at[i]]); err != nil {
			return err
		}
		at[i]++
	}
	return nil
}

// settle finds the kinds of kept columns, on which all parts have to agree, but for
// numbers beside text: those are written out, as they are in a part that has both.
func (m *Merged) settle() error {
	keep := m.Manifests[0].Meta.Keep
	m.kinds = make([]dataset.CellKind, len(keep))
	from := make([]*Manifest, len(keep))
	for _, p := range m.Manifests {
		for j := range keep {
			switch {
			case j >= len(p.Kinds) || p.Kinds[j] == dataset.CellMissing:
			case m.kinds[j] == dataset.CellMissing, m.kinds[j] == dataset.CellNumber && p.Kinds[j] == dataset.CellText:
				m.kinds[j], from[j] = p.Kinds[j], p
			case m.kinds[j] == dataset.CellText && p.Kinds[j] == dataset.CellNumber:
			case m.kinds[j] != p.Kinds[j]:
				return fmt.Errorf("kept column %q has whole numbers of 64 bits in one of %s and %s, and others in the other: its values have to be of one kind",
					keep[j], partName(from[j].Shard, from[j].Of), partName(p.Shard, p.Of))
			}
		}
	}
	return nil
}

// Write writes all results to w as one document, in the order of the input. Its
// bytes do not depend on the number of shards.
func (m *Merged) Write(ctx context.Context, format results.Format, w io.Writer) (err error) {
	first := m.Manifests[0]
	o := results.Options{Meta: first.Meta, Include: first.Included.Parts, Kinds: m.kinds}
	for _, p := range m.Manifests {
		o.ID = o.ID || p.ID
	}
	to, err := format.New(w, o)
	if err != nil {
		return err
	}
	parts := make([]*part, len(m.Manifests))
	defer func() {
		for _, p := range parts {
			if p != nil {
				err = errors.Join(err, p.close())
			}
		}
	}()
	index := 0
	err = m.each(func(p *Manifest, u Unit) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		name := partName(p.Shard, p.Of) + partEnding
		if parts[p.Shard] == nil {
			opened, err := openPart(filepath.Join(m.dir, name))
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			for j, kind := range p.Kinds {
				if kind == dataset.CellNumber && j < len(opened.Kinds()) {
					opened.AsNumbers(j)
				}
			}
			parts[p.Shard] = opened
		}
		shapes := map[string]tensor.Shape{"reconstruction": first.Example}
		if err := parts[p.Shard].Copy(to, index, u.Rows, o, shapes); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		index += u.Rows
		return nil
	})
	if err != nil {
		return err
	}
	return to.Close()
}

// part is an open file of results.
type part struct {
	*results.Part
	file *os.File
}

func openPart(path string) (*part, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	p, err := results.OpenPart(f, info.Size())
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &part{p, f}, nil
}

func (p *part) close() error { return errors.Join(p.Close(), p.file.Close()) }
