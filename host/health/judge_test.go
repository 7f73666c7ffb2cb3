package health

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// sound is a guard as it should be: n rows of k classes in the given shares,
// an accuracy of .96, reconstructions that keep .9 of the predictions, alpha false
// alarms that fall on any row.
func sound(seed uint64, n int, alpha float64, shares ...float64) Measured {
	r := rand.New(rand.NewPCG(seed, 3))
	k := len(shares)
	m := Measured{Source: "calibration", Classes: k, Promised: alpha, Coded: true, Labels: []int{}, Reconstructed: []int{}, Code: []float64{1, .5, .2}}
	other := func(c int, stays float64) int {
		if r.Float64() < stays {
			return c
		}
		return (c + 1 + r.IntN(k-1)) % k
	}
	for range n {
		c, u := 0, r.Float64()
		for u > shares[c] && c < k-1 {
			u -= shares[c]
			c++
		}
		p := other(c, .96)
		m.Labels, m.Predicted, m.Reconstructed = append(m.Labels, c), append(m.Predicted, p), append(m.Reconstructed, other(p, .9))
		s := r.Float64()
		m.Score, m.Flagged = append(m.Score, s), append(m.Flagged, s > 1-alpha)
	}
	m.Threshold = 1 - alpha
	return m
}

// Every name of a finding is warned of for a guard that is bad in that way, with
// the severity and the first cure; and not for sound ones, few rows included.
func TestFindings(t *testing.T) {
	rare := []float64{.92, .05, .03}
	for name, c := range map[string]struct {
		spoil    func(m *Measured)
		finding  string
		severity Severity
		message  string
		cure     string
	}{
		"the classifier says one class": {func(m *Measured) {
			for i := range m.Predicted {
				m.Predicted[i], m.Reconstructed[i] = 0, 0
			}
		}, Classifier, Severe, "nothing here to guard", "data.prepare"},
		"the classifier is hardly better": {func(m *Measured) {
			for i := range m.Predicted {
				if i%8 != 0 {
					m.Predicted[i] = 0
				} else {
					m.Predicted[i] = m.Labels[i]
				}
			}
		}, Classifier, Warning, "hardly better", "data.prepare"},
		"the classifier is not what was declared": {func(m *Measured) {
			m.Declared = .999
		}, Classifier, Warning, "its author declares 99.9 %, and chance does not explain", "data.prepare, classifier.preprocess"},
		"the classifier was trained on raw rows": {func(m *Measured) {
			m.Declared, m.Unprepared = .999, &Unprepared{Right: 999, N: 1000}
		}, Classifier, Warning, "without data.prepare and scale, it is right on 99.9 %", "data.prepare: leave out"},
		"the classifier was trained on raw rows and nothing is declared": {func(m *Measured) {
			m.Unprepared = &Unprepared{Right: 999, N: 1000}
		}, Classifier, Warning, "without data.prepare and scale, it is right on 99.9 %", "data.prepare: leave out"},
		"the labels are numbered otherwise": {func(m *Measured) {
			for i, y := range m.Labels {
				m.Labels[i] = (y + 1) % 3
			}
		}, Classifier, Severe, "(0 for what the labels call 1, 1 for what the labels call 2, 2 for what the labels call 0): then it would be right on", "data.classes"},
		"reconstructions say one class": {func(m *Measured) {
			for i := range m.Reconstructed {
				m.Reconstructed[i] = 0
			}
		}, Reached, Severe, "reach 1 of the 3", "vae.normalize"},
		"reconstructions are of chance": {func(m *Measured) {
			for i := range m.Reconstructed {
				m.Reconstructed[i] = i % 3
			}
		}, Kept, Severe, "little better than chance", "vae.normalize"},
		"reconstructions lose half": {func(m *Measured) {
			for i := range m.Reconstructed {
				m.Reconstructed[i] = m.Predicted[i]
				if i%2 == 0 {
					m.Reconstructed[i] = i / 2 % 3
				}
			}
			for i := range m.Reconstructed {
				if i%8 == 1 {
					m.Reconstructed[i] = (m.Predicted[i] + 1) % 3
				}
			}
		}, Kept, Warning, "reconstructions keep", "vae.normalize"},
		"reconstructions never reach a class": {func(m *Measured) {
			for i, c := range m.Reconstructed {
				m.Reconstructed[i] = min(c, 1)
			}
		}, Reached, Warning, "never 2", "vae.normalize"},
		"a rare class has the alarms": {func(m *Measured) {
			for i, y := range m.Labels {
				m.Flagged[i] = y == 2
			}
		}, FalseAlarms, Severe, "of class 2 100.0 %", "threshold.class_fpr: 0.15"},
		"a few rows of a rare class have the alarms": {func(m *Measured) {
			seen := 0
			for i, y := range m.Labels {
				m.Flagged[i] = y == 2 && seen < 12
				if y == 2 {
					if seen++; seen > 12 {
						m.Labels[i], m.Predicted[i] = 0, 0
					}
				}
			}
		}, FalseAlarms, Severe, "of class 2 100.0 % of 12 rows", "threshold.class_fpr"},
		"a class has four times the alarms": {func(m *Measured) {
			for i, y := range m.Labels {
				m.Flagged[i] = y == 1 && i%3 == 0
			}
		}, FalseAlarms, Warning, "of class 1", "threshold.class_fpr"},
		"more alarms than promised": {func(m *Measured) {
			for i := range m.Flagged {
				m.Flagged[i] = i%9 == 0
			}
		}, FalseAlarms, Warning, "significantly more", "data.calibration"},
		"correction ruins a class": {func(m *Measured) {
			for i, y := range m.Labels {
				if y == 2 && i%2 == 0 {
					m.Predicted[i], m.Reconstructed[i], m.Flagged[i] = 2, 0, true
				}
			}
		}, Correction, Severe, "of class 2 it loses", "detector.correct"},
		"correction ruins everything": {func(m *Measured) {
			for i, y := range m.Labels {
				if i%6 == 0 {
					m.Predicted[i], m.Reconstructed[i], m.Flagged[i] = y, (y+1)%3, true
				}
			}
		}, Correction, Severe, "it does harm", "detector.correct"},
		"correction costs": {func(m *Measured) {
			for i, y := range m.Labels {
				if i%14 == 0 {
					m.Predicted[i], m.Reconstructed[i], m.Flagged[i] = y, (y+1)%3, true
				}
			}
		}, Correction, Warning, "correction changes", "detector.correct"},
		"the score is constant": {func(m *Measured) {
			clear(m.Score)
			m.Threshold = 0
		}, Score, Severe, "nothing will ever be told apart", "detector.score"},
		"scores are tied at the threshold": {func(m *Measured) {
			for i := range m.Score {
				m.Score[i] = min(m.Score[i], .7)
			}
			m.Threshold = .7
		}, Score, Warning, "exactly the threshold", "detector.score"},
		"scores have few values": {func(m *Measured) {
			for i, s := range m.Score {
				m.Score[i] = math.Round(50 * s)
			}
		}, Score, Warning, "only 51 values", "detector.score"},
		"a row without votes passes": {func(m *Measured) {
			m.Votes, m.Quorum = 50, 0
			for i, s := range m.Score {
				m.Score[i] = math.Round(50 * s)
			}
		}, Score, Severe, "nothing is ever flagged", "detector.sigma"},
		"the code sleeps":         {func(m *Measured) { m.Code = []float64{0, 0, 0, 0} }, DeadUnits, Severe, "4 of 4", "detector.beta"},
		"most of the code sleeps": {func(m *Measured) { m.Code = []float64{0, 1e-6, 0, 0, 1} }, DeadUnits, Warning, "4 of 5", "detector.beta"},
		"a score of the fusion is dead": {func(m *Measured) {
			m.PartNames, m.Parts = []string{"kl", "recon"}, [][]float64{m.Score, make([]float64, len(m.Score))}
		}, DeadUnits, Warning, "[recon]", "detector.score"},
		"all scores of the fusion are dead": {func(m *Measured) {
			m.PartNames, m.Parts = []string{"kl", "recon"}, [][]float64{make([]float64, len(m.Score)), make([]float64, len(m.Score))}
		}, DeadUnits, Severe, "[kl recon]", "detector.score"},
		"hardened against its own attack alone": {func(m *Measured) {
			m.Hardened = &Hardened{Rows: 200, Steps: 10, Share: .6, Epoch: 4, Epochs: 10, Last: .2, Best: .62, BestEpoch: 3, Parted: true}
		}, Hardening, Warning, "weights of epoch 4 of 10", "train.harden.steps"},
		"hardened against its own attack alone, and kept so": {func(m *Measured) {
			m.Hardened = &Hardened{Rows: 200, Steps: 10, Share: .2, Epoch: 10, Epochs: 10, Last: .2, Best: .62, BestEpoch: 3, Parted: true}
		}, Hardening, Warning, "after epoch 3 it was 62.0 %", "train.harden.steps"},
		"the surrogate is a constant": {func(m *Measured) {
			m.Surrogate = &Agreement{Plain: .92, Balanced: 1. / 3, Majority: .92, N: 500}
		}, Surrogate, Severe, "nothing of the rarer classes", "classifier.surrogate.epochs"},
		"the surrogate is poor": {func(m *Measured) {
			m.Surrogate = &Agreement{Plain: .94, Balanced: .55, Majority: .92, N: 500}
		}, Surrogate, Warning, "agrees with the classifier", "classifier.surrogate.epochs"},
	} {
		t.Run(name, func(t *testing.T) {
			m := sound(1, 1200, .05, rare...)
			if before, ok := Judge(m).Finding(c.finding); ok && before.Severity != Note {
				t.Fatalf("before it is spoilt: %+v", before)
			}
			c.spoil(&m)
			r := Judge(m)
			f, _ := r.Finding(c.finding)
			if f.Severity != c.severity || !strings.Contains(f.Message, c.message) || len(f.Cures) == 0 || !strings.HasPrefix(f.Cures[0], c.cure) {
				t.Errorf("%+v, want %s, %q, cure %s", f, c.severity, c.message, c.cure)
			}
			if (r.Check() != nil) != (r.Worst() == Severe) || c.severity == Severe && r.Check() == nil {
				t.Errorf("worst %s, error %v", r.Worst(), r.Check())
			}
		})
	}
}

