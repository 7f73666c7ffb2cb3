// Package vaebeam scores rows in a pipeline of Apache Beam: its elements are
// shards, as `vaeguard detect --shard` has them, and each is scored by the library
// in the worker. It is a module of its own, so that Beam is no dependency of
// anything else.
//
// The program of a pipeline calls ServeIfPlugin before all else: classifiers
// that ship with vaeguard run as that program once more.
package vaebeam

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/scoring"
)

// Job is what a pipeline scores. Its paths are files that every worker sees, on a
// shared folder for instance; Beam's own file systems (gs://) are not read.
type Job struct {
	Detector string // a folder, a run or a pack
	Data     string // a file, a folder of images, or a pattern of files: in/*.parquet
	Out      string // folder of the results, which `vaeguard merge` makes one table of
	Shards   int    // number of parts, >= 1

	// Read says how rows are read; Stdin and Batches are not used.
	Read host.ReadOptions
	// Score says what is written of them.
	Score scoring.Options
	// Base, Classifier, AllowCommand and AllowLock are those of host.OpenOptions.
	Base         string
	Classifier   []string
	AllowCommand []string
	AllowLock    string
	// Idle is how long a worker keeps a detector open that has nothing to do; 0: 10 s.
	Idle time.Duration
}

// Done is a shard whose results are in the folder.
type Done struct {
	Shard   int  // from 0
	Before  bool // an earlier attempt, or pipeline, had done it
	Rows    int  // scored or not
	Flagged int  // of them adversarial
	Errors  int  // of them not scored
	// Restarts is how often the worker's plugin was started again since the shard
	// before: what was lost in the middle.
	Restarts int
	SHA256   string // of the results
}

// Detect scores the rows of a job and gives a Done for each shard. A shard that a
// runner tries again, or gives to two workers at once, has the same bytes, and one
// that is done is not done again.
//
// It panics with an error if the job lacks something, as Beam's own transforms do.
func Detect(s beam.Scope, job Job) beam.PCollection {
	s = s.Scope("vaeguard.Detect")
	if err := job.Check(); err != nil {
		panic(err)
	}
	job.Read.Stdin, job.Read.Batches = nil, false
	text, err := json.Marshal(job)
	if err != nil {
		panic(err)
	}
	numbers := make([]int, job.Shards)
	for i := range numbers {
		numbers[i] = i
	}
	spread := beam.Reshuffle(s, beam.CreateList(s, numbers)) // else a runner may fuse them into one bundle
	return beam.ParDo(s, &scoreFn{Job: string(text)}, spread)
}

// Check reports what a job lacks.
func (j Job) Check() error {
	switch {
	case j.Detector == "" || j.Data == "" || j.Out == "":
		return errors.New("vaebeam: a job needs Detector, Data and Out")
	case j.Data == "-":
		return errors.New("vaebeam: standard input cannot be shared out: give a file, a folder, or a pattern of files")
	case j.Shards < 1:
		return fmt.Errorf("vaebeam: %d shards: want 1 or more", j.Shards)
	case j.Idle < 0:
		return fmt.Errorf("vaebeam: Idle of %v: want 0 or more", j.Idle)
	}
	return nil
}

// scoreFn scores a shard an element.
type scoreFn struct {
	Job string // in JSON: Beam has no schema for all that it holds

	job Job
}

func init() {
	register.DoFn2x2[context.Context, int, Done, error](&scoreFn{})
	beam.RegisterType(reflect.TypeFor[Done]())
}

// Setup reads the job.
func (f *scoreFn) Setup() error {
	return json.Unmarshal([]byte(f.Job), &f.job)
}

// ProcessElement scores one shard.
func (f *scoreFn) ProcessElement(ctx context.Context, shard int) (_ Done, err error) {
	d, err := shared.take(ctx, f.Job, f.job)
	if err != nil {
		return Done{}, err
	}
	defer func() { err = errors.Join(err, shared.give(f.Job, d, err != nil)) }()
	s := scoring.Shard{I: shard, N: f.job.Shards, Data: f.job.Data, Out: f.job.Out, Resume: true, Read: f.job.Read, Options: f.job.Score}
	m, before, err := s.Run(ctx, d.Detector)
	restarts := shared.restarts(d)
	if err != nil {
		return Done{}, fmt.Errorf("shard %d of %d: %w", shard, f.job.Shards, err)
	}
	return Done{
		Shard: shard, Before: before, Rows: m.Tally.Rows, Flagged: m.Tally.Flagged, Errors: m.Tally.Errors,
		Restarts: restarts, SHA256: m.Output.SHA256,
	}, nil
}
