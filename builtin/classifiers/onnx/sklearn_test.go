package onnx_test

import (
	"context"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// TestScikitLearn compares with predict_proba.
func TestScikitLearn(t *testing.T) {
	files, err := filepath.Glob("testdata/sklearn/*.onnx")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d models: %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".onnx")
		t.Run(name, func(t *testing.T) {
			c := configured(t, `{"model": "sklearn/`+name+`.onnx"}`)
			info, err := c.Info(context.Background())
			if err != nil || info.Validate() != nil {
				t.Fatal(err, info.Validate())
			}
			trees := strings.Contains(name, "tree") || strings.Contains(name, "forest") || strings.Contains(name, "boosting")
			if trees != (info.Gradient == sdk.NoGradient) || trees != (info.Output == sdk.Probabilities) {
				t.Errorf("gradient %v, output %v", info.Gradient, info.Output)
			}
			b, err := os.ReadFile(strings.TrimSuffix(file, "onnx") + "bin")
			if err != nil {
				t.Fatal(err)
			}
			all := make([]float32, len(b)/4)
			for i := range all {
				all[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
			}
			x := tensor.From(all[:80], 20, 4)
			y, pull, err := c.Forward(context.Background(), x)
			if err != nil {
				t.Fatal(err)
			}
			if (pull == nil) != trees {
				t.Errorf("a pullback: %v", pull != nil)
			}
			p := y[sdk.Output]
			if info.Output == sdk.Logits {
				for i := range p.N() {
					softmax(p.Row(i))
				}
			}
			if len(p.Data) != len(all)-80 {
				t.Fatalf("%v probabilities, want %d", p.Shape, len(all)-80)
			}
			if d := worst(p.Data, all[80:]); !(d <= 1e-5) {
				t.Errorf("probabilities are off by %.2g", d)
			}
		})
	}
}

func softmax(row []float32) {
	var sum float64
	for _, v := range row {
		sum += math.Exp(float64(v))
	}
	for i, v := range row {
		row[i] = float32(math.Exp(float64(v)) / sum)
	}
}
