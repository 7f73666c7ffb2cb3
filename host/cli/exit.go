package cli

import (
	"context"
	"errors"
	"fmt"

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
	ExitInterrupted = 130 // Ctrl-C: context.Canceled
)

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
