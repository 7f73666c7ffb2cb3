package grid

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/evaluate"
	"github.com/vaeguard/vaeguard/host/launch"
	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/host/spec"
)

// Kind is what a cell holds.
type Kind string

// The kinds of cells, each with what it depends on.
const (
	Classifier Kind = "classifier" // data, seed
	Arrays     Kind = "arrays"     // classifier, attack: adversarial rows
	Network    Kind = "network"    // classifier, training: the detector's weights
	Detector   Kind = "detector"   // network, score, calibration
	Clean      Kind = "clean"      // detector: scores of the clean rows
	Scores     Kind = "scores"     // detector, arrays
	Adaptive   Kind = "adaptive"   // detector, attack on it: rows and scores
	Corruption Kind = "corruption" // detector, natural corruption: alarms
)

// format is the version of the cells' keys and files.
const format = 1

// Cell is one step of a grid.
type Cell struct {
	Kind     Kind              `json:"kind"`
	Key      string            `json:"key"` // sha256 over kind, format and inputs
	Set      string            `json:"set"`
	Seed     uint64            `json:"seed"`
	Detector string            `json:"detector,omitempty"`
	Attack   string            `json:"attack,omitempty"`
	Inputs   map[string]string `json:"inputs"`

	needs  []*Cell
	set    *set
	guard  *DetectorSpec
	attack *AttackSpec
	change *registry.Component // a corruption
	folder string              // of an external detector
	absent bool                // an external detector's file is not there
}

// String names the cell for messages.
func (c Cell) String() string {
	out := fmt.Sprintf("%s %s seed %d", c.Kind, c.Set, c.Seed)
	if c.Detector != "" {
		out += " " + c.Detector
	}
	if c.Attack != "" {
		out += " " + c.Attack
	}
	return out
}

// need is the cell of a kind that c depends on directly, or nil.
func (c *Cell) need(k Kind) *Cell {
	for _, n := range c.needs {
		if n.Kind == k {
			return n
		}
	}
	return nil
}

// seal computes the key.
func (c *Cell) seal() *Cell {
	for _, n := range c.needs {
		name := string(n.Kind)
		if _, twice := c.Inputs[name]; twice {
			name = "other_" + name
		}
		c.Inputs[name] = n.Key
	}
	data, err := json.Marshal([]any{format, c.Kind, c.Inputs})
	if err != nil {
		panic("grid: a mapping of strings has a JSON form")
	}
	sum := sha256.Sum256(data)
	c.Key = hex.EncodeToString(sum[:])
	return c
}

// plan lists the cells: seed by seed, first what is aimed at the classifier,
// then the adaptive attacks.
func (b *Bench) plan() error {
	type place struct {
		set, detector string
		seed          uint64
	}
	classifiers := map[place]*Cell{}
	detectors := map[place]*Cell{}
	arrays := map[place][]*Cell{}
	for _, s := range b.sets {
		for _, seed := range b.Grid.Seeds {
			at := place{set: s.name, seed: seed}
			c, err := b.classifierCell(s, seed)
			if err != nil {
				return err
			}
			classifiers[at] = c
			for i := range b.Grid.Attacks {
				a := &b.Grid.Attacks[i]
				if on(a.Sets, s.name) && on(a.Seeds, seed) && !adaptive(a) {
					arrays[at] = append(arrays[at], b.arraysCell(c, a))
				}
			}
			for i := range b.Grid.Detectors {
				d := &b.Grid.Detectors[i]
				if !on(d.Sets, s.name) {
					continue
				}
				cell, err := b.detectorCell(c, d)
				if err != nil {
					return err
				}
				detectors[place{s.name, d.Name, seed}] = cell
			}
		}
	}
	for k, seed := range b.Grid.Seeds {
		for _, s := range b.sets {
			at := place{set: s.name, seed: seed}
			b.cells = append(b.cells, classifiers[at])
			b.cells = append(b.cells, arrays[at]...)
			for _, d := range b.Grid.Detectors {
				guard := detectors[place{s.name, d.Name, seed}]
				if guard == nil {
					continue
				}
				if n := guard.need(Network); n != nil {
					b.cells = append(b.cells, n)
				}
				clean := b.cleanCell(guard)
				b.cells = append(b.cells, guard, clean)
				for _, a := range arrays[at] {
					if on(a.attack.Detectors, d.Name) {
						b.cells = append(b.cells, b.scoresCell(clean, a))
					}
				}
				for i := range b.Grid.Corruptions {
					if d.External != "" {
						break
					}
					b.cells = append(b.cells, b.corruptionCell(clean, &b.Grid.Corruptions[i]))
				}
			}
		}
		for _, s := range b.sets {
			for _, d := range b.Grid.Detectors {
				guard := detectors[place{s.name, d.Name, seed}]
				for i := range b.Grid.Attacks {
					a := &b.Grid.Attacks[i]
					if guard == nil || d.External != "" || !adaptive(a) || !on(a.Sets, s.name) || !on(a.Seeds, seed) || !on(a.Detectors, d.Name) {
						continue
					}
					var other *Cell
					if transferred(a) {
						from := place{s.name, d.Name, b.Grid.Seeds[(k+1)%len(b.Grid.Seeds)]}
						if a.From != "" {
							from = place{s.name, a.From, seed}
						}
						if other = detectors[from]; other == nil || other.Key == guard.Key {
							continue // there is no other detector to transfer from
						}
					}
					b.cells = append(b.cells, b.adaptiveCell(b.cleanCell(guard), a, other))
				}
			}
		}
	}
	return nil
}

