package artifact

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/vaeguard/vaeguard/host/artifact/safetensors"
	"github.com/vaeguard/vaeguard/host/atomicfile"
	"github.com/vaeguard/vaeguard/host/detect"
)

// Save writes the detector to dir, whole or not at all: into a temporary
// folder beside it that is synced and renamed. A dir that exists is an error,
// unless force moves it aside first, to DIR.1, DIR.2, ….
func Save(dir string, d *Detector, force bool) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("saving detector %s: %w", dir, err)
		}
	}()
	dir = filepath.Clean(dir)
	_, statErr := os.Lstat(dir)
	exists := statErr == nil
	if exists && !force {
		return fmt.Errorf("it exists; --force moves it aside")
	}
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return err
	}
	sweepDead(dir)
	temp, err := os.MkdirTemp(parent, tempPrefix+filepath.Base(dir)+"-*")
	if err != nil {
		return err
	}
	if release, err := atomicfile.Claim(temp); err == nil {
		defer release()
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(temp))
		}
	}()
	if err := d.fill(temp); err != nil {
		return err
	}
	if exists {
		if err := moveAside(dir); err != nil {
			return err
		}
	}
	if err := os.Rename(temp, dir); err != nil {
		return err
	}
	return syncDir(parent)
}

// tempPrefix begins the name of a folder that Save has not finished.
const tempPrefix = ".vaeguard-"

// Sweep removes what a Save to dir left beside it when its process was killed.
// No other process may be saving to dir.
func Sweep(dir string) {
	for _, temp := range unfinished(dir) {
		_ = os.RemoveAll(temp)
	}
}

// sweepDead does so too, and leaves alone what a living process is saving.
func sweepDead(dir string) {
	for _, temp := range unfinished(dir) {
		if release, err := atomicfile.Claim(temp); err == nil {
			_ = os.RemoveAll(temp)
			release()
		}
	}
}

// unfinished are the folders into which dir is or was being saved.
func unfinished(dir string) []string {
	dir = filepath.Clean(dir)
	entries, _ := os.ReadDir(filepath.Dir(dir)) // what cannot be read cannot be swept
	var out []string
	for _, e := range entries {
		rest, ok := strings.CutPrefix(e.Name(), tempPrefix+filepath.Base(dir)+"-")
		if ok && e.IsDir() && strings.Trim(rest, "0123456789") == "" {
			out = append(out, filepath.Join(filepath.Dir(dir), e.Name()))
		}
	}
	return out
}

// fill writes all files of a detector into an empty folder.
func (d *Detector) fill(dir string) error {
	files, err := stateFiles(d.State)
	if err != nil {
		return err
	}
	files[SpecFile] = d.Spec
	var weights bytes.Buffer
	if err := safetensors.Encode(&weights, d.Tensors, nil); err != nil {
		return err
	}
	files[WeightsFile] = weights.Bytes()
	if d.Canaries != nil {
		if files[CanariesFile], err = d.Canaries.encode(); err != nil {
			return err
		}
	}
	m := d.Meta
	m.FormatVersion, m.Threshold, m.Correction, m.Versions = FormatVersion, thresholdMeta(d.State.Threshold), correctionMeta(d.State.Correction), versions(m.Versions)
	m.Files, m.Sizes = map[string]string{}, map[string]int64{}
	if d.ClassifierDir != "" {
		if err := copyTree(d.ClassifierDir, dir, &m); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := writeFile(filepath.Join(dir, name), files[name]); err != nil {
			return err
		}
		m.Files[name], m.Sizes[name] = digest(files[name]), int64(len(files[name]))
	}
	b, err := m.encode()
	if err != nil {
		return err
	}
	if err := writeFile(filepath.Join(dir, MetaFile), b); err != nil {
		return err
	}
	if err := writeCard(dir, m, b); err != nil {
		return err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	return syncDir(dir)
}

// calibrationFiles are the names of those that a calibration may leave.
var calibrationFiles = []string{CalibrationFile, ClassesFile, FirstFile, FusionFile}

// stateFiles are the files that a calibration leaves.
func stateFiles(s detect.State) (map[string][]byte, error) {
	files := map[string][]byte{}
	if s.Scores != nil {
		files[CalibrationFile] = encodeNPY(s.Scores)
	}
	if s.Classes != nil {
		classes := make([]float64, len(s.Classes))
		for i, c := range s.Classes {
			classes[i] = float64(c)
		}
		files[ClassesFile] = encodeNPY(classes)
	}
	if s.First != nil {
		files[FirstFile] = encodeNPY(s.First)
	}
	if s.Reference != nil {
		for _, r := range s.Reference {
			if len(r) != len(s.Reference[0]) {
				return nil, fmt.Errorf("the fusion's reference rows differ in number")
			}
		}
		files[FusionFile] = encodeNPY(s.Reference...)
	}
	return files, nil
}

// versions adds those of the program to what the caller knows.
func versions(given map[string]string) map[string]string {
	out := map[string]string{"go": runtime.Version()}
	if b, ok := debug.ReadBuildInfo(); ok {
		out["vaeguard"] = b.Main.Version
	}
	maps.Copy(out, given)
	return out
}

// copyTree copies the regular files under source to dir/classifier and enters
// them in m. Links and special files are refused: the copy must stand alone.
func copyTree(source, dir string, m *Meta) error {
	total := int64(0)
	return filepath.WalkDir(source, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(source, path)
		if err != nil {
			return err
		}
		name := filepath.Join(ClassifierDir, rel)
		target := filepath.Join(dir, name)
		switch {
		case e.IsDir():
			return os.MkdirAll(target, 0o755)
		case !e.Type().IsRegular():
			return fmt.Errorf("classifier file %s is not a regular file", path)
		}
		sum, n, err := copyFile(target, path, MaxClassifier-total)
		if err != nil {
			return err
		}
		total += n
		key := filepath.ToSlash(name)
		m.Files[key], m.Sizes[key] = sum, n
		return nil
	})
}

// copyFile copies at most room bytes and gives their sha256. A plugin wrote the file:
// it is as large as it likes, and may still grow.
func copyFile(target, source string, room int64) (sum string, n int64, err error) {
	from, err := os.Open(source)
	if err != nil {
		return "", 0, err
	}
	defer func() { _ = from.Close() }() // only read from
	long := fmt.Errorf("classifier file %s: with it there are more than %d bytes, the most that a detector may have of its classifier", source, int64(MaxClassifier))
	if info, err := from.Stat(); err != nil || info.Size() > room {
		return "", 0, cmp.Or(err, long)
	}
	to, err := os.OpenFile(target, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return "", 0, err
	}
	h := sha256.New()
	n, err = io.Copy(io.MultiWriter(to, h), io.LimitReader(from, room+1))
	if err == nil && n > room {
		err = long
	}
	if err == nil {
		err = to.Sync()
	}
	return hex.EncodeToString(h.Sum(nil)), n, errors.Join(err, to.Close())
}

// writeFile writes and syncs a new file.
func writeFile(path string, b []byte) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, bytes.NewReader(b))
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// syncDir makes the names in a folder last. Windows has no such call.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// moveAside renames dir to the first free of DIR.1, DIR.2, ….
func moveAside(dir string) error {
	for i := 1; ; i++ {
		to := fmt.Sprintf("%s.%d", strings.TrimRight(dir, string(filepath.Separator)), i)
		if _, err := os.Lstat(to); errors.Is(err, fs.ErrNotExist) {
			return os.Rename(dir, to)
		}
	}
}
