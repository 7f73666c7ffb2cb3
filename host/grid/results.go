package grid

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/atomicfile"
	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/host/evaluate"
	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/host/spec"
)

// Results are results.json: the figures of all cells that are there. They
// depend on the cells alone, not on when or in which order those were made.
type Results struct {
	Name    string        `json:"name"`
	Title   string        `json:"title,omitempty"`
	Role    string        `json:"role"`
	Seeds   []uint64      `json:"seeds"`
	Default string        `json:"default,omitempty"`
	Command string        `json:"command"`
	Version string        `json:"version"`
	Cells   int           `json:"cells"`
	Done    int           `json:"cells_done"`
	Sets    []*SetResults `json:"sets"`

	costs []Cost
}

// SetResults are those of one data set.
type SetResults struct {
	Set         string             `json:"set"`
	Data        map[string]string  `json:"data"` // digests by role
	Classifiers []ClassifierResult `json:"classifiers"`
	Detectors   []DetectorResult   `json:"detectors"`
	Attacks     []AttackResult     `json:"attacks"`
	Adaptive    []AdaptiveResult   `json:"adaptive"`
	Tests       []TestResult       `json:"tests"`
	Corruptions []CorruptionResult `json:"corruptions"`
}

// ClassifierResult is one seed's classifier.
type ClassifierResult struct {
	Seed   uint64 `json:"seed"`
	Key    string `json:"key"`
	Digest string `json:"digest"` // "" if not run
}

// DetectorResult is one detector on clean rows.
type DetectorResult struct {
	Name  string   `json:"name"`
	Title string   `json:"title,omitempty"`
	Keys  []string `json:"keys"`  // of the cells, by seed of the grid
	Steps []int    `json:"steps"` // of training, by seed that was run
	Entry
	Thresholds []evaluate.Number `json:"thresholds"`
	Promised   evaluate.Number   `json:"promised_fpr"` // null: none
	// Tolerance is how far a test rate may lie from the promised one by chance:
	// 1.96·√(α(1−α)(1/n_cal + 1/n_test)).
	Tolerance evaluate.Number `json:"fpr_tolerance"`
}

// AttackResult is one attack on all detectors.
type AttackResult struct {
	ID       string           `json:"id"`
	Attack   string           `json:"attack"` // as in a spec, with all its options
	Norm     string           `json:"norm"`
	Eps      *evaluate.Number `json:"eps"` // null: no bound, or not run
	Limit    int              `json:"limit"`
	Adaptive bool             `json:"adaptive"`
	Control  bool             `json:"control"`
	Entries  []Entry          `json:"detectors"`

	falseAlarm bool
}

// Cost is what a detector took to train and to judge, over the seeds.
type Cost struct {
	Set        string    `json:"set"`
	Detector   string    `json:"detector"`
	Seeds      []uint64  `json:"seeds"`
	Steps      []int     `json:"steps"`
	Seconds    []float64 `json:"train_seconds"`
	CPUSeconds []float64 `json:"train_cpu_seconds"`
	Scoring    []float64 `json:"clean_seconds"` // of scoring all clean rows
}

// table finds cells by what they are.
type table map[string]*Cell

func at(k Kind, set string, seed uint64, detector, attack string) string {
	return fmt.Sprintf("%s/%s/%d/%s/%s", k, set, seed, detector, attack)
}

// Results gathers what the cells say.
func (b *Bench) Results(ctx context.Context) (*Results, error) {
	g := b.Grid
	r := &Results{Name: g.Name, Title: g.Title, Role: g.Role, Seeds: g.Seeds, Default: g.Default, Command: b.o.Command, Version: host.Version(), Cells: len(b.cells)}
	t := table{}
	for _, c := range b.cells {
		t[at(c.Kind, c.Set, c.Seed, c.Detector, c.Attack)] = c
		rec, err := b.find(c)
		if err != nil {
			return nil, err
		}
		if rec != nil {
			r.Done++
		}
	}
	for _, s := range b.sets {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		one, err := b.setResults(s, t, r)
		if err != nil {
			return nil, fmt.Errorf("results of %s: %w", s.name, err)
		}
		r.Sets = append(r.Sets, one)
	}
	return r, nil
}

