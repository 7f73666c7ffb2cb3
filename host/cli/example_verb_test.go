package cli_test

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/pflag"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/cli"
)

// count is a verb of one's own: how many rows of a kind there are.
func count() cli.Verb {
	var least int
	return cli.Verb{
		Name: "count", Args: "NAME…", Short: "Count the names that are given",
		Flags: func(f *pflag.FlagSet) { f.IntVar(&least, "least", 0, "fewer are not accepted") },
		Run: func(_ context.Context, e *cli.Env, args []string) error {
			if least < 0 {
				return cli.UsageError{Err: errors.New("--least is negative")}
			}
			if _, err := fmt.Fprintln(e.Stdout, len(args), "names"); err != nil {
				return err
			}
			if len(args) < least {
				return cli.GateError{Err: fmt.Errorf("%d names, want %d", len(args), least)}
			}
			return nil
		},
	}
}

// The type of a verb's error chooses the exit code, on which scripts rely.
func ExampleRun() {
	ctx := context.Background()
	run := func(args ...string) int {
		return cli.Run(ctx, host.Components{}, args, os.Stdin, os.Stdout, os.Stdout, count())
	}
	fmt.Println("exit", run("count", "a", "b"))
	fmt.Println("exit", run("count", "--least", "3", "a"))
	fmt.Println("exit", run("count", "--least", "-1", "a"))
	// Output:
	// 2 names
	// exit 0
	// 1 names
	// 1 names, want 3
	// exit 3
	// vaeguard: --least is negative
	// exit 2
}
