package cli

import (
	"github.com/spf13/cobra"

	"github.com/vaeguard/vaeguard/host"
)

func (a *app) schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of specs, for editors",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := a.stdout.Write(host.Schema(a.c))
			return err
		},
	}
}
