package host

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/evaluate"
	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/rundir"
	"github.com/vaeguard/vaeguard/host/train"
)

// UncalibratedError is a training that ended in a detector without threshold,
// since none could be had from the calibration rows. The detector is saved.
type UncalibratedError struct {
	Detector string // its folder
	Command  string // shell command that resumes; "": nothing was kept to resume from
	Err      error
}

// Error says what is wrong and how to go on.
func (e *UncalibratedError) Error() string {
	text := fmt.Sprintf("%v\nthe trained detector is saved, without a threshold; set one with\n  vaeguard calibrate %s --data CLEAN", e.Err, e.Detector)
	if e.Command != "" {
		text += fmt.Sprintf("\nor resume with another rule or other calibration rows, such as\n  %s --set threshold.fpr=0.25", e.Command)
	}
	return text
}

// Unwrap is the cause.
func (e *UncalibratedError) Unwrap() error { return e.Err }

// afterTraining are the parts of a spec that may change before a resumption.
const afterTraining = "name, data.calibration, data.test, classifier.accuracy, detector.score, detector.fusion, detector.correct, detector.precision, threshold, attacks, corruptions and evaluate"

// training is the part of the spec that decides what is trained, which a
// checkpoint belongs to.
func (s *Spec) training() *Spec {
	t := *s
	t.Name, t.Threshold, t.Attacks, t.Corruptions, t.Evaluate = "", nil, nil, nil, evaluate.Section{}
	t.Classifier.Model.Accuracy = nil
	t.Data.Calibration, t.Data.Test, t.Data.AllowOverlap = nil, nil, false
	t.Detector.Precision = kernel.Float32
	t.Detector.Score, t.Detector.Fusion, t.Detector.Correct, t.Detector.DataType = nil, detect.NoFusion, nil, ""
	if m, ok := s.Detector.Chosen().(detect.Trimmer); ok {
		t.Detector.Method.Value = m.Trimmed()
	}
	return &t
}

func (s *Spec) trainingDigest() string { return sha(s.training().Resolved()) }

// fingerprint is what a checkpoint must have to be resumed from. Those of
// earlier versions have the digest of the whole spec, and keep it.
func (s *Spec) fingerprint(resume *train.State) string {
	if whole := sha(s.Resolved()); resume != nil && strings.HasPrefix(resume.Progress.Fingerprint, whole+" ") {
		return whole
	}
	return s.trainingDigest()
}

// trainingKey is that of the training's digest in a run's environment.
const trainingKey = "training_sha256"

// trainingOf is the digest of the training that a run began with; "" if an
// earlier version began it.
func trainingOf(run *rundir.Dir) string {
	text, err := os.ReadFile(run.File(rundir.EnvironmentFile))
	if err != nil {
		return ""
	}
	var env map[string]any
	if json.Unmarshal(text, &env) != nil {
		return ""
	}
	digest, _ := env[trainingKey].(string)
	return digest
}
