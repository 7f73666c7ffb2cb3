package specs_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/builtin/attacks"
	"github.com/vaeguard/vaeguard/builtin/layers"
	"github.com/vaeguard/vaeguard/builtin/losses"
	"github.com/vaeguard/vaeguard/builtin/metrics"
	"github.com/vaeguard/vaeguard/builtin/optimizers"
	"github.com/vaeguard/vaeguard/builtin/scores"
	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/host/spec"
)

// shipped are the components that specs are written with.
func shipped() []registry.Any {
	return []registry.Any{
		layers.Table(), losses.Table(), optimizers.Table(), optimizers.Schedules(), scores.Table(), attacks.Table(), metrics.Table(),
	}
}

// Every component that ships can be written as its explanation shows it, has
// a documented schema, and survives being resolved and read again.
func TestComponentsRoundTrip(t *testing.T) {
	o := spec.Options{Tables: shipped(), LookupEnv: func(string) (string, bool) { return "", false }}
	for _, table := range o.Tables {
		for _, name := range table.Names() {
			t.Run(table.Kind()+"/"+name, func(t *testing.T) {
				text, err := spec.Explain(table.Kind()+"/"+name, o.Tables...)
				if err != nil {
					t.Fatal(err)
				}
				_, example, _ := strings.Cut(text, "Example:\n\n  ")
				where := map[string]string{
					"layer": "vae: {latent_dim: 1, decoder: [%s]}", "loss": "vae: {latent_dim: 1, decoder: []}\ntrain: {loss: %s}",
					"optimizer": "vae: {latent_dim: 1, decoder: []}\ntrain: {optimizer: %s}", "schedule": "vae: {latent_dim: 1, decoder: []}\ntrain: {learning_rate_schedule: %s}",
					"score": "detector: {score: %s}", "attack": "attacks: [%s]",
				}[table.Kind()]
				if where == "" {
					return // named only, never configured
				}
				example = strings.TrimSpace(example)
				if strings.Contains(example, ": ") {
					example = "{" + example + "}"
				}
				a, err := spec.Parse("x.yaml", []byte("api_version: vaeguard/v1\nkind: Experiment\nname: x\n"+fmt.Sprintf(where, example)+"\n"), o)
				if err != nil {
					t.Fatalf("%s\n%v", example, err)
				}
				b, err := spec.Parse("x.yaml", a.Resolved(), o)
				if err != nil {
					t.Fatalf("%v in\n%s", err, a.Resolved())
				}
				if once, twice := string(a.Resolved()), string(b.Resolved()); once != twice {
					t.Errorf("written again:\n%s\nwant\n%s", twice, once)
				}
			})
		}
	}
	if len(spec.Schema(o.Tables...)) == 0 {
		t.Error("no schema")
	}
}
