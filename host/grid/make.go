package grid

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/evaluate"
	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/host/vae"
	"github.com/vaeguard/vaeguard/sdk"
)

const (
	classifierDir = "classifier"
	detectorDir   = "detector"
)

// make does a cell's work.
func (b *Bench) make(ctx context.Context, c *Cell, r *record, clock *clock) error {
	if c.folder != "" {
		return b.makeExternal(c, r)
	}
	switch c.Kind {
	case Classifier:
		return b.makeClassifier(ctx, c, r)
	case Arrays:
		return b.makeArrays(ctx, c, r)
	case Network, Detector:
		return b.makeDetector(ctx, c, r, clock)
	case Clean:
		return b.makeClean(ctx, c)
	case Corruption:
		return b.makeCorruption(ctx, c)
	}
	return b.makeScores(ctx, c, r)
}

func (b *Bench) makeClassifier(ctx context.Context, c *Cell, r *record) error {
	e, err := b.load(c.set, nil, c.Seed, nil)
	if err != nil {
		return err
	}
	if err := b.open.closeModel(); err != nil {
		return err
	}
	cl, err := e.StartClassifier(ctx, filepath.Join(b.dir(c), classifierDir))
	if err != nil {
		return err
	}
	info, err := cl.Info(ctx)
	r.Digest = info.Digest
	return errors.Join(err, cl.Close())
}

// classifier starts a trained classifier, or finds it running.
func (b *Bench) classifier(ctx context.Context, c *Cell) error {
	if b.open.classifier != nil && b.open.classifier.Key == c.Key {
		return nil
	}
	if err := b.open.closeModel(); err != nil {
		return err
	}
	r, err := b.find(c)
	if err != nil {
		return err
	}
	e, err := b.load(c.set, nil, c.Seed, nil)
	if err != nil {
		return err
	}
	cl, err := e.StartClassifier(ctx, filepath.Join(b.dir(c), classifierDir))
	if err != nil {
		return err
	}
	b.open.model, b.open.classifier = cl, c
	info, err := cl.Info(ctx)
	if err == nil && info.Digest != r.Digest {
		err = fmt.Errorf("the classifier is %s, the grid began with %s: its files have changed", info.Digest, r.Digest)
	}
	return err
}

// makeArrays attacks the bare classifier.
func (b *Bench) makeArrays(ctx context.Context, c *Cell, r *record) error {
	if err := b.classifier(ctx, c.need(Classifier)); err != nil {
		return err
	}
	info, err := b.open.model.Info(ctx)
	if err != nil {
		return err
	}
	train, err := c.set.base.Rows(dataset.RoleTrain)
	if err != nil {
		return err
	}
	rows := c.set.pick(c.attack.Limit)
	x, y := c.set.rows.X.Gather(rows), take(c.set.rows.Labels, rows)
	o := attack.Options{Seed: c.Seed, Examples: rows, Targets: targets(c.attack.Target, y, info.NumClasses)}
	if o.Deviations, err = dataset.Deviations(train.Examples()); err != nil {
		return err
	}
	if o.Box, err = attack.BoxOfTrain(info, train.Examples()); err != nil {
		return err
	}
	if o.Constraints, err = c.set.base.Constraints(); err != nil {
		return err
	}
	o.Progress = b.stage("attack " + c.Attack)
	adv, err := attack.Run(ctx, b.open.model, x, y, registry.As[attack.Attack](c.attack.Attack), o)
	if err != nil {
		return err
	}
	r.about(adv)
	return writeArrays(filepath.Join(b.dir(c), advFile), adversarialArrays(rows, adv))
}

// targets are the classes to reach; nil without a target.
func targets(t *Target, labels []int, classes int) []int {
	if t == nil {
		return nil
	}
	out := make([]int, len(labels))
	for i, y := range labels {
		out[i] = (y + t.Offset) % classes
		if t.Class != nil {
			out[i] = *t.Class
		}
	}
	return out
}

func (r *record) about(adv *attack.Adversarial) {
	eps := evaluate.Number(adv.Eps)
	r.Norm, r.Eps, r.Warnings = string(adv.Ball), &eps, adv.Warnings
}

func (b *Bench) stage(name string) func(done, total int) {
	return func(done, total int) {
		if p := b.o.Host.Progress; p != nil {
			p(host.Progress{Stage: name, Done: done, Total: total, Ended: done >= total})
		}
	}
}

