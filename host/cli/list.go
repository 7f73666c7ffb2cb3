package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/vaeguard/vaeguard/host"
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
					return usageError{err}
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
	return g
}

func (a *app) explainCommand() *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use:   "explain NAME",
		Short: "Explain a layer, loss, score, attack, plugin, … or a key of a spec",
		Long: "explain prints what a name or a key is, its options with types, defaults and bounds, and an example. NAME may be a\n" +
			"kind too, as in list; KIND/NAME chooses where several kinds have the name. --all explains everything.",
		Args: func(cmd *cobra.Command, args []string) error {
			if all {
				return cobra.NoArgs(cmd, args)
			}
			return cobra.ExactArgs(1)(cmd, args)
		},
		RunE: func(_ *cobra.Command, args []string) error {
			g := a.guide()
			if all {
				_, err := fmt.Fprint(a.stdout, g.Everything())
				return err
			}
			text, err := g.Explain(args[0])
			if err != nil {
				return usageError{err}
			}
			fmt.Fprint(a.stdout, text)
			return nil
		},
	}
	c.Flags().BoolVar(&all, "all", false, "every key of a spec, and every name of every kind")
	return c
}
