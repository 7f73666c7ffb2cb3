package train

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// State is all that a training needs to continue as if it had never stopped. It
// shares nothing with the training that made it.
type State struct {
	// Tensors are the params (params/NAME), those of the best epoch
	// (best/NAME), what the optimiser keeps (optimizer/…), and a Companion's
	// (companion/…).
	Tensors  map[string]*tensor.Tensor
	Progress Progress
}

// Progress is the part of a State that is written as JSON. Every random number
// is keyed by seed, epoch and example, so that the position is all that needs
// saving.
type Progress struct {
	Version     int       `json:"version"`
	Fingerprint string    `json:"fingerprint"` // of the options
	Epoch       int       `json:"epoch"`       // whole epochs made
	Step        int       `json:"step"`        // steps made in the epoch after
	Sums        []float64 `json:"sums"`        // of that epoch's metrics, weighted by rows
	Rows        int       `json:"rows"`        // rows in the sums
	History     []Record  `json:"history"`
	Best        float64   `json:"best"`       // of early stopping's metric
	BestEpoch   int       `json:"best_epoch"` // from 1; 0: none yet
	Wait        int       `json:"wait"`       // epochs without improvement
	Stopped     bool      `json:"stopped"`    // early
	Underflows  int       `json:"underflows"`
	Seconds     float64   `json:"seconds"`
	Judge       string    `json:"judge,omitempty"` // Options.JudgeName, by whose judge epochs were measured
	// Companion is the part of a Companion's state that is not a tensor.
	Companion json.RawMessage `json:"companion,omitempty"`
}

// stateVersion is that of State's form.
const stateVersion = 1

// The prefixes of State.Tensors.
const (
	prefixParams    = "params/"
	prefixBest      = "best/"
	prefixOptimizer = "optimizer/"
)

// IsBest reports whether the state is that of the best epoch so far.
func (s *State) IsBest() bool {
	return s.Progress.Step == 0 && s.Progress.Epoch > 0 && s.Progress.BestEpoch == s.Progress.Epoch
}

// Params are the state's params by name.
func (s *State) Params() map[string]*tensor.Tensor { return strip(s.Tensors, prefixParams) }

// MarshalProgress writes the part of the state that is not a tensor.
func (s *State) MarshalProgress() ([]byte, error) { return json.MarshalIndent(s.Progress, "", "  ") }

// ReadState puts a state together from its two parts.
func ReadState(progress []byte, tensors map[string]*tensor.Tensor) (*State, error) {
	s := &State{Tensors: tensors}
	if err := json.Unmarshal(progress, &s.Progress); err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	if s.Progress.Version != stateVersion {
		return nil, fmt.Errorf("checkpoint has version %d, want %d", s.Progress.Version, stateVersion)
	}
	return s, nil
}

func strip(ts map[string]*tensor.Tensor, prefix string) map[string]*tensor.Tensor {
	out := map[string]*tensor.Tensor{}
	for name, t := range ts {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			out[rest] = t
		}
	}
	return out
}

// fingerprint is what must be equal for a state to fit.
func (l *loop) fingerprint() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s seed=%d rows=%d epochs=%d batch=%d", l.o.Fingerprint, l.o.Seed, l.o.Train.N(), l.o.Epochs, l.o.BatchSize)
	for _, n := range l.names {
		b.WriteString(" " + n)
	}
	return b.String()
}

// state copies everything.
func (l *loop) state() (*State, error) {
	s := &State{Tensors: map[string]*tensor.Tensor{}, Progress: l.p}
	s.Progress.Version, s.Progress.Fingerprint = stateVersion, l.fingerprint()
	s.Progress.Sums = slices.Clone(l.p.Sums)
	s.Progress.History = slices.Clone(l.p.History)
	s.Progress.Seconds = l.seconds()
	s.Progress.Judge = l.o.JudgeName
	for i, p := range l.params {
		s.Tensors[prefixParams+p.Name] = p.Value.Clone()
		if l.best != nil && l.p.BestEpoch > 0 {
			s.Tensors[prefixBest+p.Name] = l.best[i].Clone()
		}
	}
	for name, t := range l.opt.State() {
		s.Tensors[prefixOptimizer+name] = t
	}
	return s, l.companion(s)
}

// restore takes a state over.
func (l *loop) restore(s *State) error {
	if s.Progress.Version != stateVersion {
		return fmt.Errorf("checkpoint has version %d, want %d", s.Progress.Version, stateVersion)
	}
	if got, want := s.Progress.Fingerprint, l.fingerprint(); got != want {
		return fmt.Errorf("the checkpoint belongs to another training (%s), not to this one (%s)", got, want)
	}
	if n := len(s.Progress.Sums); n != len(l.names) {
		return fmt.Errorf("checkpoint has %d sums, want %d", n, len(l.names))
	}
	if s.Progress.Epoch < 0 || s.Progress.Step < 0 || s.Progress.Epoch > l.o.Epochs || s.Progress.Step >= l.steps {
		return fmt.Errorf("checkpoint is at epoch %d, step %d, which this training does not have", s.Progress.Epoch, s.Progress.Step)
	}
	if was, now := s.Progress.Judge, l.o.JudgeName; was != "" && now != "" && was != now && l.measures(s) {
		return fmt.Errorf("%s of the %d epochs so far is by other scores, or another threshold, than that of those to come would be: resume with detector.score, detector.fusion and threshold as they were, and change them once the training is done",
			NameRobust, s.Progress.Epoch)
	}
	values := s.Params()
	if err := checkParams(l.params, values, prefixParams); err != nil {
		return err
	}
	best := strip(s.Tensors, prefixBest)
	if l.best != nil && s.Progress.BestEpoch > 0 {
		if err := checkParams(l.params, best, prefixBest); err != nil {
			return err
		}
	}
	if err := l.opt.Restore(strip(s.Tensors, prefixOptimizer)); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	for i, p := range l.params {
		copy(p.Value.Data, values[p.Name].Data)
		if t := best[p.Name]; l.best != nil && t != nil {
			copy(l.best[i].Data, t.Data)
		}
	}
	l.p = s.Progress
	l.p.Sums, l.p.History = slices.Clone(l.p.Sums), slices.Clone(l.p.History)
	return nil
}

// measures reports whether a training in the middle has epochs that were measured, and will
// have more.
func (l *loop) measures(s *State) bool {
	p, ok := l.l.(prover)
	more := s.Progress.Epoch < l.o.Epochs && !s.Progress.Stopped
	return ok && p.proves() > 0 && more && slices.ContainsFunc(s.Progress.History, func(r Record) bool {
		_, measured := r.Get(NameRobust)
		return measured
	})
}

func checkParams(params []*nn.Param, values map[string]*tensor.Tensor, prefix string) error {
	for _, p := range params {
		if t := values[p.Name]; t == nil || !t.Shape.Equal(p.Value.Shape) {
			return fmt.Errorf("checkpoint: %q is missing or not %v", prefix+p.Name, p.Value.Shape)
		}
	}
	return nil
}
