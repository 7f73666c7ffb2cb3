package train

import "fmt"

// Stage says what an Event tells of.
type Stage string

// The stages.
const (
	StageResume  Stage = "resume"  // a checkpoint was taken over: Epoch and Step are how many were made
	StagePredict Stage = "predict" // the classifier's predictions, once: Step of Steps batches
	StageStep    Stage = "step"    // a step was made
	StageEpoch   Stage = "epoch"   // an epoch ended: metrics include validation's
)

// Event is one report of progress.
type Event struct {
	Stage         Stage
	Epoch, Epochs int // from 1; 0 before the first
	Step, Steps   int // from 1, within the epoch
	// Metrics are means over the epoch so far, in a fixed order, loss first.
	Metrics []Value
	Rate    float64 // learning rate of the step
	Seconds float64 // of training, including those before a resume
	// Improved marks an epoch whose weights are the best so far: by early stopping's
	// metric, or by train.harden.keep.
	Improved bool
	// Warning is for the user, or "".
	Warning string
}

// Value is a named number.
type Value struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
}

// Record is the history of one epoch.
type Record struct {
	Epoch    int     `json:"epoch"` // from 1
	Metrics  []Value `json:"metrics"`
	Rate     float64 `json:"learning_rate"`
	Seconds  float64 `json:"seconds"` // of training until its end
	Improved bool    `json:"improved,omitempty"`
}

// Get is the record's metric of a name.
func (r Record) Get(name string) (v float64, ok bool) {
	for _, m := range r.Metrics {
		if m.Name == name {
			return m.Value, true
		}
	}
	return 0, false
}

// Result is a finished training. The trained params are in the model.
type Result struct {
	History   []Record
	BestEpoch int  // whose weights were restored; 0: the last one's were kept
	Stopped   bool // early
	// Underflows counts rows in which the classifier gave a probability of 0
	// where it did not on the original: their gradients were bounded.
	Underflows int
	Seconds    float64
	Robustness *Robustness // of a hardened training that measured it, else nil
}

// BatchError is a training that failed on a batch. The model is as the last
// complete step left it.
type BatchError struct {
	Epoch, Step int   // from 1
	Rows        []int // of the training rows
	Err         error
}

// Error names the place.
func (e *BatchError) Error() string {
	return fmt.Sprintf("epoch %d, step %d: %v", e.Epoch, e.Step, e.Err)
}

// Unwrap is the cause.
func (e *BatchError) Unwrap() error { return e.Err }
