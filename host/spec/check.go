package spec

import (
	"fmt"
	"strings"
	"unicode"
)

// maxName bounds a name in bytes: with a number behind it, it names a folder.
const maxName = 200

// CheckName is an error if a name cannot be that of a folder.
func CheckName(name string) error {
	switch {
	case name == "", name == ".", name == "..", strings.ContainsAny(name, `/\:`):
		return fmt.Errorf("%q cannot name a folder", name)
	case len(name) > maxName:
		return fmt.Errorf("%d bytes; a name has at most %d", len(name), maxName)
	}
	for _, r := range name {
		if !unicode.IsPrint(r) {
			return fmt.Errorf("%q has characters that are not printed", name)
		}
	}
	return nil
}

// check finds what is wrong between keys. found are the faults so far.
func (s *Spec) check(found Errors) Errors {
	var errs Errors
	if err := CheckName(s.Name); err != nil && s.Name != "" {
		errs = append(errs, s.Errorf("name", "%v", err))
	}
	errs = append(errs, s.checkSources(found)...)
	errs = append(errs, s.checkOverlap(found)...)
	errs = append(errs, s.checkClassifier()...)
	errs = append(errs, s.checkVAE()...)
	errs = append(errs, s.checkDetector()...)
	errs = append(errs, s.checkTrain()...)
	return append(errs, s.checkThreshold()...)
}

// exclusive demands exactly one of several keys. The second one given, in
// that order, is where the fault is reported.
func (s *Spec) exclusive(path string, names ...string) Errors {
	var have []string
	for _, n := range names {
		if s.Given(path + "." + n) {
			have = append(have, n)
		}
	}
	switch len(have) {
	case 1:
		return nil
	case 0:
		return Errors{s.Errorf(path, "want one of %s", strings.Join(names, ", "))}
	}
	e := s.Errorf(path, "%s exclude each other; want one of them", strings.Join(have, ", "))
	e.Pos = s.Errorf(path+"."+have[1], "").Pos
	return Errors{e}
}

func (s *Spec) checkClassifier() Errors {
	if !s.Given("classifier") {
		return nil
	}
	c := &s.Classifier
	errs := s.exclusive("classifier", "plugin", "path", "command")
	if s.Given("classifier.command") && len(c.Command) == 0 {
		errs = append(errs, s.Errorf("classifier.command", "names no program"))
	}
	if c.SHA256 != "" && (len(c.SHA256) != 64 || strings.Trim(c.SHA256, "0123456789abcdefABCDEF") != "") {
		errs = append(errs, s.Errorf("classifier.sha256", "want 64 hexadecimal digits, got %d characters", len(c.SHA256)))
	}
	return errs
}

func (s *Spec) checkVAE() Errors {
	v := s.VAE
	if v == nil {
		if s.Train != nil && (s.Detector.Method == "vae" || s.Detector.Method == "ae") {
			return Errors{s.Errorf("train", "there is no vae to train; add the section vae")}
		}
		return nil
	}
	var errs Errors
	if v.From != "" {
		for _, k := range []string{"latent_dim", "encoder", "decoder", "weights"} {
			if s.Given("vae." + k) {
				errs = append(errs, s.Errorf("vae."+k, "comes with vae.from; drop one of them"))
			}
		}
		return errs
	}
	if !s.Given("vae.latent_dim") && s.Detector.Method != "ae" {
		errs = append(errs, s.Errorf("vae", `missing key "latent_dim"`))
	}
	if !s.Given("vae.decoder") {
		errs = append(errs, s.Errorf("vae", `missing key "decoder": layers from the code to the input's shape`))
	}
	if !s.Given("vae.encoder") && s.Detector.Method == "ae" {
		errs = append(errs, s.Errorf("vae", `missing key "encoder": method ae codes by its last layer`))
	}
	return errs
}

func (s *Spec) checkDetector() Errors {
	var errs Errors
	d := &s.Detector
	switch {
	case d.Method == "distillation" && !s.Given("detector.student"):
		errs = append(errs, s.Errorf("detector", `missing key "student", which method distillation needs`))
	case d.Method != "distillation" && d.Student != nil:
		errs = append(errs, s.Errorf("detector.student", "only method distillation has a student; the method is %s", d.Method))
	}
	if len(d.Score) > 1 && d.Fusion == "" {
		errs = append(errs, s.Errorf("detector.score", `several scores need "fusion": fisher or cauchy`))
	}
	if len(d.Score) == 0 && s.source.root.at("detector.score") != nil {
		errs = append(errs, s.Errorf("detector.score", "want at least one score"))
	}
	seen := map[string]bool{}
	for i, h := range d.HiddenLayers {
		if seen[h.Name] {
			errs = append(errs, s.Errorf(dotted.index("detector.hidden_layers", i), "layer %q appears twice", h.Name))
		}
		seen[h.Name] = true
	}
	return errs
}

func (s *Spec) checkTrain() Errors {
	t := s.Train
	if t == nil {
		return nil
	}
	var errs Errors
	if e := t.EarlyStopping; e != nil && strings.HasPrefix(e.Monitor, "val_") && !s.Given("data.validation") {
		errs = append(errs, s.Errorf("train.early_stopping", "%s needs data.validation", e.Monitor))
	}
	if t.Harden != nil && s.Detector.Method != "vae" && s.Detector.Method != "ae" {
		errs = append(errs, s.Errorf("train.harden", "method %s rebuilds nothing that could be hardened", s.Detector.Method))
	}
	return errs
}

func (s *Spec) checkThreshold() Errors {
	t := s.Threshold
	if t == nil {
		return nil
	}
	errs := s.exclusive("threshold", "fpr", "percentile", "value")
	if t.Confidence != nil && t.FPR == nil {
		errs = append(errs, s.Errorf("threshold.confidence", "goes with fpr only"))
	}
	if !s.Given("data.calibration") {
		for _, k := range []struct {
			name string
			set  bool
		}{{"fpr", t.FPR != nil}, {"percentile", t.Percentile != nil}} {
			if k.set {
				errs = append(errs, s.Errorf("threshold."+k.name, "needs data.calibration: clean rows, held out"))
			}
		}
	}
	return errs
}
