package host

import (
	"context"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/vaeguard/vaeguard/host/evaluate"
	"github.com/vaeguard/vaeguard/host/rundir"
	"github.com/vaeguard/vaeguard/host/spec"
	"github.com/vaeguard/vaeguard/host/track"
	"github.com/vaeguard/vaeguard/host/train"
)

// TrackOptions say where the figures of a run are told besides its folder.
type TrackOptions struct {
	To []string // of Components.Trackers, NAME or NAME:TARGET each; nil: nowhere
	// Name, Group and Beside are those of track.Run; "": the run folder's name, the
	// spec's, and paths in the run's folder or next to the detector.
	Name, Group, Beside string
}

// stateFile keeps, in a run's folder, what resumes it at its trackers.
const stateFile = "track.json"

// track begins a run at its trackers; nil if there are none.
func (e *Experiment) track(ctx context.Context, run *rundir.Dir, out string, o RunOptions) *track.Session {
	chosen, err := track.Parse(e.c.Trackers, o.Track.To)
	if err != nil { // checkTrack has found none
		return nil
	}
	r := track.Run{Name: o.Track.Name, Group: o.Track.Group, Beside: o.Track.Beside, Resume: o.Resume, At: time.Now()}
	if r.Name == "" {
		r.Name = filepath.Base(filepath.Clean(out))
	}
	if r.Group == "" {
		r.Group = e.Spec.Title()
	}
	leaves, err := spec.Leaves(e.Spec.Resolved())
	if err != nil {
		e.o.logger().Warn("trackers are not told the spec", "error", err)
	}
	for _, l := range leaves {
		r.Params = append(r.Params, track.Param{Name: l.Path, Value: l.Value})
	}
	session := track.Open(ctx, chosen, r, track.Settings{State: run.File(stateFile), Warn: func(text string) { e.o.logger().Warn(text) }})
	run.Watch = func(rec train.Record) {
		values := []track.Value{}
		for _, m := range rec.Metrics {
			values = append(values, track.Value(m))
		}
		session.Metrics(rec.Epoch, append(values, track.Value{Name: "learning_rate", Value: rec.Rate}, track.Value{Name: "seconds", Value: rec.Seconds}))
	}
	return session
}

// checkTrack refuses trackers that there are not, and targets that are none, before
// anything is run.
func (e *Experiment) checkTrack(o RunOptions) error {
	_, err := track.Parse(e.c.Trackers, o.Track.To)
	return err
}

// outcome is how a run ended whose error is err.
func outcome(ctx context.Context, err error) track.Outcome {
	switch {
	case err == nil:
		return track.Finished
	case ctx.Err() != nil:
		return track.Interrupted
	}
	return track.Failed
}

// trackThreshold tells a detector's threshold, at the last epoch.
func trackThreshold(s *track.Session, d *Detector, step int) {
	if t := d.Threshold(); !math.IsNaN(t.Value) {
		s.Metrics(step, []track.Value{{Name: "threshold", Value: t.Value}})
	}
}

// trackReport tells the figures of an evaluation by their names in report.json, and
// the files of the run that say the rest.
func trackReport(s *track.Session, r *evaluate.Report, run *rundir.Dir, step int) {
	values := []track.Value{
		{Name: "classifier.accuracy", Value: r.Classifier.Accuracy}, {Name: "clean.fpr", Value: r.Clean.FPR},
		{Name: "clean.accuracy_corrected", Value: r.Clean.AccuracyCorrected},
	}
	add := func(prefix, name string, v evaluate.Number) {
		values = append(values, track.Value{Name: prefix + name, Value: float64(v)})
	}
	for _, a := range r.Attacks {
		at := "attacks." + a.ID
		add(at, ".success_rate", a.SuccessRate)
		add(at, ".detected", a.Detected)
		add(at, ".auc", a.AUC)
		add(at, ".accuracy", evaluate.Number(a.Accuracy))
		add(at, ".accuracy_corrected", evaluate.Number(a.AccuracyCorrected))
	}
	for _, a := range r.Adaptive {
		at := "adaptive." + a.ID
		add(at, ".auc", a.AUC)
		if a.FalseAlarms != nil {
			add(at, ".false_alarms", *a.FalseAlarms)
		} else {
			add(at, ".evaded", a.Evaded)
		}
	}
	if u := r.AdaptiveUnion; u != nil {
		add("adaptive_union", ".evaded", u.Evaded)
	}
	if w := r.WorstCase; w != nil {
		add("worst_case", ".detected", w.Detected)
		add("worst_case", ".accuracy_corrected", w.AccuracyCorrected)
	}
	s.Metrics(step, slices.DeleteFunc(values, func(v track.Value) bool { return math.IsNaN(v.Value) }))
	for _, name := range []string{rundir.SpecFile, "report.json", "report.html"} {
		s.Artifact(run.File(name))
	}
}

// lastEpoch is the number of the last epoch of a run's training; 0: none was
// trained.
func lastEpoch(history []train.Record) int {
	if len(history) == 0 {
		return 0
	}
	return history[len(history)-1].Epoch
}

// beside is what the paths next to a detector begin with.
func beside(detector string) string { return strings.TrimRight(filepath.Clean(detector), `/\`) + "." }
