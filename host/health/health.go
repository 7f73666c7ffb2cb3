// Package health judges a trained guard by what it does with clean rows that it
// was not trained on: whether its reconstructions keep the class, whether the
// classes share the false alarms, what correction costs, whether the score
// tells rows apart at all. It is pure: numbers in, a Report out.
//
// Figures look better than they are on rows that something was chosen by. False alarms
// and correction follow from the threshold and from what correction abstains from, which
// calibration rows taught: so they are judged on other rows where there are any,
// those of data.validation, and say of which they are. By those in turn training may
// have stopped early, and a hardened one may have kept its best epoch: that moves scores
// little, and says nothing of where the threshold stands. The rest is judged on
// calibration rows, by which nothing of it was chosen.
//
// A guard can be useless in silence: its reconstructions may all say the class
// that nine rows of ten have, and accuracy, loss and false-alarm rate look well.
// So what counts here is counted by class.
package health

import (
	"fmt"
	"slices"
)

// Severity is how bad a finding is.
type Severity string

// The severities, from the least.
const (
	// Note is a figure that is as it should be, or that nothing is asked of.
	Note Severity = "note"
	// Warning is a figure that deserves a look: the guard works, worse than it
	// should.
	Warning Severity = "warning"
	// Severe is a guard that is useless or does harm.
	Severe Severity = "severe"
)

// Names of findings.
const (
	Classifier  = "classifier"   // its accuracy against always saying the most frequent class, and against what its author declares
	Kept        = "kept"         // reconstructions that keep the class
	Reached     = "reached"      // classes that reconstructions are of
	FalseAlarms = "false_alarms" // against the promise, over all and by class
	Correction  = "correction"   // clean accuracy with and without
	Score       = "score"        // constant or tied
	DeadUnits   = "dead_units"   // scores of a fusion and dimensions of the code that never move
	Hardening   = "hardening"    // rows that stand an attack, where training was hardened
	Surrogate   = "surrogate"    // agreement by class, where gradients come from one
)

// severities are all, from the least.
var severities = []Severity{Note, Warning, Severe}

// milder reports whether s is less than another.
func (s Severity) milder(than Severity) bool {
	return slices.Index(severities, s) < slices.Index(severities, than)
}

// Finding is one thing that was looked at, in one sentence.
type Finding struct {
	Name     string   `json:"name"` // Classifier, Kept, …
	Severity Severity `json:"severity"`
	Message  string   `json:"message"`
	// Source is the role of the rows that it is of, Rows their number. A surrogate's are
	// "held-out": those of data.validation, or rows of data.train that it did not learn from.
	Source string `json:"source"`
	Rows   int    `json:"rows"`
	// Cures are the likeliest remedies, best first, each a key of the spec and
	// what to do with it; none for notes.
	Cures []string `json:"cures,omitempty"`
}

// Class are the figures of the rows of one class: its label where rows have
// labels, else the one that the classifier predicts. Shares are of N rows; what
// the rows do not define is nil.
type Class struct {
	Class int    `json:"class"`
	Name  string `json:"name"`
	N     int    `json:"n"`
	// Flagged is the share of false alarms.
	Flagged *float64 `json:"flagged"`
	// Kept is the share of the rows *predicted* as this class whose
	// reconstruction is of it too; Predicted is their number.
	Kept      *float64 `json:"kept"`
	Predicted int      `json:"predicted"`
	// Reconstructed is the number of rows, of any class, whose reconstruction
	// is of this one.
	Reconstructed     int      `json:"reconstructed"`
	Accuracy          *float64 `json:"accuracy"`           // of the classifier; nil without labels
	AccuracyCorrected *float64 `json:"accuracy_corrected"` // with the guard's correction
}

// HeldOut are figures on rows from which neither the threshold nor what correction
// abstains from was learnt. What rows do not define is nil, in JSON null.
type HeldOut struct {
	Source   string `json:"source"` // the role of the rows: validation
	Rows     int    `json:"rows"`
	Labelled bool   `json:"labelled"`

	FalseAlarms       *float64 `json:"false_alarms"`
	Accuracy          *float64 `json:"accuracy"`
	AccuracyCorrected *float64 `json:"accuracy_corrected"`

	Classes []Class `json:"classes"`
}

// Report is the health of a guard on Rows rows. Figures that the rows or the
// method do not define are nil, in JSON null.
type Report struct {
	Rows     int    `json:"rows"`
	Source   string `json:"source"` // the role of the rows: calibration, validation
	Labelled bool   `json:"labelled"`

	Kept         *float64 `json:"kept"`          // share of reconstructions that keep the predicted class
	KeptBalanced *float64 `json:"kept_balanced"` // its mean over classes with ten predicted rows or more
	Reached      *int     `json:"reached"`       // classes that reconstructions are of

	FalseAlarms *float64 `json:"false_alarms"`
	Promised    *float64 `json:"promised"` // false-alarm rate; nil: none

	Accuracy          *float64 `json:"accuracy"`
	AccuracyBalanced  *float64 `json:"accuracy_balanced"` // mean recall
	AccuracyCorrected *float64 `json:"accuracy_corrected"`
	Majority          *float64 `json:"majority"` // share of the most frequent label
	// AccuracyDeclared is what the classifier's author declares, and
	// AccuracyUnprepared what it has on rows as the files have them, where the guard
	// prepares them.
	AccuracyDeclared   *float64 `json:"accuracy_declared"`
	AccuracyUnprepared *float64 `json:"accuracy_unprepared"`

	Distinct int `json:"distinct_scores"`

	// Learnt says that the threshold, or what correction abstains from, was learnt from
	// these Rows, on which FalseAlarms and AccuracyCorrected are then better than on others.
	Learnt bool `json:"learnt"`
	// HeldOut are others, by which the findings FalseAlarms and Correction go; nil: there
	// are none, or it takes none.
	HeldOut *HeldOut `json:"held_out"`
	// Queries are the rows that the classifier was asked about for this report alone, its
	// answers for calibration not among them.
	Queries int64 `json:"queries"`

	Classes  []Class   `json:"classes"`
	Findings []Finding `json:"findings"`
}

// Worst is the worst severity of the findings; Note if there are none. It is
// Note for nil too.
func (r *Report) Worst() Severity {
	worst := Note
	if r == nil {
		return worst
	}
	for _, f := range r.Findings {
		switch {
		case f.Severity == Severe:
			return Severe
		case f.Severity == Warning:
			worst = Warning
		}
	}
	return worst
}

// Of are the findings of a severity, in order; none for nil.
func (r *Report) Of(s Severity) []Finding {
	var out []Finding
	if r == nil {
		return out
	}
	for _, f := range r.Findings {
		if f.Severity == s {
			out = append(out, f)
		}
	}
	return out
}

// Finding is the finding of a name, and whether there is one.
func (r *Report) Finding(name string) (Finding, bool) {
	if r != nil {
		for _, f := range r.Findings {
			if f.Name == name {
				return f, true
			}
		}
	}
	return Finding{}, false
}

// Error is what --strict makes of a guard with a severe finding.
type Error struct{ Report *Report }

// Error counts the severe findings.
func (e *Error) Error() string {
	return fmt.Sprintf("the guard is useless or does harm (severe findings of its health: %d), which --strict does not accept", len(e.Report.Of(Severe)))
}

// Check is an *Error for a report with a severe finding, and nil for others.
func (r *Report) Check() error {
	if r.Worst() == Severe {
		return &Error{Report: r}
	}
	return nil
}