func (b *Bench) setResults(s *set, t table, r *Results) (*SetResults, error) {
	out := &SetResults{Set: s.name, Data: map[string]string{}, Adaptive: []AdaptiveResult{}, Tests: []TestResult{}}
	for role, d := range s.digest {
		out.Data[string(role)] = d
	}
	for _, seed := range b.Grid.Seeds {
		c := t[at(Classifier, s.name, seed, "", "")]
		rec, err := b.find(c)
		if err != nil {
			return nil, err
		}
		one := ClassifierResult{Seed: seed, Key: c.Key}
		if rec != nil {
			one.Digest = rec.Digest
		}
		out.Classifiers = append(out.Classifiers, one)
	}
	clean := map[string]map[uint64]*scored{}
	for _, d := range b.Grid.Detectors {
		if !on(d.Sets, s.name) {
			continue
		}
		one, err := b.detectorResult(s, &d, t, clean, r)
		if err != nil {
			return nil, err
		}
		out.Detectors = append(out.Detectors, *one)
	}
	runs := map[string]map[uint64]*scored{} // by detector and attack
	for i := range b.Grid.Attacks {
		a := &b.Grid.Attacks[i]
		if !on(a.Sets, s.name) {
			continue
		}
		one, err := b.attackResult(s, a, t, clean, runs)
		if err != nil {
			return nil, err
		}
		out.Attacks = append(out.Attacks, *one)
	}
	out.Adaptive = b.adaptiveResults(out, runs)
	var err error
	if out.Tests, err = b.tests(out, clean, runs); err != nil {
		return nil, err
	}
	out.Corruptions, err = b.corruptionResults(s, t)
	return out, err
}

func (b *Bench) detectorResult(s *set, d *DetectorSpec, t table, clean map[string]map[uint64]*scored, r *Results) (*DetectorResult, error) {
	e, err := b.load(s, d, b.Grid.Seeds[0], nil)
	if err != nil {
		return nil, err
	}
	out := &DetectorResult{Name: d.Name, Title: d.Title, Promised: nan, Tolerance: nan, Steps: []int{}, Thresholds: []evaluate.Number{}}
	clean[d.Name] = map[uint64]*scored{}
	cost := Cost{Set: s.name, Detector: d.Name}
	var list []*scored
	var ran, not []uint64
	var keys []string
	calibrated := 0
	for _, seed := range b.Grid.Seeds {
		cell := t[at(Clean, s.name, seed, d.Name, "")]
		out.Keys = append(out.Keys, cell.need(Detector).Key)
		one, err := b.scored(cell)
		if err != nil {
			return nil, err
		}
		if one == nil {
			not = append(not, seed)
			continue
		}
		rec, err := b.find(cell.need(Detector))
		if err != nil || rec == nil {
			return nil, fmt.Errorf("the cell %s is gone: %w", cell.need(Detector), err)
		}
		if rec.Threshold != nil {
			out.Thresholds = append(out.Thresholds, *rec.Threshold)
		}
		calibrated = rec.Calibrated
		steps, seconds, cpu := rec.Steps, rec.Seconds, rec.CPUSeconds
		if n := cell.need(Detector).need(Network); n != nil {
			if net, err := b.find(n); err == nil && net != nil {
				steps, seconds, cpu = net.Steps, net.Seconds, net.CPUSeconds
			}
		}
		out.Steps = append(out.Steps, steps)
		cost.Seeds, cost.Steps = append(cost.Seeds, seed), append(cost.Steps, steps)
		cost.Seconds, cost.CPUSeconds = append(cost.Seconds, seconds), append(cost.CPUSeconds, cpu)
		cost.Scoring = append(cost.Scoring, one.record.Seconds)
		clean[d.Name][seed] = one
		list, ran, keys = append(list, one), append(ran, seed), append(keys, cell.Key)
	}
	if len(list) > 0 {
		r.costs = append(r.costs, cost)
		if out.Entry, err = b.kept(keys, func() Entry { return cleanEntry(list, b.Grid.Bootstrap) }); err != nil {
			return nil, err
		}
		if th := e.Spec.Threshold; th != nil && th.FPR != nil && calibrated > 0 {
			out.Promised = evaluate.Number(*th.FPR)
			out.Tolerance = evaluate.Number(tolerance(*th.FPR, calibrated, len(list[0].rows)))
		}
	}
	out.Detector, out.Seeds, out.NotRun = d.Name, listed(ran), listed(not)
	return out, nil
}

