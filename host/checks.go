package host

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/vaeguard/vaeguard/host/artifact"
	"github.com/vaeguard/vaeguard/host/artifact/pack"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/host/spec"
	"github.com/vaeguard/vaeguard/host/vae"
)

// ownChecks are the checks between the sections of a spec that need nothing
// but the spec.
func ownChecks(s *Spec, c Components) []spec.Check { return specChecks(s, c, false) }

// specChecks are ownChecks; look permits a look at files of rows whose format
// their names do not tell.
func specChecks(s *Spec, c Components, look bool) []spec.Check {
	return []spec.Check{
		{Find: s.applyCompat},
		{Find: func(d *spec.Document, _ spec.Errors) spec.Errors { return s.applyScores(d, c) }},
		{Find: s.checkName},
		{Find: func(d *spec.Document, _ spec.Errors) spec.Errors { return s.checkSources(d, c, look) }},
		{Find: s.checkOverlap},
		{Find: s.checkMethod},
		{Find: s.checkRows},
	}
}

// applyCompat fills in what compat is short for, where the file does not say
// otherwise itself. It finds no fault.
func (s *Spec) applyCompat(d *spec.Document, _ spec.Errors) spec.Errors {
	if s.Compat != "alibi_detect_0_2_0" {
		return nil
	}
	if s.VAE != nil && !d.Given("vae.log_var") {
		s.VAE.LogVar = vae.Softplus
	}
	if s.Train != nil && !d.Given("train.elbo_reduction") {
		s.Train.ELBOReduction = "sum"
	}
	if !d.Given("detector.probability_clip") {
		s.Detector.ProbabilityClip = 1e-7
	}
	return nil
}

// applyScores names the method's own scores where the file names none.
func (s *Spec) applyScores(d *spec.Document, c Components) spec.Errors {
	if s.Detector.Score != nil || s.Detector.Chosen() == nil {
		return nil
	}
	named, fusion, err := s.ownScores(d, c)
	if err != nil {
		return spec.Errors{d.Errorf("detector.method", "%v", err)}
	}
	if len(named) == 0 {
		return spec.Errors{d.Errorf("detector", "missing key \"score\": method %s has none of its own", s.Detector.Method.Name)}
	}
	s.Detector.Score = named
	if s.Detector.Fusion == detect.NoFusion {
		s.Detector.Fusion = fusion
	}
	return nil
}

// ownScores are the scores of the spec's method.
func (s *Spec) ownScores(d *spec.Document, c Components) ([]registry.Component, detect.FusionRule, error) {
	names, fusion := s.Detector.Chosen().Scores()
	var out []registry.Component
	for i, n := range names {
		one, err := spec.ParseComponent(c.Scores.Kind(), n, nil, c.Tables()...)
		if err != nil {
			return nil, fusion, fmt.Errorf("%s needs the score %s: %w", s.Detector.Method.Name, n, err)
		}
		one.Path = "detector.score." + n // as it would be written: alone, or in a list
		if len(names) > 1 {
			one.Path = fmt.Sprintf("detector.score[%d].%s", i, n)
		}
		out = append(out, one)
	}
	return out, fusion, nil
}

func (s *Spec) checkName(d *spec.Document, _ spec.Errors) spec.Errors {
	if err := spec.CheckName(s.Name); err != nil && s.Name != "" {
		return spec.Errors{d.Errorf("name", "%v", err)}
	}
	return nil
}

// checkSources finds keys of the section data that do not go with the format of
// a source.
func (s *Spec) checkSources(d *spec.Document, c Components, look bool) spec.Errors {
	var errs spec.Errors
	for _, role := range dataset.Roles {
		if src := s.Data.Of(role); src != nil {
			errs = append(errs, d.Faults("data."+string(role), src.Check(d.Abs("."), c.Formats, look))...)
			errs = append(errs, s.checkStream(d, role)...)
		}
	}
	return errs
}

// checkStream finds rows that are to stay in a file and cannot.
func (s *Spec) checkStream(d *spec.Document, role dataset.Role) spec.Errors {
	src := s.Data.Of(role)
	at := fmt.Sprintf("data.%s.stream", role)
	switch {
	case !src.Stream:
		return nil
	case role != dataset.RoleTrain:
		return spec.Errors{d.Errorf(at, "is for data.train; the rows of data.%s are needed in memory: limit or range bounds them", role)}
	case src.Dataset != "":
		return spec.Errors{d.Errorf(at, "is for rows in files; a named set comes in memory")}
	case s.Classifier.Model.Train != nil:
		return spec.Errors{d.Errorf(at, "%s", streamedClassifier)}
	}
	return nil
}

// streams reports whether the rows of data.train stay in their file: as it says,
// or since there are too many, as far as a header tells.
func (s *Spec) streams(d *spec.Document, c Components) bool {
	if s.Data.Train == nil {
		return false
	}
	src := *s.Data.Train
	if src.Stream {
		return true
	}
	src.Split, src.Shuffle, src.Range, src.Limit = "", false, nil, 0 // which are picked once all are read
	h, err := dataset.ReadHeader(src, d.Abs("."), c.Datasets, c.Formats)
	return err == nil && h.Rows > 0 && src.Dataset == "" && h.Rows > dataset.MaxElements/max(1, h.Example.Size())
}

