package health

import (
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/mathext"
)

// rebuild are the cures of an auto-encoder whose reconstructions lose the class.
func (j *judge) rebuild() []string {
	if !j.Coded {
		return []string{"detector.method: one whose reconstructions suit these rows, or other options of this one"}
	}
	return []string{
		"vae.normalize: standard brings features of different size into one range",
		"train.class_weight: balanced makes rare classes count as much as frequent ones",
		"train.loss.adversarial.w_recon: 0.1 or more lets reconstructions resemble their rows, where predictions alone say too little",
		"vae.latent_dim: a wider code keeps more",
		"train.epochs: more passes",
	}
}

// kept finds reconstructions that lose the class, and classes that none of them
// reaches.
func (j *judge) kept() {
	r := j.r
	if r.Kept == nil {
		return
	}
	predicted, reached, several, covered, lost := 0, 0, 0, 0, []int(nil)
	for _, c := range r.Classes {
		if c.Predicted > 0 {
			predicted++
			if c.Reconstructed > 0 {
				reached++
			}
		}
		if c.Predicted >= fewest {
			several++
			covered += c.Predicted
		}
		if c.Predicted >= fewest && c.Reconstructed == 0 {
			lost = append(lost, c.Class)
		}
	}
	text := fmt.Sprintf("reconstructions keep the class of %s of %d rows", percent(*r.Kept), r.Rows)
	g := 1.0
	if several > 1 && 2*covered > r.Rows {
		text += fmt.Sprintf(" (mean over classes %s)", percent(*r.KeptBalanced))
		g = gain(*r.KeptBalanced, 1/float64(several))
	}
	switch {
	case r.Rows < enough:
		j.add(Kept, Note, nil, "%s", text)
	case g < 0.25:
		j.add(Kept, Severe, j.rebuild(), "%s, little better than chance: what the guard compares with says next to nothing of the row", text)
	case g < 0.5:
		j.add(Kept, Warning, j.rebuild(), "%s", text)
	default:
		j.add(Kept, Note, nil, "%s", text)
	}
	text = fmt.Sprintf("reconstructions reach %d of the %d classes that the classifier predicts", reached, predicted)
	if beyond := *r.Reached - reached; beyond > 0 {
		text += fmt.Sprintf(", and %d that it never predicts", beyond)
	}
	switch {
	case *r.Reached == 1 && len(lost) > 0:
		j.add(Reached, Severe, j.rebuild(), "%s: whatever the row, the guard's second opinion is the same", text)
	case len(lost) > 0:
		j.add(Reached, Warning, j.rebuild(), "%s, never %s", text, j.names(lost))
	default:
		j.add(Reached, Note, nil, "%s", text)
	}
}

// falseAlarms holds the share of flagged rows against the promise, by exact
// binomial tests, over all and by class. The promise itself counts: few calibration
// rows that set an unlucky threshold are a finding on others. Of the rows that the
// threshold was learnt from only what classes share of the alarms can tell.
func (j *judge) falseAlarms() {
	r := j.r
	if r.FalseAlarms == nil {
		return
	}
	text := fmt.Sprintf("%s of %d rows of data.%s are flagged", percent(*r.FalseAlarms), r.Rows, r.Source)
	if r.Promised == nil {
		j.add(FalseAlarms, Note, nil, "%s; no rate was promised", text)
		return
	}
	alpha := *r.Promised
	text += fmt.Sprintf(", promised %s", percent(alpha)) + j.learnt("the threshold was", "be flagged more often")
	over, total := 0, 0
	var worst *Class
	severity := Note
	for i, c := range r.Classes {
		if c.N == 0 {
			continue
		}
		k := int(math.Round(*c.Flagged * float64(c.N)))
		total += k
		most := c.N >= fewest && AtLeast(k, c.N, 0.5) < 0.05 // of its rows, beyond chance
		if c.N < enough && !most || *c.Flagged <= 3*alpha || AtLeast(k, c.N, max(alpha, j.Bound)) > 0.001 {
			continue
		}
		over++
		switch {
		case most:
			severity = Severe
		case severity == Note:
			severity = Warning
		}
		if worst == nil || *c.Flagged > *worst.Flagged {
			worst = &r.Classes[i]
		}
	}
	var cures []string
	if !j.ByClass && j.Bound == 0 {
		cures = append(cures, fmt.Sprintf("threshold.class_fpr: %.2g gives a class of which more is flagged a higher threshold of its own", 3*alpha))
	}
	if !j.ByClass {
		cures = append(cures, "threshold.by: predicted_class gives each class its own threshold, and the promise")
	}
	cures = append(cures, "data.calibration: more rows of the rare classes")
	cures = append(cures, j.rebuild()...)
	switch {
	case worst != nil:
		j.add(FalseAlarms, severity, cures, "%s; but of class %s %s of %d rows, more than three times the promise (classes like that: %d)", text, worst.Name, percent(*worst.Flagged), worst.N, over)
	case r.Rows >= enough && *r.FalseAlarms > 2*alpha && AtLeast(total, r.Rows, alpha) < 0.001:
		j.add(FalseAlarms, Warning, []string{"data.calibration: rows drawn like those to come, held out of training"}, "%s: significantly more", text)
	default:
		j.add(FalseAlarms, Note, nil, "%s", text)
	}
}

