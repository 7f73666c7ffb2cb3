package health

import (
	"fmt"
	"slices"
	"strings"
)

// Measured is what was seen of clean rows: slices have one entry a row.
type Measured struct {
	Source  string   // role of the rows
	Classes int      // ≥ 1
	Names   []string // of the classes; nil: their numbers

	Labels    []int // nil: unknown
	Predicted []int // by the classifier
	// Reconstructed is the classifier's answer on the reconstruction, or the
	// second opinion's own; nil for methods that have neither.
	Reconstructed []int
	Score         []float64
	Flagged       []bool
	// Corrected is the guard's answer; nil: that of the reconstruction where a row is
	// flagged, else the classifier's.
	Corrected []int
	Abstains  bool // from correction where it did harm: detector.correct

	// Learnt says that the threshold, or what correction abstains from, was learnt from
	// these very rows.
	Learnt bool
	// HeldOut are rows that nothing of it was learnt from; nil: there are none. Only what
	// has one entry a row counts of them, and Source.
	HeldOut *Measured
	Queries int64 // rows that the classifier was asked about for all this alone

	// Votes is how many votes a row's score counts, and Quorum the fewest with which one
	// passes; 0: scores are no counts.
	Votes, Quorum int

	Coded     bool    // by an auto-encoder of the section vae
	Promised  float64 // false-alarm rate of the threshold; 0: none
	Threshold float64
	ByClass   bool    // each predicted class has a threshold, and the promise
	Bound     float64 // share of each predicted class that is promised to be flagged at most; 0: none

	// Parts are the scores of a fusion one by one, by name; nil: one score.
	Parts     [][]float64
	PartNames []string
	// Code is the spread of each dimension of the code, its standard deviation
	// over rows; nil: the method has none.
	Code []float64

	// Declared is the accuracy that the classifier's author declares; 0: none.
	Declared float64
	// Unprepared is the classifier on the rows as the files have them; nil: that is
	// how the guard has them too, or nothing is known of it.
	Unprepared *Unprepared

	// Surrogate is where gradients come from one; nil: they do not.
	Surrogate *Agreement
	// Hardened is what a hardened training measured; nil: nothing.
	Hardened   *Hardened
	Unmeasured bool // training was hardened, and nothing was measured of it
}

// Unprepared counts right answers on N of the rows before data.prepare and scale.
type Unprepared struct{ Right, N int }

// Agreement is how often a surrogate has the classifier's class on held-out
// rows.
type Agreement struct {
	Plain    float64 // share of rows
	Balanced float64 // mean over the classes that the classifier predicts; 0: not known
	Majority float64 // share of the most frequent predicted class
	N        int
}

// Least numbers of rows that a class needs before a finding rests on it.
const (
	fewest = 10 // for what fails altogether
	enough = 30 // for a rate
)

// Judge looks at a guard. It does not keep m.
func Judge(m Measured) *Report {
	j := judgeOf(m)
	j.r.Learnt, j.r.Queries = m.Learnt, m.Queries
	var held *judge
	if h := m.HeldOut; h != nil && len(h.Predicted) > 0 {
		of := m
		of.Learnt, of.HeldOut = false, nil
		of.Source, of.Labels, of.Predicted, of.Reconstructed, of.Score, of.Flagged, of.Corrected = h.Source, h.Labels, h.Predicted, h.Reconstructed, h.Score, h.Flagged, h.Corrected
		held = judgeOf(of)
		r := held.r
		j.r.HeldOut = &HeldOut{Source: r.Source, Rows: r.Rows, Labelled: r.Labelled, FalseAlarms: r.FalseAlarms, Accuracy: r.Accuracy, AccuracyCorrected: r.AccuracyCorrected, Classes: r.Classes}
	}
	j.classifier()
	j.kept()
	j.onHeldOut(held, (*judge).falseAlarms)
	j.onHeldOut(held, (*judge).correction)
	j.score()
	j.units()
	j.surrogate()
	j.hardened()
	return j.r
}

// judge is a judgement under way.
type judge struct {
	Measured
	r *Report
}

func judgeOf(m Measured) *judge {
	j := &judge{Measured: m, r: &Report{Rows: len(m.Predicted), Source: m.Source, Labelled: m.Labels != nil}}
	j.figures()
	return j
}

// onHeldOut adds the finding of look on held-out rows, nil: on those at hand. Where those
// at hand show worse, although the threshold was learnt from them, theirs counts: there may be
// more of them.
func (j *judge) onHeldOut(held *judge, look func(*judge)) {
	look(j)
	if held == nil {
		return
	}
	n := len(held.r.Findings)
	look(held)
	if len(held.r.Findings) == n {
		return
	}
	found, last := held.r.Findings[n], len(j.r.Findings)-1
	if last < 0 || j.r.Findings[last].Name != found.Name {
		j.r.Findings = append(j.r.Findings, found)
	} else if !found.Severity.milder(j.r.Findings[last].Severity) {
		j.r.Findings[last] = found
	}
}

// add is a finding of the rows at hand.
func (j *judge) add(name string, s Severity, cures []string, format string, args ...any) {
	j.addOf(j.r.Source, j.r.Rows, name, s, cures, format, args...)
}

