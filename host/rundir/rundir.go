// Package rundir is the directory of a run: its lock, its events and metrics,
// checkpoints to resume from, the batch that a training broke on, and how such
// directories are numbered and moved aside.
package rundir

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/vaeguard/vaeguard/host/atomicfile"
	"github.com/vaeguard/vaeguard/host/train"
)

// Names inside a run.
const (
	DetectorDir     = "detector"
	ClassifierDir   = "classifier" // of one that the run trained
	SpecFile        = "spec.yaml"  // resolved
	EnvironmentFile = "env.json"
)

// Dir is the directory of one run: spec.yaml, events.jsonl, metrics.csv,
// checkpoints/, report.{json,html}, env.json and detector/. One process at a
// time holds it.
type Dir struct {
	Path string
	// Watch is told each epoch that Record writes; nil: nobody is.
	Watch func(train.Record)

	lock    *flock.Flock
	events  *os.File
	metrics *metricsFile
}

// Create makes or, to resume, opens a run directory and locks it. An
// existing one is an error unless resume; force moves it aside first. Resuming
// a run that was killed before it had a directory starts it.
func Create(path string, resume, force bool) (*Dir, error) {
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
		return nil, fmt.Errorf("%s is not empty and not a run: there is nothing to resume", path)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(path, "checkpoints"), 0o755); err != nil {
		return nil, err
	}
	d := &Dir{Path: path, lock: flock.New(filepath.Join(path, lockName))}
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

// foreign reports whether a folder holds something and is not a run: one has its
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
func (d *Dir) sweep() {
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

// Next is the first free runs/NAME-N.
func Next(name string) string {
	for n := 1; ; n++ {
		path := filepath.Join("runs", fmt.Sprintf("%s-%d", name, n))
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			return path
		}
	}
}

// File is a path inside the run.
func (d *Dir) File(name ...string) string {
	return filepath.Join(append([]string{d.Path}, name...)...)
}

// Event appends one line to events.jsonl, with the time.
func (d *Dir) Event(kind string, fields map[string]any) error {
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
func (d *Dir) Metrics(epoch int, values map[string]float64) error {
	return d.metrics.put(epoch, values)
}

// Record writes an epoch's metrics, and tells it as an event.
func (d *Dir) Record(r train.Record) {
	values := map[string]float64{"seconds": r.Seconds, "learning_rate": r.Rate}
	fields := map[string]any{"epoch": r.Epoch}
	for _, m := range r.Metrics {
		values[m.Name], fields[m.Name] = m.Value, m.Value
	}
	_ = d.Metrics(r.Epoch, values)
	_ = d.Event("epoch", fields)
	if d.Watch != nil {
		d.Watch(r)
	}
}

// Close unlocks the run.
func (d *Dir) Close() {
	if d.events != nil {
		_ = d.events.Close()
	}
	_ = d.lock.Unlock()
}

// Remove deletes a closed run. The files that mark a run go last, so that
// one left by a kill can be resumed.
func (d *Dir) Remove() error {
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
