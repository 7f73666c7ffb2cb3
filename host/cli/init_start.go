package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"time"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/launch"
	"github.com/vaeguard/vaeguard/host/train"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/check"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// start starts the plugin as the section says and asks it what it is: first as it
// is by itself, then for the rows at hand.
func (d *draft) start(ctx context.Context, s launch.Section) error {
	p, err := s.Find(host.Plugins(), d.dir)
	if err != nil {
		return err
	}
	config, err := json.Marshal(s.Config)
	if err != nil {
		return err
	}
	if s.Config == nil {
		config = []byte("{}")
	}
	base, err := filepath.Abs(d.dir)
	if err != nil {
		return err
	}
	shapes := []tensor.Shape{nil, d.raw()}
	if d.table { // the number of columns is known
		shapes = shapes[1:]
	}
	var failed error
	for _, in := range shapes {
		cl, err := launch.Start(ctx, launch.Options{Command: p.Command, Threads: d.app.threads, Logger: d.app.logger().Named("plugin"), Checks: launch.ChecksOff,
			Config: sdk.Config{JSON: config, InputShape: in, Classes: len(d.classes), BaseDir: base}})
		if err != nil {
			failed = err
			continue
		}
		info, err := cl.Info(ctx)
		if err == nil && info.Ready && info.Gradient != sdk.NoGradient {
			d.asked = gradientTime(ctx, cl, info)
		}
		if err == nil && info.Ready {
			d.failed, err = failedChecks(ctx, cl)
		}
		if err = errors.Join(err, cl.Close()); err != nil {
			return err
		}
		d.info = &info
		if info.Ready && info.Gradient == sdk.NoGradient {
			d.model.why = strings.TrimPrefix(d.model.why+"; it has no gradients: a surrogate is distilled from its answers", "; ")
		}
		if !info.Ready && info.Trainable {
			d.train, d.info = fmt.Sprintf("{epochs: %d}", min(40, d.epochs())), nil
		} else if !info.Ready {
			return fmt.Errorf("--classifier %s: the plugin is not trained, and cannot be: its config names no weights", d.classifier)
		}
		return nil
	}
	if d.varied && d.sides[0] == 0 {
		return fmt.Errorf("%w\nthe images have several sizes: if the model takes any, --size 224x224 says to which they are brought", failed)
	}
	return failed
}

// failedChecks are the checks of a plugin, on rows at random, that a run would end at. What
// keeps it from being asked is told when it is.
func failedChecks(ctx context.Context, cl *launch.Classifier) (failed []string, err error) {
	found, err := cl.Check(ctx, nil)
	if err != nil {
		return nil, ctx.Err()
	}
	for _, f := range found {
		if f.Severity == check.Fail {
			failed = append(failed, f.String())
		}
	}
	return failed, nil
}

// gradientTime is what a classifier's gradient takes, a row, of rows in the middle of
// its range; 0 if it does not answer, which lint tells more of.
func gradientTime(ctx context.Context, cl *launch.Classifier, info sdk.Info) time.Duration {
	rows := max(1, min(initBatch, 1<<22/info.InputShape.Size())) // as many as a step of the training has, if they are small
	x, dy := tensor.New(append([]int{rows}, info.InputShape...)...), tensor.New(rows, info.NumClasses)
	for i := range x.Data {
		if n := len(info.Lo); n > 0 && len(info.Hi) == n {
			at := i % x.Stride() % n // a range for all numbers, or one for each
			x.Data[i] = (info.Lo[at] + info.Hi[at]) / 2
		}
	}
	for i := range rows {
		dy.Row(i)[0] = 1
	}
	least := time.Duration(math.MaxInt64)
	for range 3 { // the first warms it up
		began := time.Now()
		if _, err := cl.Gradient(ctx, x, dy); err != nil {
			return 0
		}
		least = min(least, time.Since(began))
	}
	return least / time.Duration(rows)
}

// asking is what the classifier's gradients take in a training, one taking row.
func asking(t train.Estimate, row time.Duration) time.Duration {
	return time.Duration(t.GradientRows) * row
}
