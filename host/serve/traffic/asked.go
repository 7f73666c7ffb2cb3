package traffic

import (
	"context"
	"time"

	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// asked is the server's model as a client without its file sees it: it answers
// probabilities, some rows a second.
type asked struct {
	g      *generator
	info   sdk.Info
	client string
	rest   time.Duration // after each row
}

var _ sdk.Classifier = (*asked)(nil)

// Info implements sdk.Classifier.
func (a *asked) Info(context.Context) (sdk.Info, error) {
	i := a.info
	i.Output, i.Gradient, i.Differentiate, i.Hidden, i.Trainable = sdk.Probabilities, 0, false, nil, false
	return i, nil
}

// Predict implements sdk.Classifier.
func (a *asked) Predict(ctx context.Context, x *tensor.Tensor) (*tensor.Tensor, error) {
	if !a.g.now().Before(a.g.until) {
		return nil, errOver
	}
	r, err := a.g.ask(ctx, a.client, x, detect.Include{Probabilities: true})
	if passes(err) {
		return nil, errOver // the attacker gives up for now
	}
	if err != nil {
		return nil, err
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(time.Duration(x.N()) * a.rest):
	}
	return r.Probabilities, nil
}
