package cli

import (
	"io/fs"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vaeguard/vaeguard/host/spec"
)

func (a *app) newCommand() *cobra.Command {
	c := &cobra.Command{Use: "new", Short: "Write a starting point: a spec or a plugin"}
	var from, kind string
	newSpec := &cobra.Command{
		Use:   "spec [NAME]",
		Short: "Print a commented spec",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			name := "my-guard"
			if len(args) == 1 {
				name = args[0]
			}
			if from != "" {
				data, err := fs.ReadFile(a.c.Specs, strings.TrimSuffix(from, ".yaml")+".yaml")
				if err != nil {
					return usagef("no ready spec %q; known: %s", from, strings.Join(a.specNames(), ", "))
				}
				_, err = a.stdout.Write(data)
				return err
			}
			text, err := spec.New(kind, name)
			if err != nil {
				return usageError{err}
			}
			_, err = a.stdout.Write(text)
			return err
		},
	}
	newSpec.Flags().StringVar(&kind, "kind", "image", "image (a CNN) or tabular (an MLP)")
	newSpec.Flags().StringVar(&from, "from", "", "a ready spec to start from: see list spec")
	c.AddCommand(newSpec, a.newPluginCommand())
	return c
}

// specNames are the ready specs.
func (a *app) specNames() []string {
	if a.c.Specs == nil {
		return nil
	}
	files, err := fs.Glob(a.c.Specs, "*.yaml")
	if err != nil {
		panic("cli: bad pattern")
	}
	for i, f := range files {
		files[i] = strings.TrimSuffix(f, ".yaml")
	}
	return files
}
