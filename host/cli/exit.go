package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/vaeguard/vaeguard/host/launch"
	"github.com/vaeguard/vaeguard/host/spec"
)

// Exit codes, a contract with scripts.
const (
	exitDone        = 0
	exitFailed      = 1   // data, artifact or training failed
	exitUsage       = 2   // usage, spec, lint, unknown name
	exitGate        = 3   // a --fail-if gate
	exitPlugin      = 4   // the plugin: start, handshake, check, pin, crash beyond budget
	exitInterrupted = 130 // Ctrl-C
)

// usageError is the caller's fault: exit code 2.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// gateError says which --fail-if gates were tripped: exit code 3.
type gateError struct{ err error }

func (e gateError) Error() string { return e.err.Error() }
func (e gateError) Unwrap() error { return e.err }

// exitCode maps an error to the process's exit code.
func exitCode(err error) int {
	var usage usageError
	var gate gateError
	var faults spec.Errors
	var fault spec.Error
	var plugin *launch.Error
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &gate):
		return exitGate
	case errors.As(err, &usage), errors.As(err, &faults), errors.As(err, &fault):
		return exitUsage
	case errors.As(err, &plugin):
		return exitPlugin
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	}
	return exitFailed
}
