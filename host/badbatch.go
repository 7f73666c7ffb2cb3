package host

import (
	"archive/zip"
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
		return writeNPZ(f, []namedArray{
			{"rows", dataset.Array{Shape: []int{len(bad.Rows)}, Data: bad.Rows}},
			{"x", dataset.Array{Shape: append([]int{len(bad.Rows)}, data.X.Example()...), Data: x}},
		})
	})
	if writeErr != nil {
		return errors.Join(err, writeErr)
	}
	return fmt.Errorf("%w; the batch is in %s, earlier checkpoints are as they were", err, path)
}

type namedArray struct {
	name  string
	array dataset.Array
}

func writeNPZ(f *os.File, arrays []namedArray) error {
	z := zip.NewWriter(f)
	for _, a := range arrays {
		w, err := z.CreateHeader(&zip.FileHeader{Name: a.name + ".npy", Method: zip.Store})
		if err == nil {
			err = dataset.WriteNPY(w, a.array)
		}
		if err != nil {
			return err
		}
	}
	return z.Close()
}
