// Package cli is vaeguard's command line: one file a verb, behind Main, so that
// a third party's own main adds a layer, an attack or a verb and has all of it.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/vaeguard/vaeguard/host"
)

// Main runs the command line of os.Args with the given components, and verbs
// beside its own, and exits. It also serves as a plugin when a host started this
// program as one.
func Main(c host.Components, verbs ...Verb) {
	ignoreFileLimit()
	host.ServeIfPlugin(c)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the process at once
	code := Run(ctx, c, os.Args[1:], os.Stdin, os.Stdout, os.Stderr, verbs...)
	stop()
	os.Exit(code)
}

// Run is Main without a process: it returns the exit code. Results go to
// stdout, logs and progress to stderr.
func Run(ctx context.Context, c host.Components, args []string, stdin io.Reader, stdout, stderr io.Writer, verbs ...Verb) int {
	a := &app{c: c, stdin: stdin, stdout: stdout, stderr: stderr}
	root := a.root(verbs)
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if a.bar != nil {
		a.bar.Wait()
	}
	if err != nil {
		if ctx.Err() != nil && !errors.Is(err, context.Canceled) {
			err = fmt.Errorf("%w (%w)", err, context.Canceled)
		}
		fmt.Fprintln(stderr, errorText(err))
		if ctx.Err() != nil {
			return ExitInterrupted // whatever it was that noticed first
		}
	}
	return exitCode(err)
}

// maxThreads bounds --threads: more only wait for each other.
const maxThreads = 4096

// app is what all verbs share.
type app struct {
	c      host.Components
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer

	threads  int
	logLevel string
	quiet    bool
	json     bool

	bar *progress
}

// own are the verbs of every program: one file, and one line here.
var own = [...]func(*app) *cobra.Command{
	(*app).attackCommand,
	(*app).benchCommand,
	(*app).calibrateCommand,
	(*app).demoCommand,
	(*app).detectCommand,
	(*app).evaluateCommand,
	(*app).explainCommand,
	(*app).gridCommand,
	(*app).initCommand,
	(*app).inspectCommand,
	(*app).lintCommand,
	(*app).listCommand,
	(*app).newCommand,
	(*app).packCommand,
	(*app).pluginCommand,
	(*app).runCommand,
	(*app).runsCommand,
	(*app).schemaCommand,
	(*app).summaryCommand,
	(*app).trainCommand,
	(*app).versionCommand,
}

func (a *app) root(verbs []Verb) *cobra.Command {
	root := &cobra.Command{
		Use:           "vaeguard",
		Short:         "Guard a classifier against adversarial inputs",
		Long:          "vaeguard trains a detector of adversarial inputs for a classifier, which it does not change, and runs\nboth as a guarded classifier. Start with: vaeguard demo",
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       host.Version(),

		SuggestionsMinimumDistance: 2,
	}
	f := root.PersistentFlags()
	f.IntVar(&a.threads, "threads", 0, "threads for computation (0: all cores)")
	f.StringVar(&a.logLevel, "log-level", "warn", "what to log: trace, debug, info, warn, error, off")
	f.BoolVar(&a.quiet, "quiet", false, "print no progress")
	f.BoolVar(&a.json, "json", false, "print JSON")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return UsageError{err} })
	root.SetVersionTemplate("vaeguard {{.Version}}\n")
	root.PersistentPreRunE = func(*cobra.Command, []string) error {
		if a.threads < 0 || a.threads > maxThreads {
			return usagef("--threads %d: want 0 to %d", a.threads, maxThreads)
		}
		if a.logLevel != "off" && hclog.LevelFromString(a.logLevel) == hclog.NoLevel {
			return usagef("--log-level %q: want trace, debug, info, warn, error or off", a.logLevel)
		}
		return nil
	}
	for _, make := range own {
		root.AddCommand(make(a))
	}
	a.addVerbs(root, verbs)
	usageArgs(root)
	return root
}

// usageArgs makes a wrong number of arguments exit with the usage code.
func usageArgs(c *cobra.Command) {
	for _, sub := range c.Commands() {
		usageArgs(sub)
	}
	if check := c.Args; check != nil {
		c.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return usagef("%w\nusage: %s", err, cmd.UseLine())
			}
			return nil
		}
	} else if c.HasSubCommands() {
		c.Args = cobra.ArbitraryArgs // a group: the verb of it comes first
		c.RunE = func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
				return usagef("unknown command %q of %s; did you mean %q?", args[0], cmd.CommandPath(), near[0])
			}
			return usagef("unknown command %q of %s; %s --help lists them", args[0], cmd.CommandPath(), cmd.CommandPath())
		}
	}
}

// logger logs on stderr at the asked level.
func (a *app) logger() hclog.Logger {
	level := hclog.LevelFromString(a.logLevel)
	if a.logLevel == "off" {
		level = hclog.Off
	}
	color := hclog.ColorOff
	if _, no := os.LookupEnv("NO_COLOR"); !no && runtime.GOOS != "windows" {
		color = hclog.AutoColor
	}
	return hclog.New(&hclog.LoggerOptions{Name: "vaeguard", Level: level, Output: a.stderr, Color: color})
}

// progress is made at the first use and waited for at the end.
func (a *app) progress() *progress {
	if a.bar == nil {
		a.bar = newProgress(a.stderr, a.quiet)
	}
	return a.bar
}

// errorText is what a user reads: several faults, one per line.
func errorText(err error) string {
	text := err.Error()
	if !strings.Contains(text, "\n") && exitCode(err) != ExitGate {
		return "vaeguard: " + text
	}
	return text
}

// options are the facade's, from the global flags.
func (a *app) options() host.Options {
	return host.Options{Threads: a.threads, Logger: a.logger(), Progress: a.report()}
}
