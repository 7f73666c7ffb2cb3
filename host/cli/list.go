package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/serve"
	"github.com/vaeguard/vaeguard/host/spec"
)

// listed is one line of list.
type listed struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
	Doc  string `json:"doc"`
}

func (a *app) listCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list [KIND]",
		Short: "List what a spec can name: layers, losses, scores, attacks, plugins, …",
		Long:  "Without KIND, list prints the names of each kind on a line; with one, what each of them is. explain NAME has the rest.",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			g := a.guide()
			kinds := g.All()
			if len(args) == 1 {
				k, err := g.Kind(args[0])
				if err != nil {
					return UsageError{err}
				}
				kinds = []spec.Kind{k}
			}
			if a.json {
				rows := []listed{}
				for _, k := range kinds {
					for _, t := range k.Topics {
						rows = append(rows, listed{k.Name, t.Name, t.Summary})
					}
				}
				return json.NewEncoder(a.stdout).Encode(rows)
			}
			if len(args) == 1 {
				fmt.Fprint(a.stdout, kinds[0].List())
				return nil
			}
			w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
			for _, k := range kinds {
				fmt.Fprintf(w, "%s\t%s\n", k.Name, strings.Join(k.Names(), ", "))
			}
			return w.Flush()
		},
	}
}

// guide documents what specs can say. What is wrong with folders of plugins is
// a warning.
func (a *app) guide() spec.Guide {
	g, err := host.Guide(a.c)
	if err != nil {
		a.logger().Warn("some plugins are left out", "error", err)
	}
	g.Kinds = append(g.Kinds, spec.Kind{Name: "file", Topics: []spec.Topic{{
		Name: serve.Kind, Summary: "What vaeguard serve serves: models, listeners, limits.",
		Page: func() string {
			return serve.Kind + " (file)\n\nWhat vaeguard serve serves. Keys:\n\n" + serve.Guide(a.c).Page()
		},
	}}})
	return g
}
