package host

import (
	"context"
	"errors"
	"strings"
)

// InterruptedError is work that was cut short: what was done of it is saved if
// there is a Command.
type InterruptedError struct {
	Command string // shell command that resumes it; "": it can only be started anew
	Err     error
}

// Error names the command that resumes, and what went wrong besides: a checkpoint
// that could not be written. The interruption itself it does not repeat.
func (e *InterruptedError) Error() string {
	text := "interrupted"
	for _, err := range besides(e.Err) {
		text += "; " + strings.TrimSpace(err.Error())
	}
	switch {
	case e.Command == "":
		return text
	case text == "interrupted":
		text += "; what was done is saved"
	}
	return text + ". Resume with:\n  " + e.Command
}

// Unwrap is the cause, context.Canceled mostly.
func (e *InterruptedError) Unwrap() error { return e.Err }

// besides are the parts of an interrupted work's error that are not the
// interruption.
func besides(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var out []error
		for _, part := range joined.Unwrap() {
			out = append(out, besides(part)...)
		}
		return out
	}
	switch inner := errors.Unwrap(err); {
	case err == nil:
		return nil
	case !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded):
		return []error{err}
	case inner != nil:
		return besides(inner)
	}
	return nil
}

// interrupted is an InterruptedError if ctx has ended, else err.
func interrupted(ctx context.Context, command string, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return &InterruptedError{Command: command, Err: errors.Join(ctx.Err(), err)}
}
