package cnn_test

import (
	"context"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/builtin/classifiers/cnn"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/sdktest"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// stripes are images with a bright row or column.
func stripes(n int) sdk.TrainingData {
	r := rand.New(rand.NewPCG(1, 2))
	d := sdk.TrainingData{X: tensor.New(n, 8, 8, 1)}
	for i := range n {
		label, at := i%2, r.IntN(8)
		for j := range 64 {
			v := 0.2 * r.Float64()
			if label == 0 && j/8 == at || label == 1 && j%8 == at {
				v += 0.7
			}
			d.X.Row(i)[j] = float32(v)
		}
		d.Labels = append(d.Labels, label)
	}
	return d
}

func TestConformance(t *testing.T) {
	data := stripes(64)
	for _, json := range []string{
		`{"filters": [4], "hidden": [8], "range": [0, 1], "scale": "standard"}`,
		`{"layers": [{"conv2d": {"filters": 4, "kernel_size": 3, "strides": 2, "activation": "relu"}}, {"dropout": {"rate": 0.1}}]}`,
	} {
		t.Run(json, func(t *testing.T) {
			sdktest.Run(t, cnn.New(), sdktest.Options{
				Config: sdk.Config{JSON: []byte(json), InputShape: tensor.Shape{8, 8, 1}, Classes: 2},
				Rows:   data.X, Train: data, Seed: 7, Fit: []byte(`{"epochs": 2, "batch_size": 16}`),
			})
		})
	}
}

func TestFitLearns(t *testing.T) {
	ctx := context.Background()
	c := cnn.New()
	data := stripes(256)
	data.ValX, data.ValLabels = stripes(64).X, stripes(64).Labels
	if err := c.Configure(ctx, sdk.Config{JSON: []byte(`{"filters": [8], "hidden": [16]}`), InputShape: tensor.Shape{8, 8, 1}, Classes: 2}); err != nil {
		t.Fatal(err)
	}
	var last sdk.FitProgress
	_, err := c.Fit(ctx, data, sdk.FitOptions{
		JSON: []byte(`{"epochs": 12, "batch_size": 32, "learning_rate": 0.01}`), Seed: 1, OutputDir: t.TempDir(),
		Progress: func(p sdk.FitProgress) { last = p },
	})
	if err != nil {
		t.Fatal(err)
	}
	if last.Metrics["val_accuracy"] < 0.95 {
		t.Errorf("after training: %v, want a val_accuracy of at least 0.95", last.Metrics)
	}
}

func TestFlatInput(t *testing.T) {
	err := cnn.New().Configure(context.Background(), sdk.Config{InputShape: tensor.Shape{64}, Classes: 2})
	if err == nil || !strings.Contains(err.Error(), "want height×width×channels") {
		t.Errorf("flat inputs: %v, want the wanted shape", err)
	}
}
