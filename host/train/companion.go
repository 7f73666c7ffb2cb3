package train

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Companion is a Classifier that learns along with the detector, as one whose
// gradients are those of a surrogate does. Run calls its methods from one
// goroutine.
type Companion interface {
	sdk.Classifier
	// Prepare is called once before a training that needs gradients, after
	// Restore in a resumed one.
	Prepare(ctx context.Context) error
	// Step is called after each step that was made: what Forward saw since the
	// last call belongs to it. What it saw in a step that failed counts for
	// nothing.
	Step()
	// Epoch is called after the last step of an epoch, counted from 1.
	Epoch(ctx context.Context, epoch int) error
	// State is all that a resumed training needs, shared with no one.
	State() (json.RawMessage, map[string]*tensor.Tensor, error)
	// Restore takes a State back. Run calls it again once the training rows
	// have been asked about, so that counts are those of the state.
	Restore(text json.RawMessage, tensors map[string]*tensor.Tensor) error
}

// prefixCompanion is that of a companion's tensors in State.Tensors.
const prefixCompanion = "companion/"

// restoreCompanion hands a state over, if there is one.
func restoreCompanion(o *Options) error {
	c, ok := o.Classifier.(Companion)
	if !ok || o.Resume == nil || o.Resume.Progress.Companion == nil {
		return nil
	}
	return c.Restore(o.Resume.Progress.Companion, strip(o.Resume.Tensors, prefixCompanion))
}

// companionOf is the companion, nil if there is none or the training needs
// none.
func (l *loop) companionOf() Companion {
	if c, ok := l.o.Classifier.(Companion); ok && l.l.differentiates() {
		return c
	}
	return nil
}

// companion adds its state to s.
func (l *loop) companion(s *State) error {
	c := l.companionOf()
	if c == nil {
		return nil
	}
	text, tensors, err := c.State()
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	s.Progress.Companion = text
	for name, t := range tensors {
		s.Tensors[prefixCompanion+name] = t
	}
	return nil
}

// accompany ends an epoch of the companion's.
func (l *loop) accompany(ctx context.Context) error {
	c := l.companionOf()
	if c == nil {
		return nil
	}
	if err := c.Epoch(ctx, l.p.Epoch+1); err != nil {
		return fmt.Errorf("epoch %d: classifier: %w", l.p.Epoch+1, err)
	}
	return nil
}
