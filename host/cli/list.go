package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/vaeguard/vaeguard/host"
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
		Short: "List layers, losses, scores, attacks, … that a spec can name",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			var rows []listed
			var kinds []string
			for _, t := range a.c.Tables() {
				kinds = append(kinds, t.Kind())
				if len(args) == 1 && !sameKind(args[0], t.Kind()) {
					continue
				}
				for _, name := range t.Names() {
					_, doc, _ := t.Fresh(name)
					rows = append(rows, listed{t.Kind(), name, firstSentence(doc)})
				}
			}
			kinds = append(kinds, "classifier", "spec")
			if len(args) == 0 || sameKind(args[0], "classifier") {
				for _, name := range a.c.ClassifierNames() {
					rows = append(rows, listed{"classifier", name, "shipped plugin"})
				}
			}
			if len(args) == 0 || sameKind(args[0], "spec") {
				for _, name := range a.specNames() {
					rows = append(rows, listed{"spec", name, "ready spec"})
				}
			}
			if len(rows) == 0 {
				return usagef("unknown kind %q; known: %s", args[0], strings.Join(kinds, ", "))
			}
			if a.json {
				return json.NewEncoder(a.stdout).Encode(rows)
			}
			w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
			for _, r := range rows {
				fmt.Fprintf(w, "%s\t%s\t%s\n", r.Kind, r.Name, r.Doc)
			}
			return w.Flush()
		},
	}
}

// sameKind takes singular and plural.
func sameKind(asked, kind string) bool {
	return asked == kind || asked == kind+"s" || asked == kind+"es" || asked == strings.TrimSuffix(kind, "y")+"ies"
}

func firstSentence(doc string) string {
	doc, _, _ = strings.Cut(doc, "\n")
	return doc
}

func (a *app) explainCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "explain NAME",
		Short: "Explain a layer, loss, score, attack, … or a section of a spec",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			text, err := host.Explain(args[0], a.c)
			if err != nil {
				return usageError{err}
			}
			fmt.Fprint(a.stdout, text)
			return nil
		},
	}
}
