// Package artifact keeps a trained detector on disk: a folder of
//
//	detector.yaml         the resolved spec
//	weights.safetensors   every tensor, the stored noise among them
//	calibration.npy       sorted clean scores, float64; absent without calibration
//	calibration_classes.npy  the class predicted for each; absent unless thresholds are by class
//	calibration_first.npy  the score of its first votes for each; absent unless votes end early
//	fusion.npy            each score's reference values, float64; absent without fusion
//	canaries.json         rows with their known answers; absent in detectors of earlier versions
//	classifier/           the weights of a classifier that was trained here, if any
//	card.md               the same for people; nothing reads it
//	meta.json             what it is, and the sha256 of each other file
//
// A folder appears whole or not at all, and what does not verify is refused by
// name. It can be moved as a whole where its classifier is in it, or shipped;
// package pack is for the others. Nothing in it is ever executed.
package artifact

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/vaeguard/vaeguard/host/artifact/safetensors"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/sdk"
)

// The names of the files.
const (
	SpecFile        = "detector.yaml"
	WeightsFile     = "weights.safetensors"
	CalibrationFile = "calibration.npy"
	ClassesFile     = "calibration_classes.npy"
	FirstFile       = "calibration_first.npy"
	FusionFile      = "fusion.npy"
	MetaFile        = "meta.json"
	ClassifierDir   = "classifier"
)

// runDetector is where a run keeps its detector.
const runDetector = "detector"

// Detector is a trained detector as stored on disk.
type Detector struct {
	Spec    []byte // detector.yaml
	Tensors []safetensors.Named
	State   detect.State
	Meta    Meta // Save fills in versions, files and threshold
	// Canaries are rows with their known answers; nil: none.
	Canaries *Canaries

	// ClassifierDir is, for Save, a folder whose files are copied, and after
	// Load the detector's own; "" if there is none.
	ClassifierDir string

	// Dir and Digest are set by Load: the folder, and the detector's identity,
	// "sha256:…" of meta.json.
	Dir    string
	Digest string
}

// Resolve finds the detector that path means: itself, or the one of a run.
func Resolve(path string) (string, error) {
	for _, dir := range []string{path, filepath.Join(path, runDetector)} {
		if _, err := os.Stat(filepath.Join(dir, MetaFile)); err == nil {
			return dir, nil
		}
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("detector: %w", err)
	}
	return "", fmt.Errorf("detector %s: neither a detector nor a run with one (no %s), nor a pack", path, MetaFile)
}

// CheckClassifier refuses another classifier than the detector was made for.
func (d *Detector) CheckClassifier(info sdk.Info) error {
	was := d.Meta.Classifier
	differ := func(what string, want, got any) error {
		return fmt.Errorf("detector %s was made for another classifier: its %s is %v, this one's %v", d.Dir, what, want, got)
	}
	switch {
	case was.Digest != "" && was.Digest != info.Digest:
		return differ("digest", was.Digest, quoteEmpty(info.Digest))
	case was.Classes != info.NumClasses:
		return differ("number of classes", was.Classes, info.NumClasses)
	case was.Output != info.Output.String():
		return differ("output", was.Output, info.Output)
	case was.Digest == "" && (was.Name != info.Name || was.Version != info.Version):
		return differ("name and version", was.Name+" "+was.Version, info.Name+" "+info.Version)
	}
	return nil
}

func quoteEmpty(s string) string {
	if s == "" {
		return "not declared"
	}
	return s
}
