package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/cli"
	"github.com/vaeguard/vaeguard/host/launch"
	"github.com/vaeguard/vaeguard/host/spec"
)

// run runs a command line with one verb more.
func run(ctx context.Context, v cli.Verb, stdin string, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = cli.Run(ctx, host.Components{}, args, strings.NewReader(stdin), &out, &errs, v)
	return code, out.String(), errs.String()
}

// echo prints what it was given.
func echo() cli.Verb {
	var times int
	return cli.Verb{
		Name: "echo", Args: "WORD…", Short: "Say it again", Long: "echo says it again, and again.",
		Flags: func(f *pflag.FlagSet) { f.IntVar(&times, "times", 1, "how often") },
		Run: func(_ context.Context, e *cli.Env, args []string) error {
			in, err := io.ReadAll(e.Stdin)
			if err != nil {
				return err
			}
			e.Options.Progress(host.Progress{Stage: "echo", Total: 1, Done: 1, Ended: true, Metrics: map[string]float64{"words": float64(len(args))}})
			e.Options.Logger.Info("echoed")
			e.Settle()
			if e.JSON {
				return json.NewEncoder(e.Stdout).Encode(map[string]any{"words": args, "threads": e.Options.Threads, "quiet": e.Quiet})
			}
			_, err = fmt.Fprint(e.Stdout, strings.Repeat(strings.Join(args, " ")+string(in), times))
			return err
		},
	}
}

// TestVerb: an added verb has flags, arguments, help and what the shipped ones
// get.
func TestVerb(t *testing.T) {
	for _, c := range []struct {
		name           string
		args           []string
		code           int
		stdout, stderr string // parts; "": nothing at all
	}{
		{"runs", []string{"echo", "a", "b", "--times", "2"}, cli.ExitDone, "a b!a b!", "echo  words 2"},
		{"global flags", []string{"echo", "a", "--json", "--quiet", "--threads", "3"}, cli.ExitDone, `{"quiet":true,"threads":3,"words":["a"]}`, ""},
		{"logs", []string{"echo", "a", "--quiet", "--log-level", "info"}, cli.ExitDone, "a!", "echoed"},
		{"help", []string{"echo", "--help"}, cli.ExitDone, "vaeguard echo WORD… [flags]", ""},
		{"long help", []string{"help", "echo"}, cli.ExitDone, "and again.", ""},
		{"listed", []string{"--help"}, cli.ExitDone, "Say it again", ""},
		{"arguments", []string{"echo"}, cli.ExitUsage, "", "0 arguments, want WORD…\nusage: vaeguard echo WORD… [flags]"},
		{"unknown flag", []string{"echo", "a", "--time", "2"}, cli.ExitUsage, "", "unknown flag: --time"},
		{"bad global flag", []string{"echo", "a", "--threads", "-1"}, cli.ExitUsage, "", "--threads -1"},
		{"suggested", []string{"ecko"}, cli.ExitUsage, "", `did you mean "echo"?`},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, stdout, stderr := run(t.Context(), echo(), "!", c.args...)
			if code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			for _, x := range [][2]string{{stdout, c.stdout}, {stderr, c.stderr}} {
				if !strings.Contains(x[0], x[1]) || x[1] == "" && x[0] != "" {
					t.Errorf("got %q, want %q", x[0], x[1])
				}
			}
		})
	}
}

// TestVerbExitCodes: the type of a verb's error chooses the exit code.
func TestVerbExitCodes(t *testing.T) {
	cause := errors.New("cause")
	for _, c := range []struct {
		err  error
		code int
		text string
	}{
		{nil, cli.ExitDone, ""},
		{cause, cli.ExitFailed, "vaeguard: cause\n"},
		{cli.UsageError{Err: cause}, cli.ExitUsage, "vaeguard: cause\n"},
		{fmt.Errorf("in it: %w", cli.UsageError{Err: cause}), cli.ExitUsage, "vaeguard: in it: cause\n"},
		{spec.Errors{{File: "x.yaml", Message: "bad"}}, cli.ExitUsage, "bad"},
		{cli.GateError{Err: cause}, cli.ExitGate, "cause\n"},
		{&launch.Error{Op: "start", Plugin: "p", Err: cause}, cli.ExitPlugin, "cause"},
		{context.Canceled, cli.ExitInterrupted, "canceled"},
	} {
		v := cli.Verb{Name: "fail", Short: "Fail", Run: func(context.Context, *cli.Env, []string) error { return c.err }}
		code, _, stderr := run(t.Context(), v, "", "fail")
		if code != c.code || !strings.Contains(stderr, c.text) || c.text == "cause\n" && stderr != c.text {
			t.Errorf("%v: exit code %d and %q, want %d and %q", c.err, code, stderr, c.code, c.text)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	v := cli.Verb{Name: "wait", Short: "Wait", Run: func(ctx context.Context, _ *cli.Env, _ []string) error {
		cancel()
		<-ctx.Done()
		return cause
	}}
	if code, _, _ := run(ctx, v, "", "wait"); code != cli.ExitInterrupted {
		t.Errorf("interrupted: exit code %d, want %d", code, cli.ExitInterrupted)
	}
}

// TestVerbArgs: help's text for the arguments is their check.
func TestVerbArgs(t *testing.T) {
	for args, fits := range map[string][4]bool{ // with 0, 1, 2 and 3 arguments
		"":             {true, false, false, false},
		"SPEC":         {false, true, false, false},
		"[KIND]":       {true, true, false, false},
		"A B":          {false, false, true, false},
		"A [B]":        {false, true, true, false},
		"SPEC…":        {false, true, true, true},
		"RUN RUN…":     {false, false, true, true},
		"[NAME…]":      {true, true, true, true},
		"A [B…]":       {false, true, true, true},
		"A [B] [C]":    {false, true, true, true},
		"FILE...":      {false, true, true, true},
		"NAME|PATH  B": {false, false, true, false},
	} {
		for n, want := range fits {
			v := cli.Verb{Name: "take", Args: args, Short: "Take", Run: func(context.Context, *cli.Env, []string) error { return nil }}
			code, _, _ := run(t.Context(), v, "", append([]string{"take"}, []string{"x", "y", "z"}[:n]...)...)
			if got := code == cli.ExitDone; got != want || !got && code != cli.ExitUsage {
				t.Errorf("%q with %d arguments: exit code %d", args, n, code)
			}
		}
	}
}

// TestVerbNames: one that is taken is the program's fault.
func TestVerbNames(t *testing.T) {
	for _, name := range []string{"", "run", "list", "help", "completion", "two words", "--flag"} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("a verb %q is accepted", name)
				}
			}()
			run(t.Context(), cli.Verb{Name: name, Run: echo().Run}, "", "version")
		}()
	}
}