// Nothing is found of sound guards: 100 draws each of many rows and few, of many
// classes, two, and one rare.
func TestSoundGuards(t *testing.T) {
	for name, shares := range map[string][]float64{
		"ten classes": {.1, .1, .1, .1, .1, .1, .1, .1, .1, .1}, "two": {.63, .37}, "one rare": {.9, .08, .02},
	} {
		for _, n := range []int{19, 60, 250, 1500} {
			bad := 0
			for draw := range 100 {
				r := Judge(sound(uint64(draw), n, .05, shares...))
				if r.Worst() != Note {
					bad++
					t.Logf("%s, %d rows: %+v %+v", name, r.Rows, r.Of(Severe), r.Of(Warning))
				}
			}
			if bad > 0 {
				t.Errorf("%s, %d rows: %d of 100 sound guards are warned of", name, n, bad)
			}
		}
	}
}

// A classifier that is as its author declares, or better, and one that gains
// nothing from raw rows, are not warned of; nor is one of few rows that chance
// explains.
func TestDeclaredAccuracyHolds(t *testing.T) {
	for draw := range 200 {
		m := sound(uint64(draw), 400, .05, .9, .08, .02)
		m.Declared, m.Unprepared = .96, &Unprepared{Right: 380, N: 400}
		if draw%2 == 0 {
			m.Declared = .7
		}
		if f, _ := Judge(m).Finding(Classifier); f.Severity != Note {
			t.Fatalf("draw %d: %s", draw, f.Message)
		}
	}
	m := sound(1, 12, .05, .5, .5)
	m.Declared = .99
	if f, _ := Judge(m).Finding(Classifier); f.Severity != Note {
		t.Errorf("12 rows: %s", f.Message)
	}
	r := Judge(sound(1, 100, .05, .5, .5))
	if r.AccuracyDeclared != nil || r.AccuracyUnprepared != nil {
		t.Error("figures that nobody gave are not null")
	}
}

