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
}

// TrainOptions say where a detector goes.
type TrainOptions = RunOptions

// InterruptedError is a training that was cut short and saved.
type InterruptedError struct {
	Command string // shell command that resumes it
	Err     error
}

// Error names the command that resumes it.
func (e *InterruptedError) Error() string {
	return fmt.Sprintf("interrupted; everything up to the last batch is saved. Resume with:\n  %s", e.Command)
}

// Unwrap is the cause, context.Canceled mostly.
func (e *InterruptedError) Unwrap() error { return e.Err }

// Run does the whole experiment into a run directory: the classifier, the
// detector, its threshold, the attacks, the report. A resumed run ends with the
// same bits as one that was never interrupted.
func (e *Experiment) Run(ctx context.Context, o RunOptions) (_ *evaluate.Report, err error) {
	defer func() { err = e.Spec.Unexpanded(err) }()
	if faults := e.Spec.Require("run", "data.train", "data.test", "classifier"); len(faults) > 0 {
		return nil, faults
	}
	if faults := e.Spec.configFaults(e.Spec.Document, e.c); len(faults) > 0 {
		return nil, faults
	}
	run, err := e.openRun(o)
	if err != nil {
		return nil, err
	}
	defer run.Close()
	d, err := e.trainInto(ctx, run, run.File(rundir.DetectorDir), o.Classifier)
	if err != nil {
		var refused spec.Errors
		if errors.As(err, &refused) && !o.Resume && !run.Resumable() { // before anything was done: the spec is not to be kept
			err = errors.Join(err, run.Remove())
		}
		return nil, interrupted(ctx, o.Command, err)
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
		case o.Resume && e.made(o.Out): // it was cut short after its last step
		case !o.Force:
			return nil, fmt.Errorf("%s exists; --force moves it aside", o.Out)
		default:
			if err := rundir.MoveAside(o.Out); err != nil {
				return nil, err
			}
		}
	}
	out := o.Out
	o.Out = filepath.Clean(out) + ".partial"
	o.Force = true
	if faults := e.Spec.configFaults(e.Spec.Document, e.c); len(faults) > 0 {
		return nil, faults
	}
	run, err := e.openRun(o)
	if err != nil {
		return nil, err
	}
	artifact.Sweep(out) // while the lock is held
	d, err := e.trainInto(ctx, run, out, o.Classifier)
	run.Close()
	if err != nil {
		if ctx.Err() == nil && !run.Resumable() {
			err = errors.Join(err, run.Remove())
		}
		return nil, interrupted(ctx, o.Command, err)
	}
	return d, run.Remove()
}

// made reports whether the detector in a folder is this experiment's.
func (e *Experiment) made(dir string) bool {
	saved, err := artifact.Load(dir)
	return err == nil && bytes.Equal(saved.Spec, e.Spec.Resolved())
}

func interrupted(ctx context.Context, command string, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return &InterruptedError{Command: command, Err: errors.Join(ctx.Err(), err)}
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
	resolved := e.Spec.Resolved()
	if before, err := os.ReadFile(run.File(rundir.SpecFile)); err == nil && !bytes.Equal(before, resolved) {
		run.Close()
		return nil, fmt.Errorf("%s was made from another spec: resume with the same one, or start a new run elsewhere", o.Out)
	}
	env := map[string]any{
		"version": Version(), "go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH,
		"cpus": runtime.NumCPU(), "started": time.Now().UTC().Format(time.RFC3339), "spec_sha256": sha(resolved),
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
	if _, err := os.Stat(filepath.Join(out, artifact.MetaFile)); err == nil {
		return OpenContext(ctx, out, e.c, OpenOptions{Options: e.o, Base: e.Spec.Abs(".")})
	}
	e.rows.temp, e.rows.cancelled = filepath.Dir(filepath.Clean(run.Path)), ctx.Err
	if err := e.readAll(); err != nil {
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
	source, err := e.gradientSource(ctx, cl, e.gradientEvents(run.Event))
	defer func() {
		if err != nil {
			err = errors.Join(closeSource(source, err), cl.Close())
		}
	}()
	if err != nil {
		return nil, err
	}
	g, err := e.makeGuard(ctx, modelOf(cl, source), from)
	if err == nil {
		err = e.fit(ctx, modelOf(cl, source), g, from, run)
	}
	if err != nil {
		return nil, errors.Join(err, run.Event("failed", map[string]any{"error": e.Spec.Unexpand(err.Error())}))
	}
	if source, err = e.settleSource(ctx, source); err != nil {
		return nil, err
	}
	g.source = source
	d, err := e.calibrated(ctx, cl, g)
	if err != nil {
		return nil, err
	}
	if e.Spec.Classifier.Model.Train == nil {
		classifier = ""
	}
	if err := d.save(ctx, out, classifier, g); err != nil {
		return nil, err
	}
	return d, run.Event("saved", map[string]any{"detector": d.Digest(), "threshold": d.Threshold().Value})
}

// calibrated is the detector of a trained opinion, with its threshold.
func (e *Experiment) calibrated(ctx context.Context, cl *launch.Classifier, g *guard) (*Detector, error) {
	d, err := g.detector(ctx, e, cl, detect.State{})
	if err != nil || e.Spec.Threshold == nil {
		return d, err
	}
	x, err := e.optional(dataset.RoleCalibration)
	if err != nil {
		return nil, err
	}
	t, err := d.Calibrate(ctx, x, *e.Spec.Threshold)
	if err != nil {
		return nil, e.Spec.Errorf("threshold", "%v", err)
	}
	e.o.progress(Progress{Stage: "calibrate", Done: 1, Total: 1, Ended: true, Metrics: map[string]float64{"threshold": t.Value, "n": float64(t.N)}})
	return d, nil
}
