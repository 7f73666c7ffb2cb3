// Package cli is vaeguard's command line: one file a verb, behind Main, so that
// a third party's own main adds a layer, an attack or a verb and has all of it.
package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/sdk/wire"
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
	results := &sink{w: stdout}
	a := &app{c: c, stdin: untilDone(ctx, stdin), stdout: results, stderr: stderr}
	root := a.root(verbs)
	root.SetArgs(args)
	root.SetIn(a.stdin)
	root.SetErr(stderr)
	ended := make(chan struct{})
	release := context.AfterFunc(ctx, func() { a.patience(ended) })
	err := root.ExecuteContext(ctx)
	close(ended)
	release()
	if err == nil {
		err = results.fault()
	}
	a.progress().Wait()
	if err != nil && ctx.Err() != nil { // whatever it was that noticed first
		if a.progress().terminal() {
			fmt.Fprint(stderr, "\r") // over the ^C that it has echoed
		}
		fmt.Fprintln(stderr, interruptText(err))
		return ExitInterrupted
	}
	if err != nil {
		fmt.Fprintln(stderr, errorText(err))
	}
	return exitCode(err)
}

// patienceAfter is how long a verb may take to end before its user is told that
// it is about to.
const patienceAfter = 2 * time.Second

// patience tells of an interrupt that takes its time, such as that of a large
// checkpoint, unless the verb ends before.
func (a *app) patience(ended <-chan struct{}) {
	select {
	case <-ended:
	case <-time.After(patienceAfter):
		a.progress().Note("stopping; a second Ctrl-C ends at once")
	}
}

// maxThreads bounds --threads: more only wait for each other.
const maxThreads = 4096

// app is what all verbs share.
type app struct {
	c      host.Components
	stdin  io.Reader
	stdout *sink
	stderr io.Writer

	threads  int
	logLevel string
	quiet    bool
	json     bool

	once sync.Once
	bar  *progress
}

// own are the verbs of every program: one file, and one line here.
var own = [...]func(*app) *cobra.Command{
	(*app).attackCommand,
	(*app).benchCommand,
	(*app).calibrateCommand,
	(*app).certifyCommand,
	(*app).demoCommand,
	(*app).detectCommand,
	(*app).evaluateCommand,
	(*app).explainCommand,
	(*app).gridCommand,
	(*app).initCommand,
	(*app).inspectCommand,
	(*app).lintCommand,
	(*app).listCommand,
	(*app).mergeCommand,
	(*app).newCommand,
	(*app).packCommand,
	(*app).exportCommand,
	(*app).pluginCommand,
	(*app).runCommand,
	(*app).runsCommand,
	(*app).schemaCommand,
	(*app).serveCommand,
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
	}
	root.SetOut(a.stdout)
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
	root.AddCommand(exitCodesTopic())
	root.SetHelpCommand(helpCommand())
	addCompletion(root)
	root.SetUsageTemplate(root.UsageTemplate() + "{{if not .HasParent}}\n" + exitCodeLine() + "{{end}}")
	usageArgs(root)
	a.complete(root)
	return root
}

// usageArgs makes a wrong number of arguments exit with the usage code.
func usageArgs(c *cobra.Command) {
	c.SuggestionsMinimumDistance = 2
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
			return unknownCommand(cmd, args[0])
		}
	}
}

// logger logs on stderr at the asked level.
func (a *app) logger() hclog.Logger {
	level := hclog.LevelFromString(a.logLevel)
	if a.logLevel == "off" {
		level = hclog.Off
	}
	o := &hclog.LoggerOptions{Name: "vaeguard", Level: level, Output: a.stderr, Color: hclog.ColorOff}
	_, plain := os.LookupEnv("NO_COLOR")
	plain = plain || runtime.GOOS == "windows"
	switch p := a.progress(); {
	case p.terminal():
		o.Output = p // above the bar
		if !plain {
			o.Color = hclog.ForceColor
		}
	case !plain:
		o.Color = hclog.AutoColor
	}
	return hclog.New(o)
}

// progress is made at the first use, when flags are read, and waited for at the
// end.
func (a *app) progress() *progress {
	a.once.Do(func() { a.bar = newProgress(a.stderr, a.quiet) })
	return a.bar
}

// errorText is what a user reads: several faults, one per line. What an error quotes of
// files is escaped where it was quoted; what was forgotten there orders nothing here.
func errorText(err error) string {
	const mostLines, mostLine = 1000, 64 << 10 // consent names each file that would run
	lines := strings.Split(err.Error(), "\n")
	if n := len(lines); n > mostLines {
		lines = append(lines[:mostLines:mostLines], fmt.Sprintf("and %d lines more", n-mostLines))
	}
	for i, l := range lines {
		lines[i] = wire.Text(l, mostLine)
	}
	text := strings.Join(lines, "\n")
	if !strings.Contains(text, "\n") && exitCode(err) != ExitGate {
		return "vaeguard: " + text
	}
	return text
}

// options are the facade's, from the global flags.
func (a *app) options() host.Options {
	return host.Options{Threads: a.threads, Logger: a.logger(), Progress: a.report()}
}
