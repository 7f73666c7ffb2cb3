package artifact

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/health"
)

// Recalibrate puts another calibration into the detector at path, which may
// be a run. data, if not nil, takes the place of the data digests, and h that of
// the health before, which was of another threshold. The new
// files are written under pending names; replacing meta.json is the commit
// point: before it the detector is the old one, after it the new one, whatever
// happens to the rest.
func Recalibrate(path string, s detect.State, data map[string]string, h *health.Report) (err error) {
	d, err := Load(path)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("recalibrating detector %s: %w", d.Dir, err)
		}
	}()
	files, err := stateFiles(s)
	if err != nil {
		return err
	}
	if err := finishPending(d.Dir, d.Meta); err != nil {
		return err
	}
	m := d.Meta
	m.Threshold, m.Correction, m.Health = thresholdMeta(s.Threshold), correctionMeta(s.Correction), h
	if data != nil {
		m.Data = data
	}
	for _, name := range calibrationFiles {
		delete(m.Files, name)
		delete(m.Sizes, name)
	}
	for _, name := range sortedNames(files) {
		m.Files[name], m.Sizes[name] = digest(files[name]), int64(len(files[name]))
		if err := writeFile(filepath.Join(d.Dir, name+pendingSuffix), files[name]); err != nil {
			return err
		}
	}
	b, err := m.encode()
	if err != nil {
		return err
	}
	meta := filepath.Join(d.Dir, MetaFile)
	if err := writeFile(meta+pendingSuffix, b); err != nil {
		return err
	}
	if err := syncDir(d.Dir); err != nil {
		return err
	}
	if err := os.Rename(meta+pendingSuffix, meta); err != nil {
		return err
	}
	if err := syncDir(d.Dir); err != nil {
		return err
	}
	if err := finishPending(d.Dir, m); err != nil {
		return err
	}
	return writeCard(d.Dir, m, b)
}

// finishPending moves pending files that meta.json wants to their places,
// and removes what it does not list.
func finishPending(dir string, m Meta) error {
	for _, name := range calibrationFiles {
		path := filepath.Join(dir, name)
		b, err := os.ReadFile(path + pendingSuffix)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return err
		case digest(b) == m.Files[name]:
			if err := os.Rename(path+pendingSuffix, path); err != nil {
				return err
			}
		default:
			if err := os.Remove(path + pendingSuffix); err != nil {
				return err
			}
		}
		if _, ok := m.Files[name]; !ok {
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return syncDir(dir)
}

func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