func (b *Bench) attackResult(s *set, a *AttackSpec, t table, clean, runs map[string]map[uint64]*scored) (*AttackResult, error) {
	inner := registry.As[attack.Attack](a.Attack)
	out := &AttackResult{ID: a.ID, Attack: strings.TrimSpace(string(spec.WriteComponent(a.Attack, b.o.Components.Tables()...))), Limit: a.Limit, Adaptive: adaptive(a),
		Control: attack.IsControl(inner), Entries: []Entry{}}
	norm, eps := inner.Ball()
	if out.Norm = string(norm); eps < 1e300 {
		v := evaluate.Number(eps)
		out.Eps = &v
	}
	if ad, ok := inner.(attack.Adaptive); ok {
		out.falseAlarm = ad.WantsFlag()
	}
	kind := Scores
	if out.Adaptive {
		kind = Adaptive
	}
	for _, d := range b.Grid.Detectors {
		var cells, attacked []*scored
		var ran, not []uint64
		var keys []string
		got := map[uint64]*scored{}
		for _, seed := range b.Grid.Seeds {
			cell := t[at(kind, s.name, seed, d.Name, a.ID)]
			if cell == nil {
				continue // not planned
			}
			one, err := b.scored(cell)
			if err != nil {
				return nil, err
			}
			if one == nil || clean[d.Name][seed] == nil {
				not = append(not, seed)
				continue
			}
			got[seed] = one
			cells, attacked = append(cells, clean[d.Name][seed]), append(attacked, one)
			ran, keys = append(ran, seed), append(keys, cell.Key)
		}
		if len(ran)+len(not) == 0 {
			continue
		}
		e := Entry{NSuccess: []int{}, Mean: map[string]evaluate.Number{}, CI95: map[string]evaluate.Interval{}, PerSeed: []map[string]evaluate.Number{}}
		if len(attacked) > 0 {
			var err error
			if e, err = b.kept(keys, func() Entry { return attackEntry(cells, attacked, b.Grid.Bootstrap) }); err != nil {
				return nil, err
			}
		}
		e.Detector, e.Seeds, e.NotRun = d.Name, listed(ran), listed(not)
		out.Entries = append(out.Entries, e)
		runs[d.Name+"/"+a.ID] = got
	}
	return out, nil
}

// listed is v, never nil: JSON shows an empty list.
func listed(v []uint64) []uint64 { return append([]uint64{}, v...) }

// kept finds figures that were computed before from the same cells: resampling
// takes longer than all the rest of the results.
func (b *Bench) kept(keys []string, compute func() Entry) (Entry, error) {
	return kept(b, "entry", keys, compute)
}

func kept[T any](b *Bench, what string, keys []string, compute func() T) (T, error) {
	var out T
	text := fmt.Sprint(format, figuresFormat, what, b.Grid.Bootstrap, keys)
	sum := sha256.Sum256([]byte(text))
	path := filepath.Join(b.o.Out, "figures", hex.EncodeToString(sum[:])[:short]+".json")
	if data, err := os.ReadFile(path); err == nil && json.Unmarshal(data, &out) == nil {
		return out, nil
	}
	out = compute()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return out, err
	}
	return out, atomicfile.Write(path, func(f *os.File) error { return json.NewEncoder(f).Encode(out) })
}

// figuresFormat counts changes of how figures are computed.
const figuresFormat = 2

// WriteJSON writes results.json.
func (r *Results) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", " ")
	enc.SetEscapeHTML(false)
	return enc.Encode(r)
}

// Write writes results.json, costs.json and results.md into dir, each whole or
// not at all.
func (r *Results) Write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := atomicfile.Write(filepath.Join(dir, "results.json"), func(f *os.File) error { return r.WriteJSON(f) }); err != nil {
		return err
	}
	if err := atomicfile.Write(filepath.Join(dir, "costs.json"), func(f *os.File) error {
		enc := json.NewEncoder(f)
		enc.SetIndent("", " ")
		return enc.Encode(r.costs)
	}); err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(dir, "results.md"), func(f *os.File) error { return r.WriteMarkdown(f) })
}
