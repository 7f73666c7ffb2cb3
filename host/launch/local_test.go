package launch

import (
	"testing"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// TestLocal: a channels-first classifier of this process answers as it does
// behind the boundary.
func TestLocal(t *testing.T) {
	ctx, f := t.Context(), nchw()
	x, dy := random(1, 3, 4, 3, 2), random(2, 3, 5)
	y, _, dx := local(t, f, x, dy, nil)
	for name, c := range map[string]sdk.Classifier{
		"forwarder": f, "differentiable": struct{ sdk.Differentiable }{f}, "neither": struct{ sdk.Classifier }{f},
	} {
		c, err := Local(ctx, c, nil)
		if err != nil {
			t.Fatal(err)
		}
		info, err := c.Info(ctx)
		if err != nil || !info.InputShape.Equal(tensor.Shape{4, 3, 2}) || info.Layout != sdk.NHWC || info.Hi[1] != 13 {
			t.Errorf("%s: %+v, %v", name, info, err)
		}
		got, err := c.Predict(ctx, x)
		if err != nil {
			t.Fatal(err)
		}
		same(t, name+" predicts", got, y)
		forwarder, ok := c.(sdk.Forwarder)
		if ok {
			outs, pull, err := forwarder.Forward(ctx, x)
			if err != nil {
				t.Fatal(err)
			}
			same(t, name+" answers", outs[sdk.Output], y)
			if got, err = pull(ctx, map[string]*tensor.Tensor{sdk.Output: dy}); err != nil {
				t.Fatal(err)
			}
			same(t, name+" pulls back", got, dx)
		}
		differentiable, has := c.(sdk.Differentiable)
		if has {
			if got, err = differentiable.Gradient(ctx, x, dy); err != nil {
				t.Fatal(err)
			}
			same(t, name+"'s gradient", got, dx)
		}
		if ok != (name == "forwarder") || has != (name == "differentiable") {
			t.Errorf("%s: forwards %v, differentiates %v", name, ok, has)
		}
	}
	plain := fake()
	if c, err := Local(ctx, plain, nil); err != nil || c != sdk.Classifier(plain) {
		t.Errorf("channels last: %v, %v", c, err)
	}
}