// correction looks at what the guard's answers cost on clean rows, over all and
// by class: pairs of rows put right and put wrong, by an exact sign test.
func (j *judge) correction() {
	r := j.r
	if r.AccuracyCorrected == nil || j.Reconstructed == nil {
		return
	}
	won, lost, worst, fell := 0, 0, -1, 0.0
	for c, t := range j.tallies() {
		won, lost = won+t.won, lost+t.lost
		if t.n < fewest {
			continue
		}
		if f := float64(t.lost-t.won) / float64(t.n); f >= 0.25 && f > fell && AtLeast(t.lost, t.lost+t.won, 0.5) < 0.01 {
			worst, fell = c, f
		}
	}
	text := fmt.Sprintf("correction changes the accuracy on %d rows of data.%s from %.3f to %.3f (%d answers put right, %d put wrong)", r.Rows, r.Source, *r.Accuracy, *r.AccuracyCorrected, won, lost) + j.learnt("threshold and correction were", "lose more")
	cures := j.rebuild()
	if !j.ByClass {
		cures = slices.Insert(cures, 0, "threshold.by: predicted_class flags fewer rows of hard classes")
	}
	if !j.Abstains {
		cures = slices.Insert(cures, 0, "detector.correct: {loss: 0.0025} leaves the classifier's answer where correction did harm on calibration rows")
	}
	cures = append(cures, "threshold.fpr: a lower rate corrects fewer clean rows")
	significant := AtLeast(lost, lost+won, 0.5) < 0.001
	switch loss := *r.Accuracy - *r.AccuracyCorrected; {
	case worst >= 0:
		j.add(Correction, Severe, cures, "%s; of class %s it loses %s of the rows: it does harm", text, j.name(worst), percent(fell))
	case loss > 0.1 && significant:
		j.add(Correction, Severe, cures, "%s: it does harm", text)
	case loss > 0.04 && significant:
		j.add(Correction, Warning, cures, "%s", text)
	default:
		j.add(Correction, Note, nil, "%s", text)
	}
}

// score finds one that does not tell rows apart, or has ties where the threshold
// stands.
func (j *judge) score() {
	n := len(j.Score)
	if n == 0 {
		return
	}
	ties := 0
	for _, s := range j.Score {
		if s == j.Threshold {
			ties++
		}
	}
	cures := []string{
		"detector.score: another score",
		"classifier: does it give a probability for each of at least two classes? A single output always says 1",
		"detector.temperature: less than 1 sharpens predictions, more softens them",
	}
	switch distinct := j.r.Distinct; {
	case j.Votes > 0 && j.Quorum == 0:
		j.add(Score, Severe, []string{"detector.sigma: less noise", "train: more epochs, more rows", "threshold.fpr: more false alarms"},
			"a row passes without a single vote, so that nothing is ever flagged: more than the promised false alarms have none")
	case distinct == 1 && n > 1:
		j.add(Score, Severe, cures, "the score of all %d rows is %.4g: nothing will ever be told apart", n, j.Score[0])
	case n >= enough && float64(ties) > max(0.1, 2*j.Promised)*float64(n):
		j.add(Score, Warning, cures, "%s of %d rows have exactly the threshold as their score: the false-alarm rate cannot be set", percent(float64(ties)/float64(n)), n)
	case n >= enough && distinct < n/4 && j.Votes == 0:
		j.add(Score, Warning, cures, "the scores of %d rows have only %d values", n, distinct)
	default:
		j.add(Score, Note, nil, "the scores of %d rows have %d values", n, distinct)
	}
}