// addOf is a finding of other rows.
func (j *judge) addOf(source string, rows int, name string, s Severity, cures []string, format string, args ...any) {
	if s == Note {
		cures = nil
	}
	j.r.Findings = append(j.r.Findings, Finding{Name: name, Severity: s, Message: fmt.Sprintf(format, args...), Cures: cures, Source: source, Rows: rows})
}

// learnt is what a figure says that looks better on these rows than on others: what was
// learnt from them, and what others may do.
func (j *judge) learnt(what, others string) string {
	if !j.Learnt {
		return ""
	}
	return fmt.Sprintf("; %s learnt from these rows, others may %s", what, others)
}

// name is how a class is called.
func (j *judge) name(c int) string {
	if c < len(j.Names) {
		return j.Names[c]
	}
	return fmt.Sprint(c)
}

// names lists classes, the first few of them.
func (j *judge) names(classes []int) string {
	const most = 5
	var out []string
	for _, c := range classes[:min(most, len(classes))] {
		out = append(out, j.name(c))
	}
	text := strings.Join(out, ", ")
	if n := len(classes) - most; n > 0 {
		text += fmt.Sprintf(" and %d more", n)
	}
	return text
}

// corrected is the answer for row i.
func (j *judge) corrected(i int) int {
	if j.Corrected != nil {
		return j.Corrected[i]
	}
	if j.Flagged[i] && j.Reconstructed != nil {
		return j.Reconstructed[i]
	}
	return j.Predicted[i]
}

// tally are counts of one class.
type tally struct {
	n, flagged, right, corrected int // of its rows
	lost, won                    int // by correction
	predicted, kept              int // of rows predicted as it
	reconstructed                int
}

func (j *judge) tallies() []tally {
	out := make([]tally, j.Classes)
	for i, p := range j.Predicted {
		c := p
		if j.Labels != nil {
			c = j.Labels[i]
			if c < 0 || c >= j.Classes {
				continue
			}
		}
		t := &out[c]
		t.n++
		if j.Flagged[i] {
			t.flagged++
		}
		before, after := p == c, j.corrected(i) == c
		switch {
		case before && !after:
			t.lost++
		case after && !before:
			t.won++
		}
		if before {
			t.right++
		}
		if after {
			t.corrected++
		}
	}
	for i, p := range j.Predicted {
		out[p].predicted++
		if j.Reconstructed != nil {
			out[j.Reconstructed[i]].reconstructed++
			if j.Reconstructed[i] == p {
				out[p].kept++
			}
		}
	}
	return out
}

// figures fills in the numbers of the report.
func (j *judge) figures() {
	r := j.r
	flagged, kept, right, corrected, most, reached := 0, 0, 0, 0, 0, 0
	var recalls, keeps []float64
	for c, t := range j.tallies() {
		cl := Class{Class: c, Name: j.name(c), N: t.n, Predicted: t.predicted, Reconstructed: t.reconstructed, Flagged: share(t.flagged, t.n)}
		if j.Reconstructed != nil {
			if cl.Kept = share(t.kept, t.predicted); t.predicted >= fewest {
				keeps = append(keeps, *cl.Kept)
			}
		}
		if j.Labels != nil {
			cl.Accuracy, cl.AccuracyCorrected = share(t.right, t.n), share(t.corrected, t.n)
			if t.n > 0 {
				recalls = append(recalls, *cl.Accuracy)
			}
		}
		r.Classes = append(r.Classes, cl)
		flagged, kept, right, corrected, most = flagged+t.flagged, kept+t.kept, right+t.right, corrected+t.corrected, max(most, t.n)
		if t.reconstructed > 0 {
			reached++
		}
	}
	n := r.Rows
	r.FalseAlarms = share(flagged, n)
	if j.Promised > 0 {
		r.Promised = &j.Promised
	}
	if j.Reconstructed != nil {
		r.Kept, r.KeptBalanced, r.Reached = share(kept, n), mean(keeps), &reached
	}
	if j.Labels != nil {
		r.Accuracy, r.AccuracyBalanced, r.AccuracyCorrected, r.Majority = share(right, n), mean(recalls), share(corrected, n), share(most, n)
	}
	if j.Labels != nil && j.Declared > 0 {
		r.AccuracyDeclared = &j.Declared
	}
	if u := j.Unprepared; j.Labels != nil && u != nil {
		r.AccuracyUnprepared = share(u.Right, u.N)
	}
	sorted := slices.Clone(j.Score)
	slices.Sort(sorted)
	r.Distinct = len(slices.Compact(sorted))
}

func share(k, n int) *float64 {
	if n == 0 {
		return nil
	}
	v := float64(k) / float64(n)
	return &v
}

func mean(v []float64) *float64 {
	if len(v) == 0 {
		return nil
	}
	sum := 0.0
	for _, f := range v {
		sum += f
	}
	sum /= float64(len(v))
	return &sum
}

// gain is how far a share is from that of chance to one: 0 at chance, 1 at one.
func gain(v, chance float64) float64 {
	if chance >= 1 {
		return 1
	}
	return (v - chance) / (1 - chance)
}

func percent(v float64) string { return fmt.Sprintf("%.1f %%", 100*v) }
