package builtin_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/registry"
)

// What ships, by kind: all that a spec can name.
func ExampleComponents() {
	c := builtin.Components()
	fmt.Println("ready specs:", strings.Join(c.SpecNames()[:3], ", "), "…")
	for _, t := range c.Tables() {
		fmt.Printf("%s: %s, …\n", t.Kind(), t.Names()[0])
	}
	// Output:
	// ready specs: bench-conv, bench-dense, bench-tabular …
	// layer: dense, …
	// loss: adversarial, …
	// optimizer: adam, …
	// learning-rate schedule: constant, …
	// metric: mse, …
	// method: vae, …
	// score: kl, …
	// attack: fgsm, …
	// corruption: gaussian_noise, …
	// dataset: fashion-mnist, …
	// format: npy, …
	// step: resize, …
	// preset: recommended, …
}

// The whole of it, in small: train a classifier and a guard around it, save the
// guard, open it, and judge rows. The first line of such a program's main is
// builtin.ServeIfPlugin, since the classifier runs as a process of its own.
func ExampleComponents_guard() {
	ctx, components := context.Background(), builtin.Components()
	folder, err := os.MkdirTemp("", "guard")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(folder)
	quick := []string{"classifier.train.epochs=2", "train.epochs=2"}
	e, err := host.Load("digits-mlp", quick, components, host.Options{})
	if err != nil {
		log.Fatal(err)
	}
	trained, err := e.TrainTo(ctx, host.TrainOptions{Out: filepath.Join(folder, "detector")})
	if err != nil {
		log.Fatal(err)
	}
	if err := trained.Close(); err != nil {
		log.Fatal(err)
	}

	d, err := host.Open(filepath.Join(folder, "detector"), components)
	if err != nil {
		log.Fatal(err)
	}
	defer d.Close()
	test, err := e.Rows(dataset.RoleTest)
	if err != nil {
		log.Fatal(err)
	}
	r, err := d.Detect(ctx, test.X)
	if err != nil {
		log.Fatal(err)
	}
	t := d.Threshold()
	fmt.Printf("threshold: score %d of %d\n", t.Rank, t.N)
	flagged := 0
	for _, f := range r.Adversarial {
		if f {
			flagged++
		}
	}
	fmt.Printf("%d clean rows, fewer than 40 of them flagged: %t\n", len(r.Score), flagged < 40)
	// Output:
	// threshold: score 258 of 270
	// 269 clean rows, fewer than 40 of them flagged: true
}

// A component by its name has its defaults; options are checked.
func ExampleComponents_attack() {
	c := builtin.Components()
	a, err := c.Attacks.Lookup("pgd")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(a.Ball())
	_, err = host.ParseAttack("pgd", []string{"eps=8/255"}, c)
	fmt.Println(err)
	// Output:
	// linf 0.1
	// --set eps: pgd.eps: want a number, got "8/255"
}

// A name of one's own, here for an attack with other defaults, stands beside
// those that ship wherever specs are read.
func ExampleComponents_with() {
	c := builtin.Components()
	strong, err := host.ParseAttack("pgd", []string{"steps=200", "restarts=5"}, c)
	if err != nil {
		log.Fatal(err)
	}
	c.Attacks = c.Attacks.With(registry.Entry[attack.Attack]{Name: "pgd_strong", Default: strong, Doc: "pgd with 200 steps and 5 restarts"})
	text := `api_version: vaeguard/v1
kind: Experiment
name: strong
attacks:
  - pgd_strong: {eps: 0.03}
`
	s, err := host.ParseSpec("strong.yaml", []byte(text), c)
	if err != nil {
		log.Fatal(err)
	}
	_, eps := registry.As[attack.Attack](s.Attacks[0]).Ball()
	fmt.Println(s.Attacks[0].Name, eps)
	// Output: pgd_strong 0.03
}