// checkTooLarge finds a classifier that is to be trained on rows which do not fit
// into memory.
func (s *Spec) checkTooLarge(d *spec.Document, c Components) spec.Errors {
	if s.Classifier.Model.Train == nil || s.Data.Train == nil || s.Data.Train.Stream || !s.streams(d, c) {
		return nil
	}
	return spec.Errors{d.Errorf("data.train", "more than %d numbers: %s", dataset.MaxElements, streamedClassifier)}
}

func (s *Spec) checkOverlap(d *spec.Document, found spec.Errors) spec.Errors {
	return d.Faults("data", s.Data.Overlaps(func(role dataset.Role) bool { return !found.Below("data." + string(role)) }))
}

// checkAlike finds roles whose rows are prepared otherwise than others. (Detectors that
// were saved with such stay as they are.)
func (s *Spec) checkAlike(d *spec.Document, found spec.Errors) spec.Errors {
	return d.Faults("data", s.Data.Unlike(func(role dataset.Role) bool { return !found.Below("data." + string(role)) }))
}

// checkMethod finds sections that the detection method lacks or has no use for.
func (s *Spec) checkMethod(d *spec.Document, found spec.Errors) spec.Errors {
	m := s.Detector.Chosen()
	if m == nil {
		return nil
	}
	var errs spec.Errors
	if _, coded := m.(detect.Coded); coded && s.VAE == nil && s.Train != nil && !d.Given("vae") && !d.Given("preset") {
		errs = append(errs, d.Errorf("train", "there is no vae to train; add the section vae"))
	}
	if c, coded := m.(detect.Coded); coded && c.Coding() == vae.Sampled && s.VAE != nil && !s.VAE.Auto() && s.VAE.From == "" && s.VAE.LatentDim == 0 && !found.Below("vae.latent_dim") && !found.At("vae") {
		if d.Given("vae.latent_dim") {
			errs = append(errs, d.Errorf("vae.latent_dim", "must be >= 1 and <= 1048576, got 0"))
		} else {
			errs = append(errs, d.Errorf("vae", `missing key "latent_dim"`))
		}
	}
	if h, ok := m.(detect.Hardenable); s.Train != nil && s.Train.Harden != nil && !(ok && h.Hardenable()) {
		errs = append(errs, d.Errorf("train.harden", "method %s reconstructs nothing that could be hardened", s.Detector.Method.Name))
	}
	if c, ok := m.(detect.Checker); ok && !found.Below("vae") && !found.Below("train") {
		for _, f := range c.Check(s.VAE, s.Train) {
			errs = append(errs, d.Errorf(f.Key, "%s", f.Message))
		}
	}
	return errs
}

// checkRows finds rows that something needs and the section data lacks.
func (s *Spec) checkRows(d *spec.Document, _ spec.Errors) spec.Errors {
	var errs spec.Errors
	if t := s.Train; t != nil && t.EarlyStopping != nil && !d.Given("data.validation") {
		monitor := cmp.Or(t.EarlyStopping.Monitor, "val_loss")
		if strings.HasPrefix(monitor, "val_") {
			errs = append(errs, d.Errorf("train.early_stopping", "%s needs data.validation", monitor))
		}
	}
	if t := s.Threshold; t != nil && !d.Given("data.calibration") {
		for _, k := range []struct {
			name string
			set  bool
		}{{"fpr", t.FPR != nil}, {"percentile", t.Percentile != nil}} {
			if k.set {
				errs = append(errs, d.Errorf("threshold."+k.name, "needs data.calibration: clean rows, held out"))
			}
		}
		if s.Detector.Correct != nil && t.Value != nil {
			errs = append(errs, d.Errorf("detector.correct", "needs data.calibration, from which it learns what correction costs"))
		}
	}
	return errs
}

// headerChecks are those that read headers of the data.
//
// What cannot be read is a fault to lint alone: a run reads all rows before it
// starts anything, and says the same of them.
func headerChecks(s *Spec, c Components, lint bool) []spec.Check {
	sound := []string{"data", "classifier", "vae", "detector"}
	return []spec.Check{
		{Find: s.checkAlike},
		{Sound: sound[:2], Find: func(d *spec.Document, _ spec.Errors) spec.Errors { return s.checkPreprocess(d, c) }},
		{Sound: sound, Find: func(d *spec.Document, _ spec.Errors) spec.Errors { return s.checkShapes(d, c) }},
		{Sound: []string{"data", "classifier"}, Find: func(d *spec.Document, _ spec.Errors) spec.Errors { return s.checkTooLarge(d, c) }},
		{Sound: []string{"data"}, Find: func(d *spec.Document, found spec.Errors) spec.Errors { return s.checkData(d, c, found, lint) }},
		{Find: s.checkTransfer},
		{Find: s.checkHidden},
	}
}

