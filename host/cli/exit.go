package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/launch"
	"github.com/vaeguard/vaeguard/host/spec"
)

// Exit codes, a contract with scripts. A verb chooses one by the type of its
// error, which may be wrapped.
const (
	ExitDone        = 0
	ExitFailed      = 1   // data, artifact or training failed, or --strict and a severe finding of health: any other error
	ExitUsage       = 2   // usage, spec, lint, unknown name: UsageError, spec.Error, spec.Errors
	ExitGate        = 3   // a --fail-if gate: GateError
	ExitPlugin      = 4   // the plugin: start, handshake, check, pin, crash beyond budget: *launch.Error
	ExitInterrupted = 130 // Ctrl-C or SIGTERM: context.Canceled
)

// exitCodes are the exit codes in the order of help: what each means, and in a
// few words.
var exitCodes = [...]struct {
	code        int
	short, long string
}{
	{ExitDone, "done", "The work is done."},
	{ExitFailed, "failed", "Data, a detector or a training failed, a file could not be read or written, or --strict found a guard that is useless or does harm."},
	{ExitUsage, "usage or spec", "The command line, a spec or a name in it is wrong; nothing was done."},
	{ExitGate, "gate", "A condition of --fail-if holds: the report is written, and the result not accepted."},
	{ExitPlugin, "plugin", "The classifier's plugin could not be started or verified, broke the contract, failed a check or crashed too often."},
	{ExitInterrupted, "interrupted", "Ctrl-C or SIGTERM. Files are whole or absent; what can be resumed prints the command. A second Ctrl-C ends at once. A server is meant to end so: serve exits with 0."},
}

// exitCodeLine are the exit codes in one line.
func exitCodeLine() string {
	parts := make([]string, len(exitCodes))
	for i, e := range exitCodes {
		parts[i] = fmt.Sprintf("%d %s", e.code, e.short)
	}
	return "Exit codes: " + strings.Join(parts, ", ") + ". See vaeguard help exit-codes.\n"
}

// exitCodesTopic is the help topic of exit codes, which is no verb.
func exitCodesTopic() *cobra.Command {
	var b strings.Builder
	b.WriteString("A script can rely on the exit code:\n\n")
	for _, e := range exitCodes {
		fmt.Fprintf(&b, "%5d  %s\n", e.code, e.long)
	}
	return &cobra.Command{Use: "exit-codes", Short: "What the exit codes mean", Long: strings.TrimSuffix(b.String(), "\n")}
}

// UsageError is the caller's fault, such as a flag's value: exit code 2.
type UsageError struct{ Err error }

// Error is the message of Err.
func (e UsageError) Error() string { return e.Err.Error() }

// Unwrap gives Err.
func (e UsageError) Unwrap() error { return e.Err }

func usagef(format string, args ...any) error { return UsageError{fmt.Errorf(format, args...)} }

// GateError is a result that the caller does not accept, such as a tripped
// --fail-if: exit code 3. Its message is printed as it is.
type GateError struct{ Err error }

// Error is the message of Err.
func (e GateError) Error() string { return e.Err.Error() }

// Unwrap gives Err.
func (e GateError) Unwrap() error { return e.Err }

// interruptText is what a user reads after an interrupt: that it was one, how to
// go on where the verb knows, and what went wrong besides.
func interruptText(err error) string {
	var known *host.InterruptedError
	if !errors.As(err, &known) {
		known = &host.InterruptedError{Err: err}
	}
	return "vaeguard: " + known.Error()
}

// exitCode maps an error to the process's exit code.
func exitCode(err error) int {
	var usage UsageError
	var gate GateError
	var faults spec.Errors
	var fault spec.Error
	var plugin *launch.Error
	switch {
	case err == nil:
		return ExitDone
	case errors.As(err, &gate):
		return ExitGate
	case errors.As(err, &usage), errors.As(err, &faults), errors.As(err, &fault):
		return ExitUsage
	case errors.As(err, &plugin):
		return ExitPlugin
	case errors.Is(err, context.Canceled):
		return ExitInterrupted
	}
	return ExitFailed
}