// A hardening that holds is a note with its figure.
func TestHardeningHolds(t *testing.T) {
	m := sound(1, 400, .05, .5, .5)
	m.Hardened = &Hardened{Rows: 200, Steps: 10, Share: .6, Epoch: 10, Epochs: 10, Last: .6, Best: .62, BestEpoch: 8}
	if f, ok := Judge(m).Finding(Hardening); !ok || f.Severity != Note || !strings.Contains(f.Message, "of 200 validation rows 60.0 % stand an attack of 10 steps") || strings.Contains(f.Message, "epoch") {
		t.Errorf("%+v", f)
	}
}

// What rows or method do not define is null, and is no finding.
func TestAbsent(t *testing.T) {
	m := sound(1, 100, .05, .5, .5)
	m.Labels, m.Reconstructed, m.Code, m.Promised = nil, nil, nil, 0
	r := Judge(m)
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"kept":null`, `"reached":null`, `"accuracy":null`, `"majority":null`, `"promised":null`, `"accuracy_declared":null`, `"accuracy_unprepared":null`} {
		if !strings.Contains(string(b), want) {
			t.Errorf("%s lacks %s", b, want)
		}
	}
	for _, f := range r.Findings {
		if f.Name != FalseAlarms && f.Name != Score {
			t.Errorf("found %+v", f)
		}
	}
	if r := Judge(Measured{Classes: 2}); r.Worst() != Note || r.Check() != nil {
		t.Errorf("no rows: %+v", r.Findings)
	}
	var none *Report
	if none.Worst() != Note || none.Check() != nil || none.Of(Severe) != nil {
		t.Error("a report that is not there finds something")
	}
}

// A method without auto-encoder is not told to change one.
func TestCuresFitTheMethod(t *testing.T) {
	m := sound(1, 400, .05, .5, .5)
	m.Coded = false
	for i := range m.Reconstructed {
		m.Reconstructed[i] = 0
	}
	for _, f := range Judge(m).Findings {
		for _, c := range f.Cures {
			if strings.HasPrefix(c, "vae.") {
				t.Errorf("%s: cure %s", f.Name, c)
			}
		}
	}
}

// Exact binomial tails, by summing terms.
func TestAtLeast(t *testing.T) {
	for _, n := range []int{1, 7, 40} {
		for _, p := range []float64{.05, .5, .9} {
			sum := 0.0
			for k := n; k >= 0; k-- {
				lg := func(v int) float64 { l, _ := math.Lgamma(float64(v + 1)); return l }
				sum += math.Exp(lg(n) - lg(k) - lg(n-k) + float64(k)*math.Log(p) + float64(n-k)*math.Log1p(-p))
				if got := AtLeast(k, n, p); math.Abs(got-sum) > 1e-10 {
					t.Errorf("AtLeast(%d, %d, %g) = %g, want %g", k, n, p, got, sum)
				}
			}
		}
	}
}

// A class with a bound of its own is held to that, and not to the promise of all rows.
func TestClassesAreHeldToTheirBound(t *testing.T) {
	m := sound(1, 1200, .05, []float64{.92, .05, .03}...)
	seen := 0
	for i, y := range m.Labels {
		if y == 1 {
			m.Flagged[i] = seen%6 == 0
			seen++
		}
	}
	for bound, want := range map[float64]Severity{0: Warning, 0.15: Note} {
		m.Bound = bound
		if f, _ := Judge(m).Finding(FalseAlarms); f.Severity != want {
			t.Errorf("bound %g: %+v, want %s", bound, f, want)
		}
	}
}

// TestReachedBeyond: classes that reconstructions reach and the classifier never
// predicts are counted by themselves, not in the place of those that it predicts.
func TestReachedBeyond(t *testing.T) {
	m := sound(1, 600, .05, .5, .3, .2)
	for i, p := range m.Predicted {
		m.Predicted[i] = min(p, 1)
		m.Reconstructed[i] = 2 * m.Predicted[i] // 0 stays, 1 becomes 2
	}
	if f, ok := Judge(m).Finding(Reached); !ok || f.Severity != Warning || !strings.Contains(f.Message, "reach 1 of the 2 classes that the classifier predicts, and 1 that it never predicts, never 1") {
		t.Errorf("%+v", f)
	}
}

// False alarms and correction are judged on held-out rows, where the threshold was
// learnt from those at hand: nothing is seen on these, and all on the others. Without
// others they say that they look better than they are.
func TestHeldOut(t *testing.T) {
	alarms := func(m *Measured) {
		for i := range m.Flagged {
			m.Flagged[i] = i%7 == 0
		}
	}
	harm := func(m *Measured) {
		for i, y := range m.Labels {
			if i%6 == 0 {
				m.Predicted[i], m.Reconstructed[i], m.Flagged[i] = y, (y+1)%3, true
			}
		}
	}
	for _, c := range []struct {
		finding string
		spoil   func(*Measured)
		want    Severity
	}{{FalseAlarms, alarms, Warning}, {Correction, harm, Severe}} {
		m, held := sound(1, 1200, .05, .5, .3, .2), sound(2, 900, .05, .5, .3, .2)
		held.Source, m.Learnt, m.Queries = "validation", true, 900
		learnt, _ := Judge(m).Finding(c.finding)
		if learnt.Severity != Note || learnt.Source != "calibration" || learnt.Rows != 1200 || !strings.Contains(learnt.Message, "learnt from these rows, others may ") {
			t.Errorf("%s without held-out rows: %+v", c.finding, learnt)
		}
		m.HeldOut = &held
		r := Judge(m)
		f, _ := r.Finding(c.finding)
		if f.Severity != Note || f.Source != "validation" || f.Rows != 900 || !strings.Contains(f.Message, "900 rows of data.validation") || strings.Contains(f.Message, "learnt") {
			t.Errorf("%s on sound held-out rows: %+v", c.finding, f)
		}
		if h := r.HeldOut; h == nil || h.Rows != 900 || !h.Labelled || h.Source != "validation" || *h.FalseAlarms > .08 || *h.Accuracy < .9 || len(h.Classes) != 3 || r.Rows != 1200 || !r.Learnt || r.Queries != 900 {
			t.Errorf("%s: %+v of %+v", c.finding, r.HeldOut, r)
		}
		for _, other := range []string{Classifier, Kept, Reached, Score, DeadUnits} {
			if f, _ := r.Finding(other); f.Source != "calibration" || f.Rows != 1200 {
				t.Errorf("%s: %s is of %s", c.finding, other, f.Source)
			}
		}
		c.spoil(&held)
		if f, _ := Judge(m).Finding(c.finding); f.Severity != c.want || f.Source != "validation" || len(f.Cures) == 0 {
			t.Errorf("%s on spoilt held-out rows: %+v", c.finding, f)
		}
		// What the rows at hand show, held-out ones do not hide: there may be few of them.
		few := sound(3, 12, .05, .5, .3, .2)
		few.Source = "validation"
		m.HeldOut = &few
		c.spoil(&m)
		if f, _ := Judge(m).Finding(c.finding); f.Severity != c.want || f.Source != "calibration" {
			t.Errorf("%s on few held-out rows: %+v", c.finding, f)
		}
	}
	m := sound(1, 100, .05, .5, .5)
	m.HeldOut = &Measured{Source: "validation"} // no rows
	b, err := json.Marshal(Judge(m))
	if err != nil || !strings.Contains(string(b), `"held_out":null`) || !strings.Contains(string(b), `"source":"calibration"`) || !strings.Contains(string(b), `"learnt":false`) {
		t.Errorf("%s (%v)", b, err)
	}
	// Held-out rows without labels say nothing of correction: those at hand do.
	held := sound(2, 400, .05, .5, .5)
	held.Source, held.Labels = "validation", nil
	m.HeldOut = &held
	if f, _ := Judge(m).Finding(Correction); f.Source != "calibration" {
		t.Errorf("%+v", f)
	}
	if f, _ := Judge(m).Finding(FalseAlarms); f.Source != "validation" {
		t.Errorf("%+v", f)
	}
}
