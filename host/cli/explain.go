package cli

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/vaeguard/vaeguard/host/spec"
)

func (a *app) explainCommand() *cobra.Command {
	var all, markdown bool
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
			text, name := "", ""
			if all {
				text = g.Everything()
			} else {
				name = args[0]
				var err error
				if text, err = g.Explain(name); err != nil {
					return UsageError{err}
				}
			}
			if markdown {
				text = spec.Markdown(text)
			}
			if a.json {
				return json.NewEncoder(a.stdout).Encode(map[string]any{"name": name, "text": text})
			}
			_, err := fmt.Fprint(a.stdout, text)
			return err
		},
	}
	c.Flags().BoolVar(&markdown, "markdown", false, "as Markdown, for a page")
	c.Flags().BoolVar(&all, "all", false, "every key of a spec, and every name of every kind")
	return c
}
