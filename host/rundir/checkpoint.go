package rundir

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/vaeguard/vaeguard/host/artifact/safetensors"
	"github.com/vaeguard/vaeguard/host/launch"
	"github.com/vaeguard/vaeguard/host/train"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

const (
	checkpointFile = "state.safetensors"
	progressKey    = "progress" // of the file's metadata: one file, so that it is whole or absent
)

// Resumable reports whether something took time to make: a checkpoint, or a
// trained classifier.
func (d *Dir) Resumable() bool {
	for _, name := range []string{d.File("checkpoints", "last"), d.File(ClassifierDir, launch.FitFile)} {
		if _, err := os.Stat(name); err == nil {
			return true
		}
	}
	return false
}

// WriteCheckpoint saves a state as checkpoints/last, and as checkpoints/best
// if it is the best epoch's.
func (d *Dir) WriteCheckpoint(s *train.State) error {
	if err := d.writeState("last", s); err != nil {
		return err
	}
	if s.IsBest() {
		return d.writeState("best", s)
	}
	return nil
}

func (d *Dir) writeState(name string, s *train.State) error {
	dir := d.File("checkpoints", name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	progress, err := s.MarshalProgress()
	if err != nil {
		return err
	}
	var named []safetensors.Named
	for _, n := range slices.Sorted(maps.Keys(s.Tensors)) {
		named = append(named, safetensors.Named{Name: n, Tensor: s.Tensors[n]})
	}
	if err := safetensors.Write(filepath.Join(dir, checkpointFile), named, map[string]string{progressKey: string(progress)}); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	return nil
}

// ReadCheckpoint is checkpoints/last, nil if there is none yet.
func (d *Dir) ReadCheckpoint() (*train.State, error) {
	path := d.File("checkpoints", "last", checkpointFile)
	f, err := safetensors.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	tensors := map[string]*tensor.Tensor{}
	for _, n := range f.Tensors {
		tensors[n.Name] = n.Tensor
	}
	s, err := train.ReadState([]byte(f.Metadata[progressKey]), tensors)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}
