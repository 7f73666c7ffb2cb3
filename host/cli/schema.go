package cli

import (
	"github.com/spf13/cobra"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/serve"
)

func (a *app) schemaCommand() *cobra.Command {
	var kind string
	c := &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of specs, for editors",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			schema := host.Schema
			switch kind {
			case "Experiment":
			case serve.Kind:
				schema = serve.Schema
			default:
				return usagef("--kind %q: want Experiment or %s", kind, serve.Kind)
			}
			_, err := a.stdout.Write(schema(a.c))
			return err
		},
	}
	c.Flags().StringVar(&kind, "kind", "Experiment", "what the files declare: Experiment or "+serve.Kind)
	return c
}
