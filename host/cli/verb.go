package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/vaeguard/vaeguard/host"
)

// Verb is a command that a program adds to those that ship: vaeguard NAME ….
//
//	func histogram() cli.Verb {
//		var bins int
//		return cli.Verb{
//			Name: "histogram", Args: "DETECTOR", Short: "Print how scores are spread",
//			Flags: func(f *pflag.FlagSet) { f.IntVar(&bins, "bins", 10, "bars") },
//			Run:   func(ctx context.Context, e *cli.Env, args []string) error { … },
//		}
//	}
//
//	cli.Main(builtin.Components(), histogram())
type Verb struct {
	Name string // what is typed: one word
	// Args are the arguments as help shows them, and how many there may be:
	// NAME is one, [NAME] one or none, NAME… one or more, [NAME…] any number.
	// "": none.
	Args  string
	Short string // a line, for the list of verbs
	Long  string // further help; "": Short is all
	// Flags declares flags beside the global ones; nil: none. It is called once,
	// before the command line is read.
	Flags func(f *pflag.FlagSet)
	// Run does the work. ctx ends at Ctrl-C; args fit Args. The error's type
	// chooses the exit code: see ExitDone and those below it.
	Run func(ctx context.Context, e *Env, args []string) error
}

// Env is what a verb works with.
type Env struct {
	Components host.Components
	Stdin      io.Reader
	Stdout     io.Writer    // for results
	Stderr     io.Writer    // for all else
	JSON       bool         // --json: results are JSON
	Quiet      bool         // --quiet: no progress
	Options    host.Options // for host.Load and host.Open: --threads, the logger of --log-level, progress on stderr

	settle func()
}

// Settle ends the drawing of progress: what is printed afterwards stands below
// it. Call it after the work, before results are printed.
func (e *Env) Settle() {
	if e.settle != nil {
		e.settle()
	}
}

// env is what an added verb gets of what all share.
func (a *app) env() *Env {
	return &Env{
		Components: a.c, Stdin: a.stdin, Stdout: a.stdout, Stderr: a.stderr,
		JSON: a.json, Quiet: a.quiet, Options: a.options(), settle: func() { a.progress().Wait() },
	}
}

// addVerbs adds verbs to root. A name that is taken, or is not a word, panics:
// verbs are literals of a program, as components are.
func (a *app) addVerbs(root *cobra.Command, verbs []Verb) {
	for _, v := range verbs {
		if v.Name == "" || strings.ContainsAny(v.Name, " \t\n") || strings.HasPrefix(v.Name, "-") {
			panic(fmt.Sprintf("cli: %q is no name of a verb", v.Name))
		}
		taken := func(c *cobra.Command) bool { return c.Name() == v.Name }
		if slices.ContainsFunc(root.Commands(), taken) || v.Name == "help" || v.Name == "completion" { // the last two come later
			panic("cli: there is a verb " + v.Name + " already")
		}
		root.AddCommand(a.added(v))
	}
}

// added is the command of an added verb.
func (a *app) added(v Verb) *cobra.Command {
	least, most := arity(v.Args)
	c := &cobra.Command{
		Use: strings.TrimSpace(v.Name + " " + v.Args), Short: v.Short, Long: v.Long,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < least || most >= 0 && len(args) > most {
				return fmt.Errorf("%d arguments, want %s", len(args), argsText(v.Args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return v.Run(cmd.Context(), a.env(), args) },
	}
	if v.Flags != nil {
		v.Flags(c.Flags())
	}
	return c
}

// arity is how many arguments a Verb's Args allow; most -1: any number.
func arity(args string) (least, most int) {
	args = strings.ReplaceAll(strings.ReplaceAll(args, " …", "…"), " ...", "...") // also of "[FILE ...]"
	for word := range strings.FieldsSeq(args) {
		inner, optional := strings.CutPrefix(word, "[")
		inner = strings.TrimSuffix(inner, "]")
		if !optional {
			least++
		}
		switch {
		case strings.HasSuffix(inner, "…") || strings.HasSuffix(inner, "..."):
			most = -1
		case most >= 0:
			most++
		}
	}
	return least, most
}

func argsText(args string) string {
	if args == "" {
		return "none"
	}
	return args
}
