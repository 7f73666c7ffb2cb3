package host

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/vaeguard/vaeguard/host/artifact"
	"github.com/vaeguard/vaeguard/host/atomicfile"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/evaluate"
	"github.com/vaeguard/vaeguard/host/launch"
	"github.com/vaeguard/vaeguard/host/rundir"
	"github.com/vaeguard/vaeguard/host/spec"
	"github.com/vaeguard/vaeguard/host/train"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// RunOptions say where a run goes.
type RunOptions struct {
	Out       string // run directory
	Resume    bool   // continue what an interrupted run left
	Force     bool   // move an existing run aside
	Command   string // shell command that resumes it, for the message after an interruption
	Reproduce string // shell command that reproduces the run, for the report; "": the report has none
	// Classifier is a folder that StartClassifier trained a classifier into,
	// which is guarded as it is; "": the run trains its own. Without a section
	// classifier.train it changes nothing.
	Classifier string
	// Track are the trackers that are told the figures of the run. One that fails
	// gets a warning and never ends the run.
	Track TrackOptions
}

// TrainOptions say where a detector goes.
type TrainOptions = RunOptions

// Run does the whole experiment into a run directory: the classifier, the
// detector, its threshold, the attacks, the report. A resumed run ends with the
// same bits as one that was never interrupted.
func (e *Experiment) Run(ctx context.Context, o RunOptions) (_ *evaluate.Report, err error) {
	defer func() { err = e.Spec.Unexpanded(err) }()
	if faults := e.Spec.Require("run", "data.train", "data.test", "classifier"); len(faults) > 0 {
		return nil, faults
	}
	if faults := append(e.Spec.configFaults(e.Spec.Document, e.c), e.Spec.testFaults(e.Spec.Document, e.c)...); len(faults) > 0 {
		return nil, faults
	}
	if err := e.checkTrack(o); err != nil {
		return nil, err
	}
	run, err := e.openRun(o)
	if err != nil {
		return nil, err
	}
	defer run.Close()
	if o.Track.Beside == "" {
		o.Track.Beside = filepath.Clean(run.Path) + string(filepath.Separator)
	}
	tracked := e.track(ctx, run, run.Path, o)
	defer func() { tracked.Close(outcome(ctx, err)) }()
	d, err := e.trainInto(ctx, run, run.File(rundir.DetectorDir), o.Classifier)
	if err != nil {
		var refused spec.Errors
		if errors.As(err, &refused) && !o.Resume && !run.Resumable() { // before anything was done: the spec is not to be kept
			err = errors.Join(err, run.Remove())
		}
		return nil, e.stopped(ctx, o, run, err)
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	report, details, err := d.Evaluate(ctx, EvaluateOptions{})
	if err != nil {
		return nil, interrupted(ctx, o.Command, err)
	}
	var history []train.Record
	if s, err := run.ReadCheckpoint(); err == nil && s != nil {
		history = s.Progress.History
	}
	if err := d.WriteReport(run.Path, report, details, ReportOptions{History: history, Command: o.Reproduce}); err != nil {
		return nil, err
	}
	trackThreshold(tracked, d, lastEpoch(history))
	trackReport(tracked, report, run, lastEpoch(history))
	return report, run.Event("done", map[string]any{"report": "report.json"})
}

// TrainTo trains and calibrates a detector into a directory. What it needs to
// resume is kept in a run directory next to it, OUT.partial, until it is done.
func (e *Experiment) TrainTo(ctx context.Context, o TrainOptions) (_ *Detector, err error) {
	defer func() { err = e.Spec.Unexpanded(err) }()
	if faults := e.Spec.Require("train", "data.train", "classifier"); len(faults) > 0 {
		return nil, faults
	}
	if _, err := os.Stat(o.Out); err == nil {
		switch {
		case o.Resume && (e.made(o.Out) || e.unfinished(o.Out) && exists(partial(o.Out))): // it was cut short after its last step
		case !o.Force:
			return nil, fmt.Errorf("%s exists; --force moves it aside", o.Out)
		default:
			if err := rundir.MoveAside(o.Out); err != nil {
				return nil, err
			}
		}
	}
	if err := e.checkTrack(o); err != nil {
		return nil, err
	}
	out := o.Out
	o.Out = partial(out)
	o.Force = true
	if faults := e.Spec.configFaults(e.Spec.Document, e.c); len(faults) > 0 {
		return nil, faults
	}
	run, err := e.openRun(o)
	if err != nil {
		return nil, err
	}
	artifact.Sweep(out) // while the lock is held
	if o.Track.Beside == "" {
		o.Track.Beside = beside(out)
	}
	tracked := e.track(ctx, run, out, o)
	defer func() { tracked.Close(outcome(ctx, err)) }()
	d, err := e.trainInto(ctx, run, out, o.Classifier)
	if err == nil {
		var history []train.Record
		if s, err := run.ReadCheckpoint(); err == nil && s != nil {
			history = s.Progress.History
		}
		trackThreshold(tracked, d, lastEpoch(history))
	}
	run.Close()
	if err != nil {
		if ctx.Err() == nil && !run.Resumable() {
			err = errors.Join(err, run.Remove())
		}
		return nil, e.stopped(ctx, o, run, err)
	}
	return d, run.Remove()
}

// partial is the run directory next to a detector to be.
func partial(out string) string { return filepath.Clean(out) + ".partial" }

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// made reports whether the detector in a folder is this experiment's.
func (e *Experiment) made(dir string) bool {
	saved, err := artifact.Load(dir)
	return err == nil && bytes.Equal(saved.Spec, e.Spec.Resolved())
}

// unfinished reports whether the detector in a folder lacks the threshold that
// the spec asks for: there was none to be had when it was trained.
func (e *Experiment) unfinished(dir string) bool {
	if e.Spec.Threshold == nil {
		return false
	}
	saved, err := artifact.Load(dir)
	return err == nil && saved.State.Threshold == nil
}

// stopped is the error of a run that ended early, with the command that goes on
// where it can.
func (e *Experiment) stopped(ctx context.Context, o RunOptions, run *rundir.Dir, err error) error {
	var u *UncalibratedError
	if errors.As(err, &u) && run.Resumable() {
		u.Command = o.Command
	}
	return interrupted(ctx, o.Command, err)
}

// openRun makes or reopens the directory and records what is run.
func (e *Experiment) openRun(o RunOptions) (*rundir.Dir, error) {
	if _, err := os.Stat(o.Out); err != nil && o.Resume {
		e.o.logger().Warn("there is nothing to resume: starting from scratch", "directory", o.Out)
	}
	run, err := rundir.Create(o.Out, o.Resume, o.Force)
	if err != nil {
		return nil, err
	}
	resolved, training := e.Spec.Resolved(), e.Spec.trainingDigest()
	if before, err := os.ReadFile(run.File(rundir.SpecFile)); err == nil && !bytes.Equal(before, resolved) {
		if trainingOf(run) != training {
			run.Close()
			return nil, fmt.Errorf("%s was made from another spec: resume with one that differs in %s alone, or start a new run elsewhere", o.Out, afterTraining)
		}
		if err := os.RemoveAll(run.File(rundir.DetectorDir)); err != nil { // the checkpoint has its weights
			run.Close()
			return nil, err
		}
	}
	env := map[string]any{
		"version": Version(), "go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH,
		"cpus": runtime.NumCPU(), "started": time.Now().UTC().Format(time.RFC3339), "spec_sha256": sha(resolved), trainingKey: training,
	}
	for name, data := range map[string]func() ([]byte, error){
		rundir.SpecFile:        func() ([]byte, error) { return resolved, nil },
		rundir.EnvironmentFile: func() ([]byte, error) { return json.MarshalIndent(env, "", "  ") },
	} {
		text, err := data()
		if err == nil {
			err = atomicfile.Write(run.File(name), func(f *os.File) error { _, err := f.Write(text); return err })
		}
		if err != nil {
			run.Close()
			return nil, err
		}
	}
	return run, run.Event("start", map[string]any{"resume": o.Resume, "spec": e.Spec.Title()})
}

// trainInto trains classifier and detector in the run, calibrates, and saves
// the detector to out. A detector that is there already is opened. classifier
// is the folder of a trained one, or "".
func (e *Experiment) trainInto(ctx context.Context, run *rundir.Dir, out, classifier string) (_ *Detector, err error) {
	unfinished := e.unfinished(out)
	if exists(filepath.Join(out, artifact.MetaFile)) && !unfinished {
		return OpenContext(ctx, out, e.c, e.ReopenOptions())
	}
	whole, read := e, e.rows // ctx is for this training alone
	read.temp, read.cancelled, read.glance = filepath.Dir(filepath.Clean(run.Path)), ctx.Err, true
	defer func() {
		if read.cancelled, read.glance = nil, false; err != nil {
			err = errors.Join(err, whole.unsettled())
		}
	}()
	if err := e.readAll(); err != nil {
		return nil, err
	}
	if err := e.checkRead(); err != nil {
		return nil, err
	}
	e, from, err := e.settled()
	if err != nil {
		return nil, err
	}
	if classifier == "" {
		classifier = run.File(rundir.ClassifierDir)
	}
	if classifier, err = filepath.Abs(classifier); err != nil {
		return nil, err
	}
	cl, err := e.StartClassifier(ctx, classifier)
	if err != nil {
		return nil, err
	}
	e.remember(cl)
	source, err := e.gradientSource(ctx, cl, e.gradientEvents(run.Event))
	defer func() {
		if err != nil {
			err = errors.Join(closeSource(source, err), cl.Close())
		}
	}()
	if err == nil {
		err = e.checkStarted(ctx, cl, run)
	}
	if err != nil {
		return nil, err
	}
	g, err := e.makeGuard(ctx, modelOf(cl, source), from)
	if err == nil {
		err = e.fit(ctx, modelOf(cl, source), g, from, run)
	}
	if err == nil {
		err = e.settle()
	}
	if err != nil {
		return nil, errors.Join(err, run.Event("failed", map[string]any{"error": e.Spec.Unexpand(err.Error())}))
	}
	if source, err = e.settleSource(ctx, source); err != nil {
		return nil, err
	}
	g.source = source
	d, err := g.detector(ctx, e, cl, detect.State{})
	if err != nil {
		return nil, err
	}
	calibration := e.calibrate(ctx, d)
	if calibration != nil && ctx.Err() != nil {
		return nil, calibration
	}
	if e.Spec.Classifier.Model.Train == nil {
		classifier = ""
	}
	if unfinished {
		if err := os.RemoveAll(out); err != nil {
			return nil, err
		}
	}
	if err := d.save(ctx, out, classifier, g); err != nil {
		return nil, errors.Join(calibration, err)
	}
	if calibration != nil {
		err = &UncalibratedError{Detector: out, Err: calibration}
		return nil, errors.Join(err, d.Detector.Close(), run.Event("uncalibrated", map[string]any{"detector": d.Digest(), "error": e.Spec.Unexpand(calibration.Error())}))
	}
	fields := map[string]any{"detector": d.Digest(), "threshold": d.Threshold().Value}
	if h := d.Saved.Meta.Health; h != nil {
		fields["queries_for_health"] = h.Queries
	}
	return d, run.Event("saved", fields)
}

// checkStarted is checkModel for a classifier that has been started.
func (e *Experiment) checkStarted(ctx context.Context, cl *launch.Classifier, run *rundir.Dir) error {
	info, err := cl.Info(ctx)
	if err != nil {
		return err
	}
	return e.checkModel(info.InputShape, info.NumClasses, info.Classes, func(message string) {
		e.o.logger().Warn(message)
		_ = run.Event("warning", map[string]any{"message": message})
	})
}

// calibrate gives a trained detector its threshold, if the spec has a rule.
func (e *Experiment) calibrate(ctx context.Context, d *Detector) error {
	if e.Spec.Threshold == nil {
		return nil
	}
	var x *tensor.Tensor
	var labels []int
	if e.Spec.Data.Calibration != nil {
		rows, err := e.Rows(dataset.RoleCalibration)
		if err != nil {
			return err
		}
		x, labels = rows.X, rows.Labels
	}
	t, seen, err := d.CalibrateDetect(ctx, x, labels, *e.Spec.Threshold, healthParts)
	if err != nil {
		return e.Spec.Errorf("threshold", "%v", err)
	}
	d.calibrated = seen
	e.o.progress(Progress{Stage: "calibrate", Done: 1, Total: 1, Ended: true, Metrics: map[string]float64{"threshold": t.Value, "n": float64(t.N)}})
	return nil
}