// makeDetector trains a network, or makes a calibrated detector of one.
func (b *Bench) makeDetector(ctx context.Context, c *Cell, r *record, clock *clock) error {
	e, err := b.load(c.set, c.guard, c.Seed, func(p host.Progress) {
		if p.Stage == host.StageDetector {
			clock.reached(p.Done, p.Ended || len(p.Metrics) == 0) // without metrics: what a checkpoint has
			clock.tick()
		}
	})
	if err != nil {
		return err
	}
	out := filepath.Join(b.dir(c), detectorDir)
	net := c.need(Network)
	switch {
	case c.Kind == Network:
		e = e.With(forNetwork)
	case net != nil:
		from, err := filepath.Abs(filepath.Join(b.dir(net), detectorDir))
		if err != nil {
			return err
		}
		e = e.With(func(s *host.Spec) { s.VAE, s.Train = &vae.Section{From: from}, nil })
		if err := errors.Join(os.RemoveAll(out), os.RemoveAll(out+".partial")); err != nil { // made again in no time
			return err
		}
	}
	track := host.TrackOptions{To: b.o.Track, Name: c.String(), Group: b.Grid.Name, Beside: filepath.Join(b.o.Out, "track", strings.ReplaceAll(c.String(), " ", "-")) + "."}
	d, err := e.TrainTo(ctx, host.TrainOptions{Track: track, Classifier: filepath.Join(b.dir(c.need(Classifier)), classifierDir), Out: out, Resume: exists(out) || exists(out+".partial"), Command: b.o.Command})
	if err != nil {
		return err
	}
	r.Digest, r.Steps = d.Digest(), int(clock.before[2])
	if c.Kind == Detector {
		t := d.Threshold()
		v := evaluate.Number(t.Value)
		r.Threshold, r.Calibrated = &v, t.N
	}
	return d.Close()
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// guard opens a detector, or finds it open.
func (b *Bench) guard(ctx context.Context, c *Cell) (*host.Detector, error) {
	e, err := b.load(c.set, c.guard, c.Seed, nil)
	if err != nil {
		return nil, err
	}
	open := e.ReopenOptions()
	open.Options = b.o.Host
	d, err := host.OpenContext(ctx, filepath.Join(b.dir(c), detectorDir), b.o.Components, open)
	if err != nil {
		return nil, err
	}
	d.Experiment = d.Experiment.Sharing(c.set.base)
	return d, nil
}

// judge opens a detector for attacks on it, or finds it open.
func (b *Bench) judge(ctx context.Context, c *Cell, clean *detect.Result) error {
	if b.open.detector != nil && b.open.detector.Key == c.Key && b.open.session != nil {
		return nil
	}
	if err := errors.Join(b.open.closeGuard(), b.open.closeModel()); err != nil {
		return err
	}
	d, err := b.guard(ctx, c)
	if err != nil {
		return err
	}
	b.open.guard, b.open.detector = d, c
	o, err := d.Judging(ctx, host.EvaluateOptions{Rows: c.set.rows})
	if err != nil {
		return err
	}
	o.Seed = c.Seed
	o.Transfer = func(fresh bool, seed uint64) (sdk.Forwarder, float64) { return b.open.transfer.Target(fresh, seed) }
	b.open.session, err = evaluate.NewSession(ctx, o, clean)
	return err
}

func (b *Bench) makeClean(ctx context.Context, c *Cell) error {
	if err := b.open.closeGuard(); err != nil {
		return err
	}
	if err := b.judge(ctx, c.need(Detector), nil); err != nil {
		return err
	}
	rows := attack.All(c.set.rows.X.N())
	return writeArrays(filepath.Join(b.dir(c), scoresFile), resultArrays(rows, c.set.rows.Labels, b.open.session.Clean()))
}

// makeScores scores the rows of an attack on the classifier, or makes and
// scores those of an adaptive attack.
func (b *Bench) makeScores(ctx context.Context, c *Cell, r *record) error {
	clean, err := b.clean(c.need(Clean))
	if err != nil {
		return err
	}
	if err := b.judge(ctx, c.need(Detector), clean); err != nil {
		return err
	}
	rows := c.set.pick(c.attack.Limit)
	var ready *attack.Adversarial
	if n := c.need(Arrays); n != nil {
		if ready, err = b.adversarial(n); err != nil {
			return err
		}
	} else if transferred(c.attack) {
		if err := b.other(ctx, c.needs[len(c.needs)-1]); err != nil {
			return err
		}
	}
	named := evaluate.NamedAttack{Name: c.Attack, Attack: registry.As[attack.Attack](c.attack.Attack)}
	d, err := b.open.session.Attack(ctx, named, rows, ready)
	if err != nil {
		return err
	}
	r.about(d.Adversarial)
	if c.Kind == Adaptive {
		if err := writeArrays(filepath.Join(b.dir(c), advFile), adversarialArrays(rows, d.Adversarial)); err != nil {
			return err
		}
	}
	return writeArrays(filepath.Join(b.dir(c), scoresFile), attackedArrays(d))
}

// other opens the detector that a transfer attack is made on.
func (b *Bench) other(ctx context.Context, c *Cell) error {
	if b.open.other != nil && b.open.other.Key == c.Key {
		return nil
	}
	if err := b.open.closeTransfer(); err != nil {
		return err
	}
	d, err := b.guard(ctx, c)
	if err != nil {
		return err
	}
	b.open.transfer, b.open.other = d, c
	return nil
}
