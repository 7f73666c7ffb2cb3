package host

import (
	"errors"
	"fmt"
	"os"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/train"
)

// badBatchFile holds the batch that a training broke on: rows, the indices
// among the training rows, and x, what they are.
const badBatchFile = "bad-batch.npz"

// dumpBatch writes the batch of a *train.BatchError into the run and adds to
// the error where it lies. Other errors stay as they are.
func (e *Experiment) dumpBatch(run *RunDir, err error) error {
	var bad *train.BatchError
	if !errors.As(err, &bad) {
		return err
	}
	data, readErr := e.Rows(RoleTrain)
	if readErr != nil {
		return errors.Join(err, readErr)
	}
	x := make([]float32, 0, len(bad.Rows)*data.X.Stride())
	for _, i := range bad.Rows {
		x = append(x, data.X.Row(i)...)
	}
	path := run.File(badBatchFile)
	writeErr := WriteFileAtomic(path, func(f *os.File) error {
		return dataset.WriteNPZStored(f, []dataset.Array{
			{Name: "rows", Shape: []int{len(bad.Rows)}, Data: bad.Rows},
			{Name: "x", Shape: append([]int{len(bad.Rows)}, data.X.Example()...), Data: x},
		})
	})
	if writeErr != nil {
		return errors.Join(err, writeErr)
	}
	return fmt.Errorf("%w; the batch is in %s, earlier checkpoints are as they were", err, path)
}