// units finds scores of a fusion and dimensions of the code that are the same
// for every row.
func (j *judge) units() {
	if len(j.Predicted) < 2 || j.Parts == nil && j.Code == nil {
		return
	}
	var dead []string
	for i, p := range j.Parts {
		if len(p) > 0 && slices.Max(p) == slices.Min(p) {
			dead = append(dead, j.PartNames[i])
		}
	}
	asleep, most := 0, 0.0
	for _, s := range j.Code {
		most = max(most, s)
	}
	for _, s := range j.Code {
		if s <= 1e-4*most || most == 0 {
			asleep++
		}
	}
	text := fmt.Sprintf("%d of %d dimensions of the code are the same for every row", asleep, len(j.Code))
	cures := []string{"detector.beta: less; a heavy penalty puts the code to sleep", "train.optimizer.adam.learning_rate: less", "vae.normalize: standard"}
	switch {
	case len(j.Parts) > 0 && len(dead) == len(j.Parts):
		j.add(DeadUnits, Severe, []string{"detector.score: others"}, "every score of the fusion is constant: %v", dead)
	case len(j.Code) > 0 && asleep == len(j.Code):
		j.add(DeadUnits, Severe, cures, "%s: every reconstruction is the same", text)
	case len(dead) > 0:
		j.add(DeadUnits, Warning, []string{"detector.score: leave it out"}, "scores of the fusion that are constant: %v", dead)
	case len(j.Code) > 0 && 4*asleep > 3*len(j.Code):
		j.add(DeadUnits, Warning, cures, "%s", text)
	case len(j.Code) > 0:
		j.add(DeadUnits, Note, nil, "%s", text)
	default:
		j.add(DeadUnits, Note, nil, "all %d scores of the fusion move", len(j.Parts))
	}
}

// surrogate holds its agreement against that of a constant.
func (j *judge) surrogate() {
	s := j.Surrogate
	if s == nil || s.Balanced == 0 {
		return
	}
	const held = "held-out"
	text := fmt.Sprintf("the surrogate agrees with the classifier on %s of %d held-out rows (mean over classes %s); a constant would on %s",
		percent(s.Plain), s.N, percent(s.Balanced), percent(s.Majority))
	cures := []string{"classifier.surrogate.epochs: more", "classifier.surrogate.layers: a larger network", "classifier.surrogate.noise: queries nearer to the rows", "data.train: more rows of the rare classes"}
	switch byMajority := gain(s.Plain, s.Majority); {
	case s.N >= enough && s.Majority < 1 && byMajority <= 0.1 && s.Balanced < 0.6:
		j.addOf(held, s.N, Surrogate, Severe, cures, "%s: its gradients say nothing of the rarer classes", text)
	case s.N >= enough && s.Majority < 1 && (byMajority < 0.4 || s.Balanced < 0.6):
		j.addOf(held, s.N, Surrogate, Warning, cures, "%s", text)
	default:
		j.addOf(held, s.N, Surrogate, Note, nil, "%s", text)
	}
}

// AtLeast is the exact probability of at least k of n trials, each with
// probability p: 1 for k ≤ 0.
func AtLeast(k, n int, p float64) float64 {
	if k <= 0 {
		return 1
	}
	if k > n {
		return 0
	}
	return mathext.RegIncBeta(float64(k), float64(n-k+1), p)
}
