package vae_test

import (
	"fmt"
	"log"
	"os"

	"github.com/vaeguard/vaeguard/builtin/layers"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/vae"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// options are an auto-encoder of eight features with a code of two.
func options() vae.Options {
	hidden := layers.NewDense(5)
	hidden.Activation = nn.Activation{Name: "relu"}
	return vae.Options{Input: tensor.Shape{8}, Section: vae.Section{
		LatentDim: 2, Encoder: []nn.Maker{hidden}, Decoder: []nn.Maker{hidden, layers.NewDense(8)},
	}}
}

// The layers of a model, with the two heads that Build puts between encoder and
// decoder.
func ExampleBuild() {
	m, err := vae.Build(options(), 1)
	if err != nil {
		log.Fatal(err)
	}
	if err := vae.WriteTable(os.Stdout, m.Describe()); err != nil {
		log.Fatal(err)
	}
	// Output:
	// layer            output  params  MFLOP
	//   encoder/dense_0       5      45  0.000
	//   mean                  2      12  0.000
	//   log_var               2      12  0.000
	//   decoder/dense_0       5      15  0.000
	//   decoder/dense_1       8      48  0.000
	//   total                       132  0.000
}

// A decoder that does not lead back to the input: the error names the option to
// set.
func ExamplePartError() {
	o := options()
	o.Decoder = []nn.Maker{layers.NewDense(7)}
	_, err := vae.Build(o, 1)
	fmt.Println(err)
	// Output: vae.decoder layer 0: dense ends as 7, the classifier takes 8: set vae.decoder[0].dense.units: 8
}

// Three reconstructions of each of four inputs, by noise that is given.
func ExampleModel_NewPass() {
	m, err := vae.Build(options(), 1)
	if err != nil {
		log.Fatal(err)
	}
	k, err := kernel.New(kernel.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer k.Close()
	p := m.NewPass(k, 4, 3, nn.Inference)
	noise := tensor.New(4*3, m.LatentDim)
	k.Normal(noise.Data, kernel.Key{Seed: 1}, 0)
	rebuilt, mu, logvar := p.Forward(tensor.New(4, 8), noise)
	fmt.Println(rebuilt.Shape, mu.Shape, logvar.Shape)
	// Output: 12×8 4×2 4×2
}

// Features of different units are brought to one range for the auto-encoder.
func ExampleFitNormalizer() {
	n, err := vae.FitNormalizer("minmax", dataset.InMemory(tensor.From([]float32{0, 100, 4, 300}, 2, 2)))
	if err != nil {
		log.Fatal(err)
	}
	k, err := kernel.New(kernel.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer k.Close()
	x := tensor.From([]float32{2, 250}, 1, 2)
	n.Apply(k, x, x)
	fmt.Printf("%.2f\n", x.Data)
	// Output: [0.50 0.75]
}

// A student for distillation: layers, and a last one with a logit per class.
func ExampleBuildStudent() {
	s, err := vae.BuildStudent(tensor.Shape{8}, []nn.Maker{layers.NewDense(16)}, 3, 1)
	if err != nil {
		log.Fatal(err)
	}
	for _, p := range s.Params() {
		fmt.Println(p.Name, p.Value.Shape)
	}
	// Output:
	// student.0.kernel 8×16
	// student.0.bias 16
	// student.output.kernel 16×3
	// student.output.bias 3
}
