package grid

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/atomicfile"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/evaluate"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// record is cell.json: it is written last, so that a cell is there whole or
// not at all.
type record struct {
	Format int `json:"format"`
	*Cell
	Files      map[string]string `json:"files"` // sha256
	Seconds    float64           `json:"seconds"`
	CPUSeconds float64           `json:"cpu_seconds"` // of this program and its plugins; 0 where unknown
	Steps      int               `json:"steps,omitempty"`
	Digest     string            `json:"digest,omitempty"` // of the classifier, or of the detector
	Threshold  *evaluate.Number  `json:"threshold,omitempty"`
	Calibrated int               `json:"n_calibration,omitempty"`
	Norm       string            `json:"norm,omitempty"`
	Eps        *evaluate.Number  `json:"eps,omitempty"` // null: no bound
	Warnings   []string          `json:"warnings,omitempty"`
	Version    string            `json:"version"`
}

const (
	recordFile  = "cell.json"
	elapsedFile = "elapsed.json"
	advFile     = "adv.npz"
	scoresFile  = "scores.npz"
	levelsFile  = "levels.json"
)

// eps is the radius of the attack, +Inf without a bound.
func (r *record) eps() float64 {
	if r.Eps == nil {
		return math.Inf(1)
	}
	return float64(*r.Eps)
}

// short is as much of a key as names folders.
const short = 20

func (b *Bench) dir(c *Cell) string {
	return filepath.Join(b.o.Out, "cells", string(c.Kind)+"-"+c.Key[:short])
}

// find reads the record of a cell that is done; nil if it is not.
func (b *Bench) find(c *Cell) (*record, error) {
	data, err := os.ReadFile(filepath.Join(b.dir(c), recordFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	r := &record{Cell: &Cell{}}
	if err := json.Unmarshal(data, r); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(b.dir(c), recordFile), err)
	}
	if r.Key != c.Key || r.Kind != c.Kind || r.Format != format {
		return nil, fmt.Errorf("%s is another cell: move it away", b.dir(c))
	}
	return r, nil
}

// ensure makes a cell unless it is done, after what it needs. Another process
// that works on the same cell is waited for.
func (b *Bench) ensure(ctx context.Context, c *Cell) error {
	r, err := b.find(c)
	if err != nil {
		return err
	}
	if b.o.Cell != nil {
		b.o.Cell(*c, r != nil)
	}
	if r != nil {
		return nil
	}
	for _, n := range c.needs {
		r, err := b.find(n)
		if err == nil && r == nil {
			err = b.ensure(ctx, n)
		}
		if err != nil {
			return err
		}
	}
	dir := b.dir(c)
	lock := flock.New(dir + ".lock")
	if _, err := lock.TryLockContext(ctx, 200*time.Millisecond); err != nil {
		return err
	}
	defer func() { _ = lock.Unlock() }()
	if r, err := b.find(c); err != nil || r != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	clock := startClock(filepath.Join(dir, elapsedFile))
	r = &record{Format: format, Cell: c, Files: map[string]string{}, Version: host.Version()}
	if err := b.make(ctx, c, r, clock); err != nil {
		clock.save()
		return err
	}
	r.Seconds, r.CPUSeconds = clock.total()
	for _, name := range []string{advFile, scoresFile, levelsFile} {
		sum, err := digestFile(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		r.Files[name] = sum
	}
	err = atomicfile.Write(filepath.Join(dir, recordFile), func(f *os.File) error {
		enc := json.NewEncoder(f)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		return enc.Encode(r)
	})
	if err == nil {
		_ = os.Remove(filepath.Join(dir, elapsedFile))
	}
	return err
}

// clock adds up the time that a cell takes over interruptions.
type clock struct {
	path       string
	start      time.Time
	cpu        time.Duration
	before     [3]float64 // seconds, CPU seconds of earlier attempts, and the step that training has reached
	lastSaving time.Time
}

func startClock(path string) *clock {
	c := &clock{path: path, start: time.Now(), cpu: processTime(), lastSaving: time.Now()}
	if data, err := os.ReadFile(path); err == nil {
		_ = json.Unmarshal(data, &c.before) // a broken one counts from zero
	}
	return c
}

func (c *clock) total() (seconds, cpu float64) {
	return c.before[0] + time.Since(c.start).Seconds(), c.before[1] + (processTime() - c.cpu).Seconds()
}

// reached is called with the steps of training, of all attempts together. Those that an
// epoch ends with are saved before it has a checkpoint: an attempt that finds the training
// done hears of none.
func (c *clock) reached(step int, ends bool) {
	c.before[2] = max(c.before[2], float64(step))
	if ends {
		c.save()
	}
}

// tick saves the time now and then.
func (c *clock) tick() {
	if time.Since(c.lastSaving) > 10*time.Second {
		c.save()
	}
}

func (c *clock) save() {
	c.lastSaving = time.Now()
	s, cpu := c.total()
	_ = atomicfile.Write(c.path, func(f *os.File) error { return json.NewEncoder(f).Encode([3]float64{s, cpu, c.before[2]}) })
}

// arrays reads a file of a done cell, after a check of its digest.
func (b *Bench) arrays(c *Cell, r *record, name string) (map[string]dataset.Array, error) {
	path := filepath.Join(b.dir(c), name)
	sum, err := digestFile(path)
	if err != nil {
		return nil, err
	}
	if sum != r.Files[name] {
		return nil, fmt.Errorf("%s is not what was written: remove %s to have it made again", path, b.dir(c))
	}
	list, err := dataset.ReadNPZ(path)
	if err != nil {
		return nil, err
	}
	out := map[string]dataset.Array{}
	for _, a := range list {
		out[a.Name] = a
	}
	return out, nil
}

func writeArrays(path string, list []dataset.Array) error {
	return atomicfile.Write(path, func(f *os.File) error { return dataset.WriteNPZ(f, list) })
}

func digestFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	_, err = io.Copy(h, f)
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), errors.Join(err, f.Close())
}

// digestRows is the digest of shapes, values and labels.
func digestRows(d *dataset.Data) (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, append(tensor.Shape{d.N()}, d.Example()...), len(d.Labels))
	buf := make([]byte, 0, 1<<16)
	i := 0
	for row, err := range dataset.Each(d.Examples()) {
		if err != nil {
			return "", err
		}
		buf = buf[:0]
		for _, v := range row {
			buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(v))
		}
		if d.Labels != nil {
			buf = binary.LittleEndian.AppendUint32(buf, uint32(d.Labels[i]))
		}
		h.Write(buf)
		i++
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), nil
}
