package health

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// classifier holds the accuracy against that of always saying the most frequent
// class, and against what the classifier's author declares. Rare classes make a
// good accuracy cheap, so the mean recall counts too: a model that finds the rare
// ones may be right less often than a constant.
//
// Rows in other units and classes in another order look like a poor model. Both
// show in the rows themselves, and then they are the first cure.
func (j *judge) classifier() {
	r := j.r
	if r.Accuracy == nil {
		return
	}
	acc, bal, major := *r.Accuracy, *r.AccuracyBalanced, *r.Majority
	present := 0
	for _, c := range r.Classes {
		if c.N > 0 {
			present++
		}
	}
	text := fmt.Sprintf("the classifier is right on %s of %d rows (mean over classes %s); always saying the most frequent class: %s", percent(acc), r.Rows, percent(bal), percent(major))
	cures := []string{
		"data.prepare, classifier.preprocess: does the classifier get rows in the units that it was trained on (scaled, raw, order of columns)?",
		"data.classes: are classes numbered as the classifier numbers them?",
		"classifier.train: does a classifier that is trained here need more epochs?",
	}
	severity := Note
	if present >= 2 && r.Rows >= enough {
		byMajority, byClass := gain(acc, major), gain(bal, 1/float64(present))
		switch {
		case byMajority <= 0 && byClass <= 0.1:
			severity, text = Severe, text+": there is nothing here to guard"
		case byMajority < 0.25 && byClass < 0.4:
			severity, text = Warning, text+": it is hardly better"
		}
	}
	warn := func(why string, cure []string) {
		if why == "" {
			return
		}
		if text, cures = text+"; "+why, slices.Insert(cures, 0, cure...); severity == Note {
			severity = Warning
		}
	}
	warn(j.declared(), nil)
	warn(j.renumbered())
	warn(j.unprepared())
	j.add(Classifier, severity, cures, "%s", text)
}

// unlikely is the probability below which a difference is not put down to chance.
const unlikely = 0.001

// declared says that the accuracy is short of what was declared: by two points or
// more, and by more than chance.
func (j *judge) declared() string {
	acc, n := *j.r.Accuracy, j.r.Rows
	wrong := n - int(math.Round(acc*float64(n)))
	if j.Declared == 0 || j.Declared-acc < 0.02 || AtLeast(wrong, n, 1-j.Declared) > unlikely {
		return ""
	}
	return fmt.Sprintf("its author declares %s, and chance does not explain the difference", percent(j.Declared))
}

// unprepared finds a classifier that is better on the rows as the files have them
// than on the prepared ones that it gets.
func (j *judge) unprepared() (why string, cure []string) {
	u := j.Unprepared
	if u == nil || u.N == 0 {
		return "", nil
	}
	n := min(u.N, len(j.Predicted))
	right := 0
	for i := range n {
		if j.Predicted[i] == j.Labels[i] {
			right++
		}
	}
	was, would := float64(right)/float64(n), float64(u.Right)/float64(u.N)
	if would-was < 0.02 || AtLeast(u.Right, u.N, was) > unlikely {
		return "", nil
	}
	return fmt.Sprintf("on the rows as the files have them, without data.prepare and scale, it is right on %s: it was trained on such rows", percent(would)),
		[]string{"data.prepare: leave out what the classifier was not trained on, and the scale of the sources; vae.normalize: standard brings features into one range for the auto-encoder alone"}
}

// renumbered finds classes that the labels number in another order than the
// classifier: each class that it predicts is mostly another label.
func (j *judge) renumbered() (why string, cure []string) {
	seen := map[[2]int]int{}
	for i, p := range j.Predicted {
		if y := j.Labels[i]; y >= 0 && y < j.Classes {
			seen[[2]int{p, y}]++
		}
	}
	is, most := make([]int, j.Classes), make([]int, j.Classes)
	for i := range is {
		is[i] = -1
	}
	for c, n := range seen {
		if p, y := c[0], c[1]; n > most[p] || n == most[p] && y < is[p] {
			is[p], most[p] = y, n
		}
	}
	right, taken := 0, make([]bool, j.Classes)
	var moved []string
	for p, y := range is {
		if y < 0 {
			continue
		}
		if taken[y] { // two classes are mostly one: no other order
			return "", nil
		}
		taken[y] = true
		right += most[p]
		if p != y && len(moved) < 5 {
			moved = append(moved, fmt.Sprintf("%s for what the labels call %s", j.name(p), j.name(y)))
		}
	}
	would := float64(right) / float64(j.r.Rows)
	if len(moved) == 0 || would-*j.r.Accuracy < 0.1 || would < 0.5 || AtLeast(right, j.r.Rows, *j.r.Accuracy) > unlikely {
		return "", nil
	}
	return fmt.Sprintf("it seems to number the classes otherwise (%s): then it would be right on %s", strings.Join(moved, ", "), percent(would)),
		[]string{"data.classes: the names of the labels in the order in which the classifier has its classes"}
}