func adaptive(a *AttackSpec) bool {
	_, ok := registry.As[attack.Attack](a.Attack).(attack.Adaptive)
	return ok
}

func transferred(a *AttackSpec) bool {
	return attack.IsTransferred(registry.As[attack.Attack](a.Attack))
}

func (b *Bench) classifierCell(s *set, seed uint64) (*Cell, error) {
	e, err := b.load(s, nil, seed, nil)
	if err != nil {
		return nil, err
	}
	own := *e.Spec
	only(&own)
	own.VAE, own.Detector, own.Train, own.Threshold = nil, detect.Section{}, nil, nil
	own.Classifier = e.Spec.Classifier
	in := map[string]string{
		"spec": string(own.Resolved()), "seed": strconv.FormatUint(seed, 10),
		"data.train": s.digest[dataset.RoleTrain], "data.validation": s.digest[dataset.RoleValidation],
	}
	if err := fileDigests(in, e.Spec, e.Spec.Classifier.Model); err != nil {
		return nil, err
	}
	return (&Cell{Kind: Classifier, Set: s.name, Seed: seed, Inputs: in, set: s}).seal(), nil
}

// only drops the sections that no cell's own spec is about.
func only(s *host.Spec) {
	s.Name, s.Seed, s.Data, s.Classifier = "", 0, dataset.Section{}, host.Classifier{}
	s.Attacks, s.Corruptions, s.Evaluate = nil, nil, evaluate.Section{}
}

// fileDigests adds the content of the files that a classifier's section names.
func fileDigests(in map[string]string, s *host.Spec, c launch.Section) error {
	var walk func(v any) error
	walk = func(v any) error {
		switch v := v.(type) {
		case string:
			path := s.Abs(v)
			info, err := os.Stat(path)
			if v == "" || err != nil || !info.Mode().IsRegular() {
				return nil
			}
			in["file "+v], err = digestFile(path)
			return err
		case []any:
			for _, e := range v {
				if err := walk(e); err != nil {
					return err
				}
			}
		case map[string]any:
			for _, e := range v {
				if err := walk(e); err != nil {
					return err
				}
			}
		}
		return nil
	}
	for _, word := range slices.Concat(c.Command, []string{c.Path}) {
		if err := walk(word); err != nil {
			return err
		}
	}
	return walk(c.Config)
}

func (b *Bench) arraysCell(c *Cell, a *AttackSpec) *Cell {
	in := b.attackInputs(c, a)
	if t := a.Target; t != nil {
		in["target"] = fmt.Sprintf("offset %d", t.Offset)
		if t.Class != nil {
			in["target"] = fmt.Sprintf("class %d", *t.Class)
		}
	}
	return (&Cell{Kind: Arrays, Set: c.Set, Seed: c.Seed, Attack: a.ID, Inputs: in, needs: []*Cell{c}, set: c.set, attack: a}).seal()
}

