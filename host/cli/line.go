package cli

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/vaeguard/vaeguard/host/track"
)

// commandLine is the shell command that calls a verb again as it was called: its
// arguments, each flag that was given but for those of leave, and more. So a new flag
// is part of it unless somebody leaves it out. Those of every verb (--json, --threads)
// change no result, and are left out. --set comes first and --out last of the flags
// with a value; of a --track URL what it says of a user is left out.
func commandLine(c *cobra.Command, args []string, leave []string, more ...string) string {
	words := append([]string{c.CommandPath()}, quoted(args)...)
	values := map[bool][]string{}
	last := []string{}
	c.Flags().Visit(func(f *pflag.Flag) {
		name := "--" + f.Name
		switch list, many := f.Value.(pflag.SliceValue); {
		case slices.Contains(leave, f.Name) || c.InheritedFlags().Lookup(f.Name) != nil:
		case many:
			for _, one := range list.GetSlice() {
				if f.Name == "track" {
					one = shownTrack(one)
				}
				values[f.Name == "set"] = append(values[f.Name == "set"], name+" "+quote(one))
			}
		case f.Value.Type() == "bool" && f.Value.String() == "true":
			last = append(last, name)
		case f.Value.Type() == "bool":
			last = append(last, name+"=false")
		case f.Name == "out":
			last = slices.Insert(last, 0, name+" "+quote(f.Value.String()))
		default:
			values[false] = append(values[false], name+" "+quote(f.Value.String()))
		}
	})
	return strings.Join(slices.Concat(words, values[true], values[false], last, more), " ")
}

// notAgain are the flags of a command that resumes nothing and moves nothing aside.
var notAgain = []string{"force", "resume", "retrain", "dry-run"}

// reported are the flags that a command in a report leaves out: they decide nothing
// that it says.
var reported = append([]string{"strict", "track", "fail-if"}, notAgain...)

func quoted(args []string) []string {
	out := make([]string, len(args))
	for i, a := range args {
		out[i] = quote(a)
	}
	return out
}

// shownTrack is a target of --track without what its URL says of a user.
func shownTrack(to string) string {
	name, target, _ := strings.Cut(to, ":")
	if target != "" {
		name += ":" + track.Shown(target)
	}
	return name
}
