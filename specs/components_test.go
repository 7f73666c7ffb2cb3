package specs_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host"
)

// Every component that ships can be written as its explanation shows it, has
// a documented schema, and survives being resolved and read again.
func TestComponentsRoundTrip(t *testing.T) {
	c := builtin.Components()
	for _, table := range c.Tables() {
		for _, name := range table.Names() {
			t.Run(table.Kind()+"/"+name, func(t *testing.T) {
				text, err := host.Explain(table.Kind()+"/"+name, c)
				if err != nil {
					t.Fatal(err)
				}
				_, example, _ := strings.Cut(text, "Example:\n\n  ")
				where := map[string]string{
					"layer": "vae: {latent_dim: 1, decoder: [%s]}", "loss": "vae: {latent_dim: 1, decoder: []}\ntrain: {loss: %s}",
					"optimizer": "vae: {latent_dim: 1, decoder: []}\ntrain: {optimizer: %s}", "learning-rate schedule": "vae: {latent_dim: 1, decoder: []}\ntrain: {learning_rate_schedule: %s}",
					"score": "detector: {score: %s}", "attack": "attacks: [%s]", "metric": "vae: {latent_dim: 1, decoder: []}\ntrain: {log_metrics: [%s]}", "corruption": "corruptions: [%s]",
				}[table.Kind()]
				if where == "" {
					return // named only, never configured
				}
				example = strings.TrimSpace(example)
				if strings.Contains(example, ": ") {
					example = "{" + example + "}"
				}
				a, err := host.ParseSpec("x.yaml", []byte("api_version: vaeguard/v1\nkind: Experiment\nname: x\n"+fmt.Sprintf(where, example)+"\n"), c)
				if err != nil {
					t.Fatalf("%s\n%v", example, err)
				}
				b, err := host.ParseSpec("x.yaml", a.Resolved(), c)
				if err != nil {
					t.Fatalf("%v in\n%s", err, a.Resolved())
				}
				if once, twice := string(a.Resolved()), string(b.Resolved()); once != twice {
					t.Errorf("written again:\n%s\nwant\n%s", twice, once)
				}
			})
		}
	}
	if len(host.Schema(c)) == 0 {
		t.Error("no schema")
	}
}
