package host

import (
	"context"
	"fmt"

	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/health"
	"github.com/vaeguard/vaeguard/host/rundir"
	"github.com/vaeguard/vaeguard/host/train"
	"github.com/vaeguard/vaeguard/sdk"
)

// judge is how the guard will flag rows, for a hardened training that measures how
// robust it is; nil where the training has its own way: for votes over noisy copies, which it
// counts, and for a network of a grid, which has no scores until detectors are made of it.
func (s *Spec) judge(ctx context.Context, cl sdk.Classifier, g *guard) (train.Judge, error) {
	if _, votes := g.opinion.(detect.Smoothing); votes || s.Train == nil || s.Train.Harden == nil || g.opinion.Form().Rebuilt == 0 {
		return nil, nil
	}
	info, err := cl.Info(ctx)
	if err != nil {
		return nil, err
	}
	o := s.Detector.Options()
	if len(o.Scores) == 0 {
		return nil, nil
	}
	o.Hidden = g.heads
	return detect.NewJudge(o, info, s.Threshold)
}

// judgeName stands for what the judge of a training goes by, besides what the training's digest
// has: a resumption may change it.
func (s *Spec) judgeName() string {
	t := *s.training()
	t.Detector.Score, t.Detector.Fusion, t.Threshold = s.Detector.Score, s.Detector.Fusion, s.Threshold
	return sha(t.Resolved())
}

// measured is what the guard's training measured; nil, also of nil: nothing.
func (g *guard) measured() *health.Hardened {
	if g == nil {
		return nil
	}
	return g.hardened
}

// hardened is what a finished training says of how robust it is; nil: nothing. An epoch
// before the last one that is kept is told.
func (e *Experiment) hardened(r *train.Result, run *rundir.Dir) *health.Hardened {
	if r == nil || r.Robustness == nil {
		return nil
	}
	h := health.Hardened(*r.Robustness)
	if h.Epoch < h.Epochs {
		text := fmt.Sprintf("the weights of epoch %d of %d are kept: there %s is %.2f, after the last one %.2f", h.Epoch, h.Epochs, train.NameRobust, h.Share, h.Last)
		e.o.logger().Info(text)
		_ = run.Event("kept", map[string]any{"epoch": h.Epoch, "epochs": h.Epochs, train.NameRobust: h.Share, "last": h.Last})
	}
	return &h
}
