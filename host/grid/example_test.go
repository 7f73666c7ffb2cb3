package grid_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/host/grid"
	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

const text = `api_version: vaeguard/v1
kind: Grid
name: two-detectors
seeds: [1, 2]
sets:
  - {name: digits, spec: digits-mlp.yaml}
detectors:
  - {name: kl}
  - {name: margin, set: {detector.score: margin}}
attacks:
  - {id: still, attack: still}
`

// still is the attack of these examples: it leaves inputs as they are.
type still struct{}

func (still) Ball() (attack.Norm, float64) { return attack.Linf, .1 }
func (still) Needs() attack.Need           { return attack.NeedsNothing }
func (still) Perturb(_ context.Context, _ sdk.Forwarder, x *tensor.Tensor, _ attack.Objective, _ attack.Budget) (*tensor.Tensor, error) {
	return x.Clone(), nil
}

// load writes a grid to a file and reads it. Programs hand over
// builtin.Components().Tables().
func load(text string, set ...string) (*grid.Grid, error) {
	folder, err := os.MkdirTemp("", "grid")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(folder)
	file := filepath.Join(folder, "grid.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		log.Fatal(err)
	}
	attacks := registry.NewTable("attack", registry.Entry[attack.Attack]{Name: "still", Default: still{}, Doc: "moves nothing"})
	return grid.Load(file, set, []registry.Any{attacks})
}

// A grid is read with its defaults; grid.Open and Bench.Run make its cells.
func ExampleLoad() {
	g, err := load(text, "bootstrap=200")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(g.Name, g.Seeds, g.Role, g.Bootstrap)
	for _, d := range g.Detectors {
		fmt.Println(d.Name, d.Set)
	}
	// Output:
	// two-detectors [1 2] test 200
	// kl map[]
	// margin map[detector.score:margin]
}

// Part of a grid, as --only names it; what the grid does not have is an error.
func ExampleParseFilter() {
	g, err := load(text)
	if err != nil {
		log.Fatal(err)
	}
	f, err := grid.ParseFilter([]string{"detector=kl|margin,seed=1"}, g)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(f["detector"], f["seed"])
	_, err = grid.ParseFilter([]string{"detector=klm"}, g)
	fmt.Println(err)
	// Output:
	// [kl margin] [1]
	// "detector=klm": the grid has no detector "klm"; it has kl, margin
}
