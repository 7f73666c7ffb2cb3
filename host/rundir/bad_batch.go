package rundir

import (
	"errors"
	"fmt"
	"os"

	"github.com/vaeguard/vaeguard/host/atomicfile"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/train"
)

// badBatchFile holds the batch that a training broke on: rows, the indices
// among the training rows, and x, what they are.
const badBatchFile = "bad-batch.npz"

// DumpBatch writes the batch of a *train.BatchError into the run, and adds to
// the error where it is. x are the training rows. Other errors stay as they
// are.
func (d *Dir) DumpBatch(x dataset.Examples, err error) error {
	var bad *train.BatchError
	if !errors.As(err, &bad) {
		return err
	}
	rows, unread := dataset.Take(x, bad.Rows)
	if unread != nil {
		return errors.Join(err, unread)
	}
	path := d.File(badBatchFile)
	writeErr := atomicfile.Write(path, func(f *os.File) error {
		return dataset.WriteNPZStored(f, []dataset.Array{
			{Name: "rows", Shape: []int{len(bad.Rows)}, Data: bad.Rows},
			{Name: "x", Shape: append([]int{len(bad.Rows)}, x.Example()...), Data: rows.Data},
		})
	})
	if writeErr != nil {
		return errors.Join(err, writeErr)
	}
	return fmt.Errorf("%w; the batch is in %s, earlier checkpoints are unchanged", err, path)
}
