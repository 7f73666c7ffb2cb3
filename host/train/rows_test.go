package train_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/train"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// file is a file of rows that can no longer be read after a number of batches.
type file struct {
	dataset.Examples
	left int
}

var errDisk = errors.New("x.npy: row 5: input/output error")

func (f *file) Gather(dst *tensor.Tensor, rows []int) error {
	if f.left--; f.left < 0 {
		return errDisk
	}
	return f.Examples.Gather(dst, rows)
}

// TestUnreadRows: a row that cannot be read ends the training at its step, with a
// checkpoint from which it goes on to the bits of one that was not cut short.
func TestUnreadRows(t *testing.T) {
	whole := options(t, 1)
	run(t, whole)
	o := options(t, 1)
	var state *train.State
	o.Save = func(s *train.State) error { state = s; return nil }
	const table, steps = 1, 5 // 150 rows in batches of 32; all of them at once for the table
	o.Train = &file{o.Train, table + steps + 2}
	_, err := train.Run(t.Context(), o)
	if !errors.Is(err, errDisk) || !strings.Contains(err.Error(), "epoch 2, step 3: data.train: x.npy: row 5") {
		t.Fatalf("training ends with %v", err)
	}
	again := options(t, 2)
	again.Resume, again.Train = state, &file{again.Train, 1 << 20}
	run(t, again)
	if !slices.Equal(weights(again.Model.Params()), weights(whole.Model.Params())) {
		t.Error("resumed, it ends with other weights")
	}
	o = options(t, 1)
	o.Train = &file{o.Train, 0}
	if _, err := train.Run(t.Context(), o); !errors.Is(err, errDisk) {
		t.Errorf("rows that cannot be read at all: %v", err)
	}
}
