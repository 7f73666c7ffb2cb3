package host

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/vaeguard/vaeguard/host/atomicfile"
)

// RunDir is the directory of one run: spec.yaml, events.jsonl, metrics.csv,
// checkpoints/, report.{json,html}, env.json and detector/. One process at a
// time holds it.
type RunDir struct {
	Path string

	lock    *flock.Flock
	events  *os.File
	metrics *metricsFile
}

// CreateRunDir makes or, to resume, opens a run directory and locks it. An
// existing one is an error unless resume; force moves it aside first. To resume
// what was killed before it had a directory is to start.
func CreateRunDir(path string, resume, force bool) (*RunDir, error) {
	info, err := os.Stat(path)
	switch {
	case err == nil && !info.IsDir():
		return nil, fmt.Errorf("%s is a file; a run is a directory", path)
	case err == nil && force && !resume:
		if err := inUse(path); err != nil {
			return nil, err
		}
		if err := MoveAside(path); err != nil {
			return nil, err
		}
	case err == nil && !resume:
		if entries, _ := os.ReadDir(path); len(entries) > 0 {
			return nil, fmt.Errorf("%s exists: continue it with --resume, or move it aside with --force", path)
		}
	case err == nil && foreign(path):
		return nil, fmt.Errorf("%s is not empty and no run: there is nothing to resume", path)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(path, "checkpoints"), 0o755); err != nil {
		return nil, err
	}
	d := &RunDir{Path: path, lock: flock.New(filepath.Join(path, lockName))}
	locked, err := d.lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	if !locked {
		return nil, errInUse(path)
	}
	d.sweep()
	d.events, err = os.OpenFile(d.File(eventsName), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		d.Close()
		return nil, err
	}
	d.metrics = &metricsFile{path: d.File("metrics.csv")}
	return d, nil
}

// lockName is the file that the process at work holds locked.
const lockName = ".lock"

// eventsName is the file to which a run appends what happens.
const eventsName = "events.jsonl"

func errInUse(path string) error {
	return fmt.Errorf("%s is in use by another vaeguard process", path)
}

// foreign reports whether a folder holds something and is no run: one has its
// lock and, if it was copied without it, its events, unless it was killed right
// after its making.
func foreign(path string) bool {
	for _, name := range []string{lockName, eventsName} {
		if _, err := os.Lstat(filepath.Join(path, name)); err == nil {
			return false
		}
	}
	entries, err := os.ReadDir(path)
	return err != nil || slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() != "checkpoints" })
}

// inUse is an error if a living process holds the run: it may not be moved
// from under it.
func inUse(path string) error {
	if _, err := os.Stat(filepath.Join(path, lockName)); err != nil {
		return nil // no run
	}
	lock := flock.New(filepath.Join(path, lockName))
	locked, err := lock.TryLock()
	if err != nil {
		return fmt.Errorf("lock %s: %w", path, err)
	}
	if !locked {
		return errInUse(path)
	}
	return lock.Unlock()
}

// sweep removes what a killed process left half written: temporary files and
// folders beside their targets.
func (d *RunDir) sweep() {
	for _, pattern := range []string{atomicfile.Prefix + "*", ".vaeguard-*", "*/" + atomicfile.Prefix + "*", "*/*/" + atomicfile.Prefix + "*"} {
		left, _ := filepath.Glob(filepath.Join(escapeGlob(d.Path), pattern)) // the pattern is a good one
		for _, path := range left {
			_ = os.RemoveAll(path)
		}
	}
}

// escapeGlob makes a pattern that matches path alone.
func escapeGlob(path string) string {
	if filepath.Separator == '\\' {
		return path // Windows knows no escape, and no such names
	}
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// MoveAside renames path to path.old-N, the first free N.
func MoveAside(path string) error {
	for n := 1; ; n++ {
		old := fmt.Sprintf("%s.old-%d", filepath.Clean(path), n)
		if _, err := os.Lstat(old); errors.Is(err, fs.ErrNotExist) {
			return os.Rename(path, old)
		}
	}
}

// NextRunDir is the first free runs/NAME-N.
func NextRunDir(name string) string {
	for n := 1; ; n++ {
		path := filepath.Join("runs", fmt.Sprintf("%s-%d", name, n))
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			return path
		}
	}
}

// File is a path inside the run.
func (d *RunDir) File(name ...string) string {
	return filepath.Join(append([]string{d.Path}, name...)...)
}

// Event appends one line to events.jsonl, with the time.
func (d *RunDir) Event(kind string, fields map[string]any) error {
	line := map[string]any{"time": time.Now().UTC().Format(time.RFC3339Nano), "event": kind}
	for k, v := range fields {
		line[k] = v
	}
	data, err := json.Marshal(line)
	if err != nil {
		return err
	}
	_, err = d.events.Write(append(data, '\n'))
	return err
}

// Metrics writes one epoch's row of metrics.csv. An epoch that is there
// already, as after a resumption, is replaced.
func (d *RunDir) Metrics(epoch int, values map[string]float64) error {
	return d.metrics.put(epoch, values)
}

// Close unlocks the run.
func (d *RunDir) Close() {
	if d.events != nil {
		_ = d.events.Close()
	}
	_ = d.lock.Unlock()
}

// remove deletes a closed run. What foreign knows a run by goes last, so that
// what is left by a kill can be resumed.
func (d *RunDir) remove() error {
	entries, err := os.ReadDir(d.Path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == lockName {
			continue
		}
		if err := os.RemoveAll(d.File(e.Name())); err != nil {
			return err
		}
	}
	return os.RemoveAll(d.Path)
}

// metricsFile is metrics.csv: one row an epoch, columns in order of name.
type metricsFile struct {
	path  string
	rows  []map[string]string
	ready bool
}

func (m *metricsFile) load() {
	m.ready = true
	f, err := os.Open(m.path)
	if err != nil {
		return
	}
	defer f.Close()
	records, err := csv.NewReader(f).ReadAll()
	if err != nil || len(records) == 0 {
		return
	}
	for _, r := range records[1:] {
		row := map[string]string{}
		for i, name := range records[0] {
			row[name] = r[i]
		}
		m.rows = append(m.rows, row)
	}
}

func (m *metricsFile) put(epoch int, values map[string]float64) error {
	if !m.ready {
		m.load()
	}
	key := strconv.Itoa(epoch)
	m.rows = slices.DeleteFunc(m.rows, func(r map[string]string) bool {
		n, err := strconv.Atoi(r["epoch"])
		return err != nil || n >= epoch
	})
	row := map[string]string{"epoch": key}
	for n, v := range values {
		row[n] = strconv.FormatFloat(v, 'g', -1, 64)
	}
	m.rows = append(m.rows, row)
	names := []string{}
	for _, r := range m.rows {
		for n := range r {
			if n != "epoch" && !slices.Contains(names, n) {
				names = append(names, n)
			}
		}
	}
	slices.Sort(names)
	names = append([]string{"epoch"}, names...)
	return WriteFileAtomic(m.path, func(f *os.File) error {
		w := csv.NewWriter(f)
		if err := w.Write(names); err != nil {
			return err
		}
		for _, r := range m.rows {
			line := make([]string, len(names))
			for i, n := range names {
				line[i] = r[n]
			}
			if err := w.Write(line); err != nil {
				return err
			}
		}
		w.Flush()
		return w.Error()
	})
}

// WriteFileAtomic writes a file beside its target, syncs and renames it: a
// reader sees the old content or the new one, never a part. It is
// atomicfile.Write.
func WriteFileAtomic(path string, write func(*os.File) error) error {
	return atomicfile.Write(path, write)
}
