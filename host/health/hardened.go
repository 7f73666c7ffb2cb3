package health

import "fmt"

// Hardened is what a hardened training measured on validation rows, by an attack that
// knows the guard.
type Hardened struct {
	Rows  int     `json:"rows"`  // that were attacked
	Steps int     `json:"steps"` // of the attack
	Share float64 `json:"share"` // of them that stand, with the weights that were kept
	// Epoch is that of the weights that were kept, of Epochs.
	Epoch  int `json:"epoch"`
	Epochs int `json:"epochs"`
	// Last is the share after the last epoch, Best the largest one, after BestEpoch.
	Last      float64 `json:"last"`
	Best      float64 `json:"best"`
	BestEpoch int     `json:"best_epoch"`
	// Parted says that Last is far below Best: by a tenth, and by more than chance explains.
	Parted bool `json:"parted"`
}

// validation is the role of the rows that a hardened training attacks.
const validation = "validation"

// hardened finds a training that hardened against its own attack alone.
func (j *judge) hardened() {
	h := j.Hardened
	if h == nil || h.Rows == 0 {
		if j.Unmeasured {
			j.addOf(validation, 0, Hardening, Note, []string{"data.validation: rows of which each epoch some are attacked, so that train.harden.keep chooses the best"},
				"training was hardened, and what its guard stands was not measured: there are no validation rows, or train.harden.robust asks for none; the last epoch was kept")
		}
		return
	}
	add := func(s Severity, cures []string, format string, args ...any) {
		j.addOf(validation, h.Rows, Hardening, s, cures, format, args...)
	}
	text := fmt.Sprintf("of %d validation rows %s stand an attack of %d steps that knows the guard: the class stays, or they are flagged", h.Rows, percent(h.Share), h.Steps)
	if h.Epoch < h.Epochs {
		text += fmt.Sprintf(" (weights of epoch %d of %d, chosen on validation rows: others may stand less often)", h.Epoch, h.Epochs)
	}
	cures := []string{
		"train.harden.steps: more, so that its attack finds what a stronger one does",
		"train.harden.eps: smaller",
		"train.optimizer.adam.learning_rate: lower",
	}
	switch {
	case h.Parted && h.Best-h.Share >= 0.1:
		add(Warning, append(cures, "train.harden.keep: robust keeps the epoch before"), "%s; after epoch %d it was %s: clean and robust figures parted ways (catastrophic overfitting)", text, h.BestEpoch, percent(h.Best))
	case h.Parted:
		add(Warning, cures, "%s; later clean and robust figures parted ways (catastrophic overfitting), down to %s after the last epoch, so that most of the training is lost", text, percent(h.Last))
	default:
		add(Note, nil, "%s", text)
	}
}
