// Package grid runs benchmarks: detectors against attacks on data sets, for
// several seeds. Every step is a cell, kept on disk under the hash of all that
// it depends on, so that a benchmark can stop, resume, and recompute only what
// has changed.
package grid

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/evaluate"
	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/host/spec"
	"github.com/vaeguard/vaeguard/sdk"
)

// Options say where a grid runs and what of it.
type Options struct {
	Out  string // folder of cells and results
	Only Filter // cells to run; the zero value is all
	// Shard, from 0, of Shards runs those of the selected cells whose set, seed and
	// detector are its own, and what they need: processes on several machines share
	// a grid. 0 Shards: all.
	Shard, Shards int
	Components    host.Components
	Host          host.Options
	// Cell receives each selected cell before it is run or found; nil: none.
	Cell    func(c Cell, done bool)
	Command string // that reproduces the results, for the page
	// Track are the trackers that are told the training of each detector, a run each,
	// as host.TrackOptions.To.
	Track []string
}

// Bench is a grid with its data read and its cells planned.
type Bench struct {
	Grid  *Grid
	o     Options
	sets  []*set
	cells []*Cell // in the order of running
	open  opened
}

// set is one data set with the rows that are attacked.
type set struct {
	name   string
	decl   SetSpec
	base   *host.Experiment
	rows   *dataset.Data
	digest map[dataset.Role]string // of the rows, "" without
}

// Open reads the grid's experiments and their data and plans the cells. Faults
// of the experiments come back at once, as spec.Errors.
func Open(g *Grid, o Options) (*Bench, error) {
	b := &Bench{Grid: g, o: o}
	var faults spec.Errors
	for i, decl := range g.Sets {
		s := &set{name: decl.Name, decl: decl}
		var err error
		if s.base, err = b.load(s, nil, g.Seeds[0], nil); err == nil {
			for _, d := range g.Detectors {
				if !on(d.Sets, s.name) {
					continue
				}
				if _, err2 := b.load(s, &d, g.Seeds[0], nil); err2 != nil {
					err = errors.Join(err, fmt.Errorf("detector %s: %w", d.Name, err2))
				}
			}
		}
		if err != nil {
			faults = append(faults, g.Errorf(fmt.Sprintf("sets[%d]", i), "%s: %v", decl.Name, err))
			continue
		}
		b.sets = append(b.sets, s)
	}
	for i, a := range g.Attacks {
		_, adaptive := registry.As[attack.Attack](a.Attack).(attack.Adaptive)
		if adaptive && a.Target != nil {
			faults = append(faults, g.Errorf(fmt.Sprintf("attacks[%d].target", i), "an adaptive attack chooses its classes itself"))
		}
	}
	if len(faults) > 0 {
		return nil, faults
	}
	for _, s := range b.sets {
		if err := s.read(dataset.Role(g.Role)); err != nil {
			return nil, fmt.Errorf("set %s: %w", s.name, err)
		}
		faults = append(faults, b.fits(s)...)
	}
	if len(faults) > 0 {
		return nil, faults
	}
	return b, b.plan()
}

// fits finds attacks and corruptions that a set's examples, or their number of
// classes, do not go with.
func (b *Bench) fits(s *set) spec.Errors {
	var faults spec.Errors
	example, classes := s.rows.X.Example(), s.rows.NumClasses()
	if train, err := s.base.Rows(dataset.RoleTrain); err == nil {
		classes = max(classes, train.NumClasses())
	}
	for i, a := range b.Grid.Attacks {
		if !on(a.Sets, s.name) {
			continue
		}
		if err := attack.Fits(registry.As[attack.Attack](a.Attack), example, classes); err != nil {
			faults = append(faults, b.Grid.Errorf(fmt.Sprintf("attacks[%d]", i), "set %s: %v", s.name, err))
		}
	}
	for i, c := range b.Grid.Corruptions {
		if err := evaluate.Fits(registry.As[evaluate.Corruption](c), example); err != nil {
			faults = append(faults, b.Grid.Errorf(fmt.Sprintf("corruptions[%d]", i), "set %s: %v", s.name, err))
		}
	}
	return faults
}

// on reports whether a list of names, empty for all, holds one.
func on[T comparable](list []T, name T) bool { return len(list) == 0 || slices.Contains(list, name) }

