package grid

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/vaeguard/vaeguard/host/atomicfile"
	"github.com/vaeguard/vaeguard/host/evaluate"
	"github.com/vaeguard/vaeguard/host/registry"
)

// CorruptionResult is one corruption at one severity: alarms of each detector,
// means over seeds.
type CorruptionResult struct {
	ID       string            `json:"id"`
	Severity int               `json:"severity"`
	Entries  []CorruptionEntry `json:"detectors"`
}

// CorruptionEntry is one detector under it.
type CorruptionEntry struct {
	Detector string          `json:"detector"`
	Seeds    []uint64        `json:"seeds"`
	NotRun   []uint64        `json:"not_run"`
	N        int             `json:"n"`
	Accuracy evaluate.Number `json:"accuracy"`
	// Corrected is the accuracy after correction.
	Corrected evaluate.Number `json:"accuracy_corrected"`
	Flagged   evaluate.Number `json:"flagged"`
	// Harmless is the share flagged of rows whose prediction stays, Harmful
	// that of rows whose prediction flips.
	Harmless evaluate.Number `json:"flagged_harmless"`
	Harmful  evaluate.Number `json:"flagged_harmful"`
}

// makeCorruption measures alarms on corrupted rows.
func (b *Bench) makeCorruption(ctx context.Context, c *Cell) error {
	clean, err := b.clean(c.need(Clean))
	if err != nil {
		return err
	}
	if err := b.judge(ctx, c.need(Detector), clean); err != nil {
		return err
	}
	named := evaluate.NamedCorruption{Name: c.change.Name, Corruption: registry.As[evaluate.Corruption](*c.change)}
	levels, err := b.open.session.Corrupt(ctx, named, b.Grid.CorruptionLimit)
	if err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(b.dir(c), levelsFile), func(f *os.File) error { return json.NewEncoder(f).Encode(levels) })
}

// corruptionResults gathers one set's corruptions, a result for each severity.
func (b *Bench) corruptionResults(s *set, t table) ([]CorruptionResult, error) {
	out := []CorruptionResult{}
	for _, c := range b.Grid.Corruptions {
		levels := registry.As[evaluate.Corruption](c).Levels()
		first := len(out)
		for _, level := range levels {
			out = append(out, CorruptionResult{ID: fmt.Sprintf("%s-%d", c.Name, level), Severity: level, Entries: []CorruptionEntry{}})
		}
		for _, d := range b.Grid.Detectors {
			if !on(d.Sets, s.name) || d.External != "" {
				continue
			}
			entries, err := b.corruptionEntries(s, &d, c.Name, len(levels), t)
			if err != nil {
				return nil, err
			}
			for i, e := range entries {
				out[first+i].Entries = append(out[first+i].Entries, e)
			}
		}
	}
	return out, nil
}

// corruptionEntries are one detector's, by severity.
func (b *Bench) corruptionEntries(s *set, d *DetectorSpec, name string, levels int, t table) ([]CorruptionEntry, error) {
	out := make([]CorruptionEntry, levels)
	var ran, not []uint64
	var reports [][]evaluate.CorruptionReport
	for _, seed := range b.Grid.Seeds {
		cell := t[at(Corruption, s.name, seed, d.Name, name)]
		rec, err := b.find(cell)
		if err != nil {
			return nil, err
		}
		if rec == nil {
			not = append(not, seed)
			continue
		}
		data, err := os.ReadFile(filepath.Join(b.dir(cell), levelsFile))
		if err != nil {
			return nil, err
		}
		var one []evaluate.CorruptionReport
		if err := json.Unmarshal(data, &one); err != nil || len(one) != levels {
			return nil, fmt.Errorf("%s: not what was written: %d severities, %w", b.dir(cell), len(one), err)
		}
		reports, ran = append(reports, one), append(ran, seed)
	}
	for i := range out {
		e := &out[i]
		e.Detector, e.Seeds, e.NotRun = d.Name, listed(ran), listed(not)
		if len(reports) == 0 {
			e.Accuracy, e.Corrected, e.Flagged, e.Harmless, e.Harmful = nan, nan, nan, nan, nan
		}
		part := evaluate.Number(1 / float64(max(len(reports), 1)))
		for _, r := range reports {
			e.N = r[i].N
			e.Accuracy += part * evaluate.Number(r[i].Accuracy)
			e.Corrected += part * evaluate.Number(r[i].AccuracyCorrected)
			e.Flagged += part * evaluate.Number(r[i].Flagged)
			e.Harmless += part * r[i].FlaggedHarmless
			e.Harmful += part * r[i].FlaggedHarmful
		}
	}
	return out, nil
}

func (s *SetResults) corruptions(p page) {
	if len(s.Corruptions) == 0 {
		return
	}
	p.line("\n### Natural corruptions\n")
	p.line("Alarms on rows whose prediction stays (harmless) and flips (harmful).\n")
	p.head("corruption", "detector", "seeds", "rows", "accuracy", "corrected", "flagged", "flagged, harmless", "flagged, harmful")
	for _, c := range s.Corruptions {
		for _, e := range c.Entries {
			if len(e.Seeds) == 0 {
				p.row(c.ID, e.Detector, "*not run*", "", "", "", "", "", "")
				continue
			}
			p.row(c.ID, e.Detector, ran(Entry{Seeds: e.Seeds, NotRun: e.NotRun}), fmt.Sprint(e.N), decimal(e.Accuracy), decimal(e.Corrected), decimal(e.Flagged), decimal(e.Harmless), decimal(e.Harmful))
		}
	}
}
