package host

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/vaeguard/vaeguard/host/launch"
	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/sdk"
)

// Replica is a classifier that answers for reconstructions in the guarded one's
// place: a local copy of it, or another replica. Whether it is the same model is
// the caller's word, held by the detector's canaries. Naming it is consent to run it.
type Replica struct {
	Model   launch.Section `yaml:",inline"`
	Process launch.Process `yaml:",inline"`
	Base    string         `yaml:"-"` // folder of its relative paths
}

// Absent implements registry.Absenter.
func (r Replica) Absent() bool { return !r.Model.Named() }

// Validate implements registry.Validator.
func (r Replica) Validate() error {
	if r.Model.Train != nil {
		var faults registry.FieldErrors
		faults.Add("train", "a replica is not trained: its config names weights")
		return faults.Err()
	}
	return r.Model.Validate()
}

// startReplica starts it for the inputs and classes of the guarded classifier.
func (e *Experiment) startReplica(ctx context.Context, r Replica, info sdk.Info) (*launch.Classifier, error) {
	config, err := r.Model.ConfigJSON()
	if err != nil {
		return nil, err
	}
	base, err := filepath.Abs(r.Base)
	if err != nil {
		return nil, err
	}
	if r.Process.Checks == "" {
		r.Process.Checks = "strict"
	}
	cl, err := launch.New(ctx, r.Model, r.Process, launch.Deps{
		Finder: Plugins(), Base: base, Threads: e.o.Threads, Logger: e.o.logger(),
		Config: sdk.Config{JSON: config, BaseDir: base, InputShape: info.InputShape, Classes: info.NumClasses, Seed: e.Spec.Seed},
	})
	if err != nil {
		return nil, fmt.Errorf("reconstruct_with: %w", err)
	}
	return cl, nil
}
