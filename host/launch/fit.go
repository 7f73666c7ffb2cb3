package launch

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	"github.com/vaeguard/vaeguard/sdk"
)

// Fit trains the plugin and checks the result. A plugin that crashes starts
// again from the beginning: same seed, same bytes. Progress may therefore begin
// again. Afterwards restarts configure with what the Fit gave, relative to
// o.OutputDir; call Moved if the files go elsewhere.
func (c *Classifier) Fit(ctx context.Context, data sdk.TrainingData, o sdk.FitOptions) (sdk.FitDone, error) {
	info, err := c.learner(data.X.Example())
	if err != nil {
		return sdk.FitDone{}, c.fault(OpPreprocess, nil, err)
	}
	if !info.Trainable {
		return sdk.FitDone{}, c.fault("fit", nil, sdk.Errorf(sdk.Unimplemented, "it cannot be trained"))
	}
	dir, err := filepath.Abs(o.OutputDir) // the plugin may have another working folder
	if err != nil {
		return sdk.FitDone{}, err
	}
	o.OutputDir = dir
	wire := data
	wire.X, wire.ValX = info.toPlugin(data.X), info.toPlugin(data.ValX)
	first := c.replicas[0]
	held := c.o.confined(c.cmd.Command)
	if held { // where a process may write is settled when it starts
		c.mayWrite(dir)
		defer c.mayWrite()
		first.end()
	}
	done, err := try(ctx, c, first, "fit", 0, func(ctx context.Context, p *process) (sdk.FitDone, error) {
		return c.fit(ctx, p, wire, o)
	})
	if err != nil {
		return sdk.FitDone{}, err
	}
	c.mu.Lock()
	c.config.JSON, c.config.BaseDir, c.fitted = done.ConfigJSON, o.OutputDir, true
	c.identity.info.Digest, c.identity.learnt = done.Digest, true // a restart must come back as this
	c.mu.Unlock()
	if err := c.refresh(ctx, first, done.Digest); err != nil {
		return sdk.FitDone{}, err
	}
	again := c.replicas[1:] // the others restart, with the weights
	if held {
		again = c.replicas // and one that may still write to them
		c.mayWrite()
	}
	for _, r := range again {
		r.end()
		if _, err := r.process(ctx); err != nil {
			return sdk.FitDone{}, err
		}
	}
	c.mu.RLock()
	done.Digest = c.info.Digest
	c.mu.RUnlock()
	return done, c.verify(ctx, data.X)
}

// mayWrite says which folders a confined process may write to that is started from then on.
func (c *Classifier) mayWrite(dirs ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writes = dirs
}

// fit is one attempt, killed when no event comes for Options.FitSilence, or when it
// takes longer than Options.FitTimeout, whatever it reports.
func (c *Classifier) fit(ctx context.Context, p *process, data sdk.TrainingData, o sdk.FitOptions) (sdk.FitDone, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silent := fmt.Errorf("no progress within %v (classifier.fit_silence), so it was killed", c.o.FitSilence)
	watch := newAlarm(c.o.FitSilence, func() { cancel(silent) })
	defer watch.stop()
	long := fmt.Errorf("not done within %v (classifier.fit_timeout), so it was killed", c.o.FitTimeout)
	end := newAlarm(c.o.FitTimeout, func() { cancel(long) })
	defer end.stop()
	var mu sync.Mutex
	progress := o.Progress
	o.Progress = func(e sdk.FitProgress) {
		mu.Lock()
		defer mu.Unlock()
		watch.again()
		if progress != nil {
			progress(e)
		}
	}
	done, err := p.rpc.Fit(ctx, data, o)
	if err == nil {
		watch.stop() // nothing more is reported
		err = accept(ctx, o.OutputDir, done)
	}
	if cause := context.Cause(ctx); err != nil && (errors.Is(cause, silent) || errors.Is(cause, long)) {
		if p.run != nil {
			_ = p.run.Kill(ctx)
		}
		return done, sdk.Errorf(sdk.FailedPrecondition, "%w", cause)
	}
	return done, err
}

// refresh asks a trained plugin for its new description. One that dies before
// it answers starts again with what it has learnt.
func (c *Classifier) refresh(ctx context.Context, r *replica, digest string) error {
	info, err := try(ctx, c, r, "describe", c.o.CallTimeout, func(ctx context.Context, p *process) (sdk.Info, error) {
		return p.rpc.Info(ctx)
	})
	if err != nil {
		return err
	}
	p := r.current()
	switch {
	case !info.Ready:
		return c.fault("describe", p, fmt.Errorf("it is not ready after its training"))
	case info.Digest != digest:
		return c.fault("describe", p, fmt.Errorf("it describes itself as %s after a training that ended with %s", info.Digest, digest))
	}
	c.mu.RLock()
	before := c.identity
	c.mu.RUnlock()
	if what := before.changed(info); what != "" {
		return c.fault("describe", p, fmt.Errorf("its training made another plugin of it: %s", what))
	}
	if err := info.Validate(); err != nil {
		return c.fault("describe", p, err)
	}
	if err := c.describe(before.schema, info); err != nil {
		return c.fault(OpPreprocess, p, err)
	}
	return nil
}

// Moved says that the files of a Fit are in dir now.
func (c *Classifier) Moved(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.config.BaseDir = dir
	c.mu.Unlock()
	return nil
}
