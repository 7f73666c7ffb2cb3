package sdktest_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/sdktest"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

func TestFakeConforms(t *testing.T) {
	sdktest.Run(t, &sdktest.Fake{Shape: tensor.Shape{5, 4, 2}, Classes: 3}, sdktest.Options{})
	sdktest.Run(t, &sdktest.Fake{Shape: tensor.Shape{6}, Classes: 2, Output: sdk.Probabilities, MaxBatch: 7, Scale: 1}, sdktest.Options{Seed: 1})
}

// pupil becomes the Fake whose seed is the sum of its labels.
type pupil struct{ *sdktest.Fake }

func (p *pupil) Schema() []byte { return nil }

func (p *pupil) Configure(context.Context, sdk.Config) error {
	p.Fake = nil
	return nil
}

func (p *pupil) Info(ctx context.Context) (sdk.Info, error) {
	if p.Fake == nil {
		return sdk.Info{Name: "pupil", Version: "1"}, nil
	}
	return p.Fake.Info(ctx)
}

func (p *pupil) Fit(ctx context.Context, d sdk.TrainingData, o sdk.FitOptions) (sdk.FitDone, error) {
	p.Fake = &sdktest.Fake{Shape: d.X.Example().Clone(), Classes: 2}
	for _, l := range d.Labels {
		p.Fake.Seed += uint64(l)
	}
	o.Progress(sdk.FitProgress{Epoch: 1, Step: 1, Steps: 1})
	i, err := p.Fake.Info(ctx)
	if err != nil {
		return sdk.FitDone{}, err
	}
	name := filepath.Join(o.OutputDir, "seed")
	return sdk.FitDone{Files: []sdk.FitFile{{Name: "seed"}}, Digest: i.Digest}, os.WriteFile(name, []byte(i.Digest), 0o600)
}

func TestTrainableConforms(t *testing.T) {
	rows := tensor.New(9, 3)
	for i := range rows.Data {
		rows.Data[i] = float32(i*7%10) / 10
	}
	o := sdktest.Options{Rows: rows, Train: sdk.TrainingData{X: rows, Labels: []int{0, 1, 0, 1, 0, 1, 0, 1, 0}}}
	sdktest.Run(t, &pupil{}, o)
}
