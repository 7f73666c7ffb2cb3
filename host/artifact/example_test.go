package artifact_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/vaeguard/vaeguard/host/artifact"
	"github.com/vaeguard/vaeguard/host/artifact/safetensors"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// detector is a saved detector in small: a weight, a threshold and its record.
func detector() *artifact.Detector {
	value := .5
	return &artifact.Detector{
		Spec:    []byte("name: small\n"),
		Tensors: []safetensors.Named{{Name: "mean.kernel", Tensor: tensor.From([]float32{1, 2, 3}, 3, 1)}},
		State:   detect.State{Threshold: &detect.Threshold{Value: value, Rule: detect.Rule{Value: &value}}},
		Meta: artifact.Meta{
			Name: "small", Method: "vae", InputShape: tensor.Shape{3},
			Classifier: artifact.Classifier{Name: "cnn", Version: "1.0.0", Digest: "sha256:0a", Output: "logits", Classes: 2},
		},
	}
}

// Save, load, and look at what was saved. host.Open does more: it starts the
// classifier and makes a detector that works.
func ExampleLoad() {
	folder, err := os.MkdirTemp("", "artifact")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(folder)
	dir := filepath.Join(folder, "detector")
	if err := artifact.Save(dir, detector(), false); err != nil {
		log.Fatal(err)
	}
	d, err := artifact.Load(dir)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(d.Meta.Name, d.Meta.InputShape, "threshold", d.State.Threshold.Value)
	fmt.Println(d.Weights()["mean.kernel"].Data, strings.HasPrefix(d.Digest, "sha256:"))
	// Output:
	// small 3 threshold 0.5
	// [1 2 3] true
}

// A file that was edited after the detector was saved is refused by name.
func ExampleLoad_edited() {
	folder, err := os.MkdirTemp("", "artifact")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(folder)
	dir := filepath.Join(folder, "detector")
	if err := artifact.Save(dir, detector(), false); err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, artifact.SpecFile), []byte("name: lllll\n"), 0o600); err != nil {
		log.Fatal(err)
	}
	_, err = artifact.Load(dir)
	fmt.Println("names the file:", strings.Contains(err.Error(), artifact.SpecFile))
	// Output: names the file: true
}

// A detector guards the classifier that it was made for, and no other.
func ExampleDetector_CheckClassifier() {
	d := detector()
	info := sdk.Info{Name: "cnn", Version: "1.0.0", Digest: "sha256:0a", Output: sdk.Logits, NumClasses: 2}
	fmt.Println(d.CheckClassifier(info))
	info.Digest = "sha256:0b"
	fmt.Println(d.CheckClassifier(info) != nil)
	// Output:
	// <nil>
	// true
}
