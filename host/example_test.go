package host_test

import (
	"context"
	"fmt"
	"log"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/spec"
)

// A ready spec, with an override, and what its network is made of. Nothing is
// read or started yet.
func ExampleLoad() {
	e, err := host.Load("demo", []string{"vae.latent_dim=16"}, builtin.Components(), host.Options{})
	if err != nil {
		log.Fatal(err)
	}
	layers, err := e.Describe()
	if err != nil {
		log.Fatal(err)
	}
	for _, l := range layers {
		fmt.Println(l.Name, l.Out, l.Params)
	}
	// Output:
	// encoder/conv2d_0 14×14×16 272
	// encoder/conv2d_1 7×7×32 8224
	// encoder/conv2d_2 4×4×64 32832
	// mean 16 16400
	// log_var 16 16400
	// decoder/dense_0 784 13328
	// decoder/reshape_1 7×7×16 0
	// decoder/conv2d_transpose_2 14×14×32 4640
	// decoder/conv2d_transpose_3 28×28×16 4624
	// decoder/conv2d_transpose_4 28×28×1 145
}

// The rows of a role, as the section data says.
func ExampleExperiment_Rows() {
	e, err := host.Load("digits-mlp", nil, builtin.Components(), host.Options{})
	if err != nil {
		log.Fatal(err)
	}
	test, err := e.Rows(dataset.RoleTest)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(test.X.Shape, test.NumClasses(), "classes")
	// Output: 269×64 10 classes
}

// One experiment in two variants: the spec is a value, and With changes a copy.
func ExampleExperiment_With() {
	base, err := host.Load("demo", nil, builtin.Components(), host.Options{})
	if err != nil {
		log.Fatal(err)
	}
	for _, seed := range []uint64{1, 2} {
		e := base.With(func(s *host.Spec) { s.Seed = seed })
		fmt.Println(e.Spec.Name, e.Spec.Seed)
	}
	fmt.Println(base.Spec.Name, base.Spec.Seed)
	// Output:
	// demo 1
	// demo 2
	// demo 42
}

// A spec with faults: all of them at once, by place in the text.
func ExampleParseSpec() {
	text := `api_version: vaeguard/v1
kind: Experiment
name: first
classifier: {plugin: cnn}
vae:
  latent_dim: 0
  encoder:
    - dense: {unit: 64}
  decoder:
    - conv2d_transposed: {filters: 1, kernel_size: 3}
threshold: {fpr: 5}
`
	_, err := host.ParseSpec("guard.yaml", []byte(text), builtin.Components())
	for _, fault := range spec.Faults(err) {
		fmt.Println(fault)
	}
	// Output:
	// guard.yaml:6:15: vae.latent_dim: must be >= 1 and <= 1048576, got 0
	// guard.yaml:8:15: vae.encoder[0].dense: unknown key "unit"; did you mean "units"?
	// guard.yaml:10:7: vae.decoder[0]: unknown layer "conv2d_transposed"; did you mean "conv2d_transpose"?
	// guard.yaml:11:18: threshold.fpr: must be > 0 and < 1, got 5
	// guard.yaml:11:18: threshold.fpr: needs data.calibration: clean rows, held out
}

// Defaults are filled in where a spec leaves them out.
func ExampleSpec_Resolved() {
	s, err := host.ParseSpec("guard.yaml", []byte("{api_version: vaeguard/v1, kind: Experiment, name: first}"), builtin.Components())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(string(s.Resolved()))
	// Output:
	// api_version: vaeguard/v1
	// kind: Experiment
	// name: first
	// seed: 0
	// data:
	//   allow_overlap: false
	// detector:
	//   method: vae
	//   samples: 10
	//   beta: 0
	//   score:
	//     kl: {hidden: true}
	//   temperature: 1
	//   precision: float32
	//   probability_clip: 0
	// evaluate:
	//   limit: 0
	//   clean_limit: 0
	//   adaptive_limit: 0
	//   curve_rows: 0
	//   certified_rows: 0
	//   bootstrap: 0
}

// An attack by its name and options, as a command line has them.
func ExampleParseAttack() {
	a, err := host.ParseAttack("fgsm", []string{"eps=0.1", "norm=l2"}, builtin.Components())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(a.Ball())
	_, err = host.ParseAttack("fgsm", []string{"eps=-1"}, builtin.Components())
	fmt.Println(err)
	// Output:
	// l2 0.1
	// --set eps: fgsm.eps: must be >= 0, got -1
}

// Train a guard, then open it and judge rows. It takes a minute, and a main
// whose first line is builtin.ServeIfPlugin.
func ExampleOpen() {
	ctx, components := context.Background(), builtin.Components()
	e, err := host.Load("demo", nil, components, host.Options{})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := e.Run(ctx, host.RunOptions{Out: "runs/first"}); err != nil {
		log.Fatal(err)
	}
	d, err := host.Open("runs/first", components)
	if err != nil {
		log.Fatal(err)
	}
	defer d.Close()
	test, err := e.Rows(dataset.RoleTest)
	if err != nil {
		log.Fatal(err)
	}
	r, err := d.Detect(ctx, test.X.Rows(0, 10))
	if err != nil {
		log.Fatal(err)
	}
	for i, flagged := range r.Adversarial {
		fmt.Println(i, flagged, r.Score[i], r.Corrected[i])
	}
}

// The description of a plugin, before anything is started.
func ExampleReadManifest() {
	m, err := host.ReadManifest([]byte("name: spam\nversion: 1.2.0\ncommand: [python3, spam.py]\ninput_shape: [57]\n"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(m.Name, m.Version, m.Command, m.InputShape)
	_, err = host.ReadManifest([]byte("name: spam\ncomand: spam\n"))
	fmt.Println(err)
	// Output:
	// spam 1.2.0 [python3 spam.py] 57
	// plugin.yaml:1:1: missing key "version"
	// plugin.yaml:2:1: unknown key "comand"; did you mean "command"?
}
