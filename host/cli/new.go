package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
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
					return usagef("no ready spec %q; known: %s", from, strings.Join(a.c.SpecNames(), ", "))
				}
				return a.printSpec(data)
			}
			text, err := a.template(kind, name)
			if err != nil {
				return UsageError{err}
			}
			return a.printSpec(text)
		},
	}
	newSpec.Flags().StringVar(&kind, "kind", "image", "kind of data: image (a CNN) or tabular (an MLP)")
	newSpec.Flags().StringVar(&from, "from", "", "name of a ready spec to start from: see vaeguard list spec")
	c.AddCommand(newSpec, a.newPluginCommand())
	return c
}

// printSpec prints the text of a spec, with --json as a string.
func (a *app) printSpec(text []byte) error {
	if a.json {
		return json.NewEncoder(a.stdout).Encode(map[string]any{"spec": string(text)})
	}
	_, err := a.stdout.Write(text)
	return err
}

// template is a spec to begin with, as commented YAML, under a name.
func (a *app) template(kind, name string) ([]byte, error) {
	if a.c.Specs == nil {
		return nil, errors.New("this program has no templates")
	}
	text, err := fs.ReadFile(a.c.Specs, "templates/"+kind+".yaml")
	if err != nil || strings.ContainsAny(kind, `/\.`) {
		return nil, errors.New(spec.Unknown("kind of spec", kind, a.templates()))
	}
	if !plainName.MatchString(name) {
		return nil, fmt.Errorf("name %q: want letters, digits, - and _", name)
	}
	return []byte(strings.ReplaceAll(string(text), "NAME", name)), nil
}

// plainName is a name that YAML needs no quotes for.
var plainName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.+-]*$`)