// checkTransfer finds that there is no detector to make transfer attacks on.
func (s *Spec) checkTransfer(d *spec.Document, _ spec.Errors) spec.Errors {
	if s.Evaluate.Transfer == "" {
		return nil
	}
	if _, err := artifact.Resolve(d.Abs(s.Evaluate.Transfer)); err != nil && !pack.Is(d.Abs(s.Evaluate.Transfer)) {
		return spec.Errors{d.Errorf("evaluate.transfer_from", "%v", err)}
	}
	return nil
}

// checkPreprocess finds keys of classifier.preprocess that do not go with the
// shape of the data.
func (s *Spec) checkPreprocess(d *spec.Document, c Components) spec.Errors {
	p := s.Classifier.Model.Preprocess
	if p == nil {
		return nil
	}
	in, _ := s.inputShape(d, c)
	if in == nil {
		return nil // the data is not at hand: the start of the classifier finds out
	}
	_, err := p.For(in)
	return d.Faults("classifier.preprocess", err)
}

// checkShapes is lint's shape inference: it makes the method's opinion for the
// shape of the data and says where it does not fit.
func (s *Spec) checkShapes(d *spec.Document, c Components) spec.Errors {
	_, coded := s.Detector.Chosen().(detect.Coded)
	if s.Detector.Chosen() == nil || coded && (s.VAE == nil || len(s.VAE.Decoder) == 0 && !s.VAE.Auto()) {
		return nil
	}
	in, classes := s.inputShape(d, c)
	if in == nil {
		return nil // the data is not at hand: train finds out
	}
	if coded && s.VAE.Auto() {
		v, err := s.auto(d, in, c)
		if err != nil {
			return spec.Errors{d.Errorf("vae", "%v", err)}
		}
		s.VAE = v
	}
	o, err := s.opinion(d, detect.Parts{Input: in, Classes: classes})
	var fault spec.Error
	if errors.As(err, &fault) {
		return spec.Errors{fault}
	}
	if err != nil {
		return nil
	}
	return s.checkScores(d, o.Form())
}

// checkScores finds scores that read what the method does not have.
func (s *Spec) checkScores(d *spec.Document, f detect.Form) spec.Errors {
	var errs spec.Errors
	if s.Detector.Correct != nil && f.Rebuilt == 0 {
		errs = append(errs, d.Errorf("detector.correct", "method %s reconstructs nothing, and corrects no row", s.Detector.Method.Name))
	}
	for i, n := range s.Detector.NamedScores() {
		if err := detect.CheckScore(n, s.Detector.Method.Name, f, true); err != nil {
			errs = append(errs, d.Errorf(s.Detector.Score[i].Path, "%v", err))
		}
	}
	return errs
}

// checkHidden finds scores of hidden layers where the spec names none.
func (s *Spec) checkHidden(d *spec.Document, _ spec.Errors) spec.Errors {
	var errs spec.Errors
	for _, c := range s.Detector.Score {
		if n, ok := c.Value.(detect.Score); ok && detect.NeedsOf(n).Hidden && len(s.Detector.HiddenLayers) == 0 {
			errs = append(errs, d.Errorf(c.Path, "score %s needs detector.hidden_layers", c.Name))
		}
	}
	return errs
}

// placeError gives an error of building layers its place in the file: section,
// or a layer's own.
func placeError(d *spec.Document, section string, err error) spec.Error {
	path := section
	var part *vae.PartError
	if errors.As(err, &part) {
		path, err = part.Part, part.Err
	}
	var layer *nn.LayerError
	if errors.As(err, &layer) {
		for i, index := range layer.Path {
			if i > 0 {
				path += ".residual.layers"
			}
			path += fmt.Sprintf("[%d]", index)
		}
		err = layer.Err
	}
	return d.Errorf(path, "%v", err)
}

// lintChecks are those that not every verb needs: what can be said of a spec's
// plugin without starting it, that it cannot be found, or that its config does
// not fit it, and whether there is something to judge a detector by.
func lintChecks(s *Spec, c Components) []spec.Check {
	return []spec.Check{{Sound: []string{"classifier"}, Find: func(d *spec.Document, _ spec.Errors) spec.Errors {
		if !d.Given("classifier") {
			return nil
		}
		return s.pluginFaults(d, c)
	}}, {Sound: []string{"data"}, Find: func(d *spec.Document, _ spec.Errors) spec.Errors { return s.testFaults(d, c) }}}
}

func (s *Spec) pluginFaults(d *spec.Document, c Components) spec.Errors {
	m := s.Classifier.Model
	if _, err := m.Find(Plugins(), d.Abs(".")); err != nil {
		return spec.Errors{d.Errorf("classifier."+m.Key(), "%v", cause(err))}
	}
	return s.configFaults(d, c)
}

// allChecks are those of Load, and the first of lint.
func allChecks(s *Spec, c Components, lint bool) []spec.Check {
	return slices.Concat(specChecks(s, c, true), headerChecks(s, c, lint))
}
