package cli

import (
	"slices"

	"github.com/spf13/cobra"
)

// helpCommand is help for a verb or a topic. One that is not there is a usage
// error, as a verb would be.
func helpCommand() *cobra.Command {
	inner := func(c *cobra.Command, name string) *cobra.Command {
		i := slices.IndexFunc(c.Commands(), func(sub *cobra.Command) bool { return sub.Name() == name })
		if i < 0 {
			return nil
		}
		return c.Commands()[i]
	}
	return &cobra.Command{
		Use:   "help [VERB]",
		Short: "Help about a verb, or about exit-codes",
		Long:  "help prints what a verb does, its arguments and its flags, as VERB --help does; of a verb of a group: help plugin check.",
		RunE: func(c *cobra.Command, args []string) error {
			of := c.Root()
			for _, name := range args {
				next := inner(of, name)
				if next == nil {
					return unknownCommand(of, name)
				}
				of = next
			}
			of.InitDefaultHelpFlag()
			of.InitDefaultVersionFlag()
			return of.Help()
		},
		ValidArgsFunction: func(c *cobra.Command, args []string, begins string) ([]string, cobra.ShellCompDirective) {
			of := c.Root()
			for _, name := range args {
				if of = inner(of, name); of == nil {
					return nil, cobra.ShellCompDirectiveNoFileComp
				}
			}
			return shell(func([]string, string) []string {
				var out []string
				for _, sub := range of.Commands() {
					if sub.IsAvailableCommand() || sub.IsAdditionalHelpTopicCommand() {
						out = append(out, sub.Name()+"\t"+sub.Short)
					}
				}
				return out
			})(c, args, begins)
		},
	}
}

// addCompletion adds cobra's verb that prints scripts for shells, as a group
// like the others.
func addCompletion(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		if c.Name() == "completion" {
			c.Args = nil // a group's is a usage error
		}
	}
}

// unknownCommand is the error for a verb that a group, or vaeguard, does not have.
func unknownCommand(of *cobra.Command, name string) error {
	if near := of.SuggestionsFor(name); len(near) > 0 {
		return usagef("unknown command %q of %s; did you mean %q?", name, of.CommandPath(), near[0])
	}
	if !of.HasSubCommands() {
		return usagef("%s has no verbs of its own, such as %q", of.CommandPath(), name)
	}
	return usagef("unknown command %q of %s; %s --help lists them", name, of.CommandPath(), of.CommandPath())
}
