package detect

import (
	"fmt"

	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/registry"
)

// Section is the spec's section detector: how an input is scored. Its method
// lends it the keys of the method's own options.
type Section struct {
	Method          registry.Component   `yaml:"method,inline" kind:"method" default:"vae" doc:"where the second opinion on an input comes from; each has options of its own"`
	Score           []registry.Component `yaml:"score" kind:"score" doc:"one score, or a list with fusion; absent: those of the method"`
	Fusion          FusionRule           `yaml:"fusion" enum:"|fisher|cauchy|tippett" doc:"how several scores become one"`
	Temperature     float64              `yaml:"temperature" default:"1" check:"> 0" doc:"sharpens the classifier's prediction on the input: P^(1/T)"`
	Precision       kernel.Precision     `yaml:"precision" default:"float32" enum:"float32|bf16" doc:"operands of the network's products in scoring, also in calibration and in attacks on the guard, whatever train.precision was: float32, or bf16, which is faster with AVX512_BF16 and has other bits, the same on every machine with AVX2"`
	DataType        string               `yaml:"data_type" doc:"written to the results' meta: image, tabular"`
	ProbabilityClip float64              `yaml:"probability_clip" check:">= 0, < 1" doc:"floor of probabilities in scores and losses; 0: exact; the references use 1e-7"`
	Correct         *Correct             `yaml:"correct" doc:"leaves flagged rows the classifier's answer where correction did harm on calibration rows; absent: each has the second opinion's"`
	HiddenLayers    []Hidden             `yaml:"hidden_layers" doc:"layers of the classifier that enter loss and score"`
}

// Chosen is the method; nil if the section names none, as one that was made in
// a program.
func (s *Section) Chosen() Method {
	if s.Method.Value == nil {
		return nil
	}
	return registry.As[Method](s.Method)
}

// Title is the name of the method in results: its own, or that of the spec.
func (s *Section) Title() string {
	if t, ok := s.Chosen().(Titled); ok {
		return t.Title()
	}
	return s.Method.Name
}

// NamedScores are the section's scores.
func (s *Section) NamedScores() []NamedScore {
	var out []NamedScore
	for _, c := range s.Score {
		out = append(out, NamedScore{Name: c.Name, Score: registry.As[Score](c)})
	}
	return out
}

// CalibrationScores is how many of n calibration rows a threshold comes from:
// a fusion of several scores keeps the first half of them for itself.
func (s *Section) CalibrationScores(n int) int {
	if len(s.Score) > 1 && s.Fusion != NoFusion {
		return n - n/2
	}
	return n
}

// Options are what the section says of a detector: its method's name, scores,
// fusion, temperature, clip and precision. The rest is for the caller to fill in.
func (s *Section) Options() Options {
	return Options{Method: s.Method.Name, Scores: s.NamedScores(), Fusion: s.Fusion, Temperature: s.Temperature, Clip: s.ProbabilityClip, Precision: s.Precision, Correct: s.Correct}
}

// Hidden is one hidden layer of the classifier that the loss compares.
type Hidden struct {
	Name   string  `yaml:"name" required:"true" doc:"name of the layer, as the plugin's Describe gives it"`
	Weight float64 `yaml:"weight" default:"1" check:">= 0" doc:"factor of its KL term"`
	Units  int     `yaml:"units" default:"20" check:">= 2" doc:"outputs of the softmax head"`
	Head   string  `yaml:"head" default:"random" enum:"random|trained" doc:"a fixed random projection, or one trained to predict the class"`
}

// Trained reports whether the head learns to predict the class.
func (h Hidden) Trained() bool { return h.Head == "trained" }

// Validate implements registry.Validator.
func (s *Section) Validate() error {
	var faults registry.FieldErrors
	if len(s.Score) > 1 && s.Fusion == NoFusion {
		faults.Add("score", `several scores need "fusion": fisher, cauchy or tippett`)
	}
	if s.Score != nil && len(s.Score) == 0 {
		faults.Add("score", "want at least one score")
	}
	seen := map[string]bool{}
	for i, h := range s.HiddenLayers {
		if seen[h.Name] {
			faults.Add(fmt.Sprintf("hidden_layers[%d]", i), "layer %q appears twice", h.Name)
		}
		seen[h.Name] = true
	}
	return faults.Err()
}

// Rule is the spec's section threshold: when an input is flagged. Exactly one
// of FPR, Percentile and Value is set.
type Rule struct {
	FPR        *float64 `yaml:"fpr" check:"> 0, < 1" doc:"expected false-alarm rate (split conformal)"`
	Confidence *float64 `yaml:"confidence" check:"> 0, < 1" doc:"with fpr: the rate holds with this probability over calibration sets"`
	Percentile *float64 `yaml:"percentile" check:">= 0, <= 100" doc:"percentile of the calibration scores, numpy's linear interpolation"`
	Value      *float64 `yaml:"value" doc:"the threshold itself"`
	By         string   `yaml:"by" enum:"|predicted_class" doc:"with fpr: a threshold of its own, and the promise, for each class that the classifier predicts (Mondrian); scores are then told less the class's threshold, plus the pooled one"`
	ClassFPR   *float64 `yaml:"class_fpr" check:"> 0, < 1" doc:"with fpr: of no class that the classifier predicts more than this share is flagged in expectation; a class of which the threshold of all would flag more has a higher one of its own"`
	MinRows    int      `yaml:"min_rows" check:">= 0" doc:"with by or class_fpr: calibration rows below which a class shares a threshold with all such classes, as one does with fewer than the rate needs; 0: 30"`
}

// Validate implements registry.Validator.
func (r *Rule) Validate() error {
	var faults registry.FieldErrors
	faults.OneOf([]string{"fpr", "percentile", "value"}, r.FPR != nil, r.Percentile != nil, r.Value != nil)
	if r.Confidence != nil && r.FPR == nil {
		faults.Add("confidence", "goes with fpr only")
	}
	if r.By != "" && r.FPR == nil {
		faults.Add("by", "goes with fpr only")
	}
	switch {
	case r.ClassFPR == nil:
	case r.FPR == nil:
		faults.Add("class_fpr", "goes with fpr only")
	case r.By != "":
		faults.Add("class_fpr", "does not go with by, which promises fpr of each class")
	case *r.ClassFPR < *r.FPR:
		faults.Add("class_fpr", "%g is less than fpr, %g: by: %s promises fpr of each class", *r.ClassFPR, *r.FPR, ByPredictedClass)
	}
	if r.MinRows != 0 && !r.Splits() {
		faults.Add("min_rows", "goes with by or class_fpr only")
	}
	return faults.Err()
}

// Splits reports whether classes may have thresholds of their own.
func (r *Rule) Splits() bool { return r.By != "" || r.ClassFPR != nil }

// OfClasses is the share of each predicted class that is promised to be flagged at most;
// 0: nothing is promised of classes.
func (r *Rule) OfClasses() float64 {
	switch {
	case r.ClassFPR != nil:
		return *r.ClassFPR
	case r.By != "" && r.FPR != nil:
		return *r.FPR
	}
	return 0
}

// Check finds out whether n calibration scores are enough for the rule.
func (r *Rule) Check(n int) error {
	if r.FPR == nil {
		return nil
	}
	var err error
	if r.Confidence != nil {
		_, err = PACRank(n, *r.FPR, 1-*r.Confidence)
	} else {
		_, err = ConformalRank(n, *r.FPR)
	}
	return err
}
