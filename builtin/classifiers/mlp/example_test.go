package mlp_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/vaeguard/vaeguard/builtin/classifiers/mlp"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// The classifier without its process: configure, train, predict. It learns
// which half of [0, 1] a number lies in.
func ExampleNew() {
	ctx := context.Background()
	c := mlp.New()
	if err := c.Configure(ctx, sdk.Config{JSON: []byte(`{"hidden": [8]}`), InputShape: tensor.Shape{1}, Classes: 2}); err != nil {
		log.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "mlp")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	data := sdk.TrainingData{X: tensor.New(200, 1), Labels: make([]int, 200)}
	for i := range 200 {
		data.X.Row(i)[0] = float32(i) / 200
		data.Labels[i] = i / 100
	}
	done, err := c.Fit(ctx, data, sdk.FitOptions{
		JSON: []byte(`{"epochs": 30, "batch_size": 10, "learning_rate": 0.02}`), Seed: 1, OutputDir: dir,
		Progress: func(sdk.FitProgress) {},
	})
	if err != nil {
		log.Fatal(err)
	}
	y, err := c.Predict(ctx, tensor.From([]float32{.1, .9}, 2, 1))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("0.1 is class 0:", y.Row(0)[0] > y.Row(0)[1])
	fmt.Println("0.9 is class 1:", y.Row(1)[1] > y.Row(1)[0])
	fmt.Println("wrote", len(done.Files), "file")
	// Output:
	// 0.1 is class 0: true
	// 0.9 is class 1: true
	// wrote 1 file
}

// The layers that the short form stands for.
func ExampleConfig_Makers() {
	makers, err := (&mlp.Config{Hidden: &[]int{64, 32}, Dropout: .1}).Makers(tensor.Shape{28, 28, 1})
	if err != nil {
		log.Fatal(err)
	}
	for _, m := range makers {
		fmt.Printf("%T\n", m)
	}
	// Output:
	// layers.Flatten
	// layers.Dense
	// layers.Dropout
	// layers.Dense
	// layers.Dropout
}