func (b *Bench) attackInputs(c *Cell, a *AttackSpec) map[string]string {
	return map[string]string{
		"attack": string(spec.WriteComponent(a.Attack, b.o.Components.Tables()...)), "limit": strconv.Itoa(a.Limit),
		"rows": c.set.digest[dataset.Role(b.Grid.Role)], "seed": strconv.FormatUint(c.Seed, 10),
	}
}

// detectorCell is a detector's, with the cell of its trained weights before it
// where the method has an auto-encoder: scores and thresholds can change
// without training again.
func (b *Bench) detectorCell(c *Cell, d *DetectorSpec) (*Cell, error) {
	if d.External != "" {
		return b.externalCell(c, d)
	}
	e, err := b.load(c.set, d, c.Seed, nil)
	if err != nil {
		return nil, err
	}
	cell := &Cell{Kind: Detector, Set: c.Set, Seed: c.Seed, Detector: d.Name, needs: []*Cell{c}, set: c.set, guard: d}
	cell.Inputs = guardInputs(e, c.set)
	// Weights are a cell of their own where this spec trains an auto-encoder.
	_, coded := e.Spec.Detector.Chosen().(detect.Coded)
	if coded && e.Spec.Train != nil && e.Spec.VAE != nil && e.Spec.VAE.From == "" {
		net := *cell
		net.Kind = Network
		net.Inputs = guardInputs(e.With(forNetwork), c.set)
		delete(net.Inputs, "data.calibration")
		cell.needs = append(cell.needs, net.seal())
	}
	return cell.seal(), nil
}

// forNetwork leaves what training depends on.
func forNetwork(s *host.Spec) {
	s.Threshold, s.Detector.Score, s.Detector.Fusion = nil, nil, detect.NoFusion
	if t, ok := s.Detector.Chosen().(detect.Trimmer); ok {
		s.Detector.Method.Value = t.Trimmed()
	}
}

func guardInputs(e *host.Experiment, s *set) map[string]string {
	own := *e.Spec
	only(&own)
	return map[string]string{
		"spec": string(own.Resolved()), "seed": strconv.FormatUint(e.Spec.Seed, 10),
		"data.train": s.digest[dataset.RoleTrain], "data.validation": s.digest[dataset.RoleValidation],
		"data.calibration": s.digest[dataset.RoleCalibration],
	}
}

func (b *Bench) cleanCell(d *Cell) *Cell {
	in := map[string]string{"rows": d.set.digest[dataset.Role(b.Grid.Role)]}
	return (&Cell{Kind: Clean, folder: d.folder, absent: d.absent, Set: d.Set, Seed: d.Seed, Detector: d.Detector, Inputs: in, needs: []*Cell{d}, set: d.set, guard: d.guard}).seal()
}

func (b *Bench) scoresCell(clean, arrays *Cell) *Cell {
	c := &Cell{
		Kind: Scores, Set: clean.Set, Seed: clean.Seed, Detector: clean.Detector, Attack: arrays.Attack,
		Inputs: map[string]string{}, needs: []*Cell{clean.need(Detector), clean, arrays}, set: clean.set, guard: clean.guard, attack: arrays.attack,
		folder: clean.folder, absent: clean.absent,
	}
	if c.folder != "" {
		c.says(arrays.Attack)
	}
	return c.seal()
}

func (b *Bench) corruptionCell(clean *Cell, c *registry.Component) *Cell {
	in := map[string]string{
		"corruption": string(spec.WriteComponent(*c, b.o.Components.Tables()...)), "limit": strconv.Itoa(b.Grid.CorruptionLimit),
	}
	return (&Cell{
		Kind: Corruption, Set: clean.Set, Seed: clean.Seed, Detector: clean.Detector, Attack: c.Name,
		Inputs: in, needs: []*Cell{clean.need(Detector), clean}, set: clean.set, guard: clean.guard, change: c,
	}).seal()
}

func (b *Bench) adaptiveCell(clean *Cell, a *AttackSpec, other *Cell) *Cell {
	c := &Cell{
		Kind: Adaptive, Set: clean.Set, Seed: clean.Seed, Detector: clean.Detector, Attack: a.ID,
		Inputs: b.attackInputs(clean, a), needs: []*Cell{clean.need(Detector), clean}, set: clean.set, guard: clean.guard, attack: a,
	}
	if other != nil {
		c.needs = append(c.needs, other)
	}
	return c.seal()
}
