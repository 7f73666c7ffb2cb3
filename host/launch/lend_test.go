package launch

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/sdktest"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// frail panics for a row that begins with −1, and lends what it has else.
type frail struct{ *sdktest.Fake }

func (f frail) Predict(ctx context.Context, x *tensor.Tensor) (*tensor.Tensor, error) {
	if x.Row(0)[0] == -1 {
		panic("minus one")
	}
	return f.Fake.Predict(ctx, x)
}

// A model of this program answers as it does by itself, whatever its layout, to many
// at once, in batches as large as it takes; and what it panics of is an error.
func TestLend(t *testing.T) {
	for _, layout := range []sdk.Layout{sdk.NHWC, sdk.NCHW} {
		shape := tensor.Shape{3, 5, 2}
		if layout == sdk.NCHW {
			shape = tensor.Shape{2, 3, 5}
		}
		model := frail{&sdktest.Fake{Shape: shape, Classes: 3, Layout: layout, MaxBatch: 4}}
		c, err := Lend(t.Context(), model, Section{}, Process{Checks: "strict", Timeout: 60}, Deps{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		x := tensor.New(9, 3, 5, 2)
		for i := range x.Data {
			x.Data[i] = float32(i%17) / 17
		}
		local, err := Local(t.Context(), model, nil)
		if err != nil {
			t.Fatal(err)
		}
		want, err := local.Predict(t.Context(), x)
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				got, err := c.Predict(t.Context(), x)
				if err != nil || !slices.Equal(got.Data, want.Data) {
					t.Errorf("layout %v: %v, %v; want %v", layout, got, err, want)
				}
			})
		}
		wg.Wait()
		outs, pull, err := c.Forward(t.Context(), x, sdk.Output, sdk.HiddenPrefix+sdktest.FakeHidden)
		if err != nil || !slices.Equal(outs[sdk.Output].Data, want.Data) {
			t.Fatalf("forward: %v", err)
		}
		if dx, err := pull(t.Context(), map[string]*tensor.Tensor{sdk.Output: want}); err != nil || !dx.Shape.Equal(x.Shape) {
			t.Errorf("pullback: %v, %v", dx, err)
		}
		x.Data[0] = -1
		if layout == sdk.NHWC {
			if _, err := c.Predict(t.Context(), x); err == nil || !strings.Contains(err.Error(), "minus one") || !strings.Contains(err.Error(), "launch.frail") {
				t.Errorf("panic: %v", err)
			}
		}
		if err := c.Ping(t.Context()); err != nil {
			t.Error(err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if _, err := c.Predict(t.Context(), x); !errors.Is(err, errClosed) {
			t.Errorf("closed: %v", err)
		}
	}
}

// The checks at load hold for it too.
func TestLendIsChecked(t *testing.T) {
	_, err := Lend(t.Context(), liar{&sdktest.Fake{Shape: tensor.Shape{4}, Classes: 2}}, Section{}, Process{Checks: "strict", Timeout: 60}, Deps{})
	var bad *CheckError
	if !errors.As(err, &bad) {
		t.Errorf("%v, want a CheckError", err)
	}
}

// liar gives gradients that are none of its own.
type liar struct{ f *sdktest.Fake }

func (l liar) Info(ctx context.Context) (sdk.Info, error) {
	info, err := l.f.Info(ctx)
	info.Hidden, info.Differentiate = nil, false
	return info, err
}

func (l liar) Predict(ctx context.Context, x *tensor.Tensor) (*tensor.Tensor, error) {
	return l.f.Predict(ctx, x)
}

func (l liar) Gradient(ctx context.Context, x, dy *tensor.Tensor) (*tensor.Tensor, error) {
	dx, err := l.f.Gradient(ctx, x, dy)
	for i := range dx.Data {
		dx.Data[i] = 1 - 3*dx.Data[i]
	}
	return dx, err
}
