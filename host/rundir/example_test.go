package rundir_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/vaeguard/vaeguard/host/rundir"
	"github.com/vaeguard/vaeguard/host/train"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// A run keeps metrics by epoch, and a checkpoint to go on from.
func ExampleCreate() {
	folder, err := os.MkdirTemp("", "rundir")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(folder)
	d, err := rundir.Create(filepath.Join(folder, "first"), false, false)
	if err != nil {
		log.Fatal(err)
	}
	defer d.Close()
	for epoch, loss := range []float64{.75, .5} {
		if err := d.Metrics(epoch+1, map[string]float64{"loss": loss}); err != nil {
			log.Fatal(err)
		}
	}
	text, err := os.ReadFile(d.File("metrics.csv"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(string(text))
	// Output:
	// epoch,loss
	// 1,0.75
	// 2,0.5
}

// A training that was cut short goes on from its last checkpoint.
func ExampleDir_WriteCheckpoint() {
	folder, err := os.MkdirTemp("", "rundir")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "first")
	d, err := rundir.Create(path, false, false)
	if err != nil {
		log.Fatal(err)
	}
	state := &train.State{
		Tensors:  map[string]*tensor.Tensor{"params/mean.kernel": tensor.From([]float32{1, 2}, 2, 1)},
		Progress: train.Progress{Version: 1, Epoch: 3},
	}
	if err := d.WriteCheckpoint(state); err != nil {
		log.Fatal(err)
	}
	d.Close() // here the process ended

	d, err = rundir.Create(path, true, false)
	if err != nil {
		log.Fatal(err)
	}
	defer d.Close()
	again, err := d.ReadCheckpoint()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("goes on after epoch", again.Progress.Epoch, "with", again.Params()["mean.kernel"].Data)
	// Output: goes on after epoch 3 with [1 2]
}

// What is there is moved aside, and never overwritten.
func ExampleMoveAside() {
	folder, err := os.MkdirTemp("", "rundir")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "first")
	for range 2 {
		if err := os.Mkdir(path, 0o700); err != nil {
			log.Fatal(err)
		}
		if err := rundir.MoveAside(path); err != nil {
			log.Fatal(err)
		}
	}
	found, err := os.ReadDir(folder)
	if err != nil {
		log.Fatal(err)
	}
	for _, f := range found {
		fmt.Println(f.Name())
	}
	// Output:
	// first.old-1
	// first.old-2
}
