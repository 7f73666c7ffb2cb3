// Package track tells the figures of a run to programs that people watch runs
// with. A Tracker is a component; what happens to it never happens to the run: it
// works behind a queue, has a time for each call, and after its first failure is
// left alone, with one warning.
package track

import (
	"context"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/vaeguard/vaeguard/host/registry"
)

// Tracker is where figures of runs go besides their own folders.
type Tracker interface {
	// Check refuses a target that cannot be one, before anything is run. "" stands
	// for the tracker's own choice.
	Check(target string) error
	// Start begins a run, or resumes it.
	Start(ctx context.Context, r Run) (Log, error)
}

// Log is one run at a tracker. Its methods are called one at a time, and none after
// one has failed.
type Log interface {
	// ID is what Run.ID is when the run is resumed; "": nothing is needed.
	ID() string
	// Metrics are values of a step, which is an epoch from 1 on, or 0 where nothing
	// was trained.
	Metrics(ctx context.Context, step int, at time.Time, values []Value) error
	// Artifact is a file of the run that is done. Trackers that keep none ignore it.
	Artifact(ctx context.Context, path string) error
	// Close ends the run.
	Close(ctx context.Context, o Outcome) error
}

// Run is what a tracker hears of a run at its start.
type Run struct {
	Name   string  // of the run
	Group  string  // of those that belong together: the experiment's name
	Target string  // what the user wrote after the tracker's name and a colon; "": nothing
	Beside string  // a path that what the tracker writes by itself begins with: see File
	ID     string  // of the Log that is resumed; "": it is new
	Resume bool    // the run is one that was interrupted
	Params []Param // the resolved spec
	At     time.Time
}

// File is where a tracker writes by itself, without a target.
func (r Run) File(name string) string { return r.Beside + name }

// Param is one value of the spec, as the file has it, variables unexpanded.
type Param struct{ Name, Value string } // attacks[0].pgd.eps

// Value is one figure.
type Value struct {
	Name  string // loss, val_loss, attacks.pgd.detected
	Value float64
}

// Outcome is how a run ended.
type Outcome string

// The outcomes.
const (
	Finished    Outcome = "finished"
	Failed      Outcome = "failed"
	Interrupted Outcome = "interrupted" // it can be resumed
)

// Chosen is a tracker and its target, as --track names them.
type Chosen struct {
	Name, Target string
	Tracker      Tracker
}

// Parse reads NAME or NAME:TARGET, each once.
func Parse(table registry.Table[Tracker], list []string) ([]Chosen, error) {
	var out []Chosen
	for _, text := range list {
		name, target, with := strings.Cut(text, ":")
		t, err := table.Lookup(name)
		if err != nil {
			return nil, err
		}
		if with && target == "" {
			return nil, fmt.Errorf("%s: nothing follows the colon", text)
		}
		if err := t.Check(target); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		c := Chosen{name, target, t}
		if !slices.ContainsFunc(out, func(o Chosen) bool { return o.String() == c.String() }) {
			out = append(out, c)
		}
	}
	return out, nil
}

// String is the tracker as --track names it, without what a URL says of a user and
// a password.
func (c Chosen) String() string {
	if c.Target == "" {
		return c.Name
	}
	return c.Name + ":" + Shown(c.Target)
}

// Shown is a target that may be shown and kept: a URL without user, password and
// query.
func Shown(target string) string {
	u, err := url.Parse(target)
	if err != nil || u.Scheme == "" || u.Host == "" {
		return target
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}

// Local is the path of a target that is a file URL or a path; false: it is another
// URL.
func Local(target string) (path string, ok bool) {
	if !strings.Contains(target, "://") && !strings.HasPrefix(target, "file:") {
		return filepath.FromSlash(target), true
	}
	u, err := url.Parse(target)
	if err != nil || u.Scheme != "file" || u.Host != "" && u.Host != "localhost" || u.Path == "" {
		return "", false
	}
	path = u.Path
	if filepath.Separator == '\\' { // file:///C:/runs
		path = strings.TrimPrefix(path, "/")
	}
	return filepath.FromSlash(path), true
}