// read reads the rows of every role and digests them.
func (s *set) read(role dataset.Role) error {
	s.digest = map[dataset.Role]string{}
	for _, r := range dataset.Roles {
		rows, err := s.base.Rows(r)
		if err != nil {
			if r != dataset.RoleValidation && r != dataset.RoleCalibration || r == role {
				return err
			}
			s.digest[r] = ""
			continue
		}
		if s.digest[r], err = digestRows(rows); err != nil {
			return err
		}
		if r == role {
			s.rows = rows
		}
	}
	if s.rows.Labels == nil {
		return fmt.Errorf("data.%s has no labels", role)
	}
	return nil
}

// load reads a set's experiment with a detector's overrides; nil: the base.
func (b *Bench) load(s *set, d *DetectorSpec, seed uint64, progress func(host.Progress)) (*host.Experiment, error) {
	over := spec.Overrides(s.decl.Set)
	over = append(over, fmt.Sprintf("seed=%d", seed))
	if d != nil {
		over = append(over, spec.Overrides(d.Set)...)
		over = append(over, spec.Overrides(d.PerSet[s.name])...)
	}
	o := b.o.Host
	if progress != nil {
		shown := o.Progress
		o.Progress = func(p host.Progress) {
			progress(p)
			if shown != nil {
				shown(p)
			}
		}
	}
	e, err := host.Load(b.Grid.Abs(s.decl.Spec), over, b.o.Components, o)
	if err == nil && s.base != nil {
		e = e.Sharing(s.base)
	}
	return e, err
}

// pick are the rows that an attack with that limit gets: the same ones for
// every seed, so that an image can be followed across them.
func (s *set) pick(limit int) []int { return evaluate.Balanced(s.rows.Labels, limit, 0) }

// Run makes the selected cells that are not there yet, and what they need.
// What is done is kept if it is interrupted.
func (b *Bench) Run(ctx context.Context) (err error) {
	if err := os.MkdirAll(filepath.Join(b.o.Out, "cells"), 0o755); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.open.close()) }()
	for _, c := range b.cells {
		if c.absent || !b.selects(c) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := b.ensure(ctx, c); err != nil {
			return fmt.Errorf("%s: %w", c, err)
		}
	}
	return nil
}

// selects reports whether a cell is to be run here.
func (b *Bench) selects(c *Cell) bool {
	return b.o.Only.selects(c) && (b.o.Shards <= 1 || b.shard(c) == b.o.Shard)
}

// shard is the shard of a cell. What is judged of one detector stays together: its
// cells need each other. Cells of no detector are those of the set and seed.
func (b *Bench) shard(c *Cell) int {
	type group struct {
		set, detector string
		seed          uint64
	}
	number := map[group]int{}
	for _, o := range b.cells {
		g := group{o.Set, o.Detector, o.Seed}
		if _, ok := number[g]; !ok {
			number[g] = len(number)
		}
	}
	return number[group{c.Set, c.Detector, c.Seed}] % b.o.Shards
}

// opened are the processes that wait for the next cell.
type opened struct {
	detector, other *Cell // whose detector is open
	guard, transfer *host.Detector
	session         *evaluate.Session
	classifier      *Cell
	model           interface {
		sdk.Classifier
		Close() error
	}
}

func (o *opened) closeGuard() (err error) {
	if o.guard != nil {
		err = o.guard.Close()
	}
	o.guard, o.detector, o.session = nil, nil, nil
	return err
}

func (o *opened) closeTransfer() (err error) {
	if o.transfer != nil {
		err = o.transfer.Close()
	}
	o.transfer, o.other = nil, nil
	return err
}

func (o *opened) closeModel() (err error) {
	if o.model != nil {
		err = o.model.Close()
	}
	o.model, o.classifier = nil, nil
	return err
}

func (o *opened) close() error {
	return errors.Join(o.closeGuard(), o.closeTransfer(), o.closeModel())
}

// State is a planned cell and whether it is done.
type State struct {
	*Cell
	Done   bool   `json:"done"`
	Folder string `json:"folder"` // below Options.Out
}

// Cells lists the selected cells in the order in which they run.
func (b *Bench) Cells() ([]State, error) {
	out := []State{}
	for _, c := range b.cells {
		if !b.selects(c) {
			continue
		}
		r, err := b.find(c)
		if err != nil {
			return nil, err
		}
		out = append(out, State{Cell: c, Done: r != nil, Folder: "cells/" + filepath.Base(b.dir(c))})
	}
	return out, nil
}
