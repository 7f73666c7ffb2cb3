package sdk

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Kind classifies an error so that it means the same on both sides of the
// process boundary. A Kind is itself an error, to be asked for with errors.Is:
//
//	if errors.Is(err, sdk.ResourceExhausted) { … }
type Kind int

// The kinds of error. An error without a kind counts as Internal.
const (
	InvalidArgument    Kind = iota + 1 // shape, dtype, range, unknown output
	Unimplemented                      // the classifier does not offer this call
	FailedPrecondition                 // not configured, not trained
	ResourceExhausted                  // too many rows: the host halves the batch and tries again
	Internal                           // non-finite output, panic, exception
	Unavailable                        // the plugin is gone: the host restarts it and replays the call
)

// Error names the kind.
func (k Kind) Error() string {
	switch k {
	case InvalidArgument:
		return "invalid argument"
	case Unimplemented:
		return "not implemented"
	case FailedPrecondition:
		return "failed precondition"
	case ResourceExhausted:
		return "resource exhausted"
	case Unavailable:
		return "unavailable"
	}
	return "internal error"
}

// Error is an error with a kind. It crosses the boundary with kind and message.
type Error struct {
	Kind    Kind
	Message string
	Err     error // the cause, or nil; it stays on its side of the boundary
}

// Errorf returns an *Error of the given kind. A %w operand is its cause.
func Errorf(k Kind, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &Error{Kind: k, Message: err.Error(), Err: errors.Unwrap(err)}
}

// Error is the message, or the kind if there is none.
func (e *Error) Error() string {
	if e.Message == "" {
		return e.Kind.Error()
	}
	return e.Message
}

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is e's Kind.
func (e *Error) Is(target error) bool {
	k, ok := target.(Kind)
	return ok && k == e.Kind
}

// KindOf is the kind of err: that of the first Error, Kind or Diagnostics in
// its chain, else Internal; 0 for nil.
func KindOf(err error) Kind {
	var e *Error
	var k Kind
	var d Diagnostics
	switch {
	case err == nil:
		return 0
	case errors.As(err, &e):
		return e.Kind
	case errors.As(err, &k):
		return k
	case errors.As(err, &d):
		return InvalidArgument
	}
	return Internal
}

// Diagnostic is one complaint about a config.
type Diagnostic struct {
	Pointer string // JSON pointer into Config.JSON: "/layers/2/units"; "" is the whole
	Message string
}

// Diagnostics are all complaints about a config, as an error.
type Diagnostics []Diagnostic

// Error joins the complaints with "; ".
func (d Diagnostics) Error() string {
	parts := make([]string, len(d))
	for i, x := range d {
		parts[i] = x.Message
		if x.Pointer != "" {
			parts[i] = x.Pointer + ": " + x.Message
		}
	}
	return strings.Join(parts, "; ")
}

// Is reports whether target is InvalidArgument, the kind of every Diagnostics.
func (d Diagnostics) Is(target error) bool { return target == error(InvalidArgument) }

// toStatus is err as it goes on the wire.
func toStatus(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, context.Canceled) {
		return status.Error(codes.Canceled, err.Error())
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return status.Error(codes.DeadlineExceeded, err.Error())
	}
	code := codes.Internal
	switch KindOf(err) {
	case InvalidArgument:
		code = codes.InvalidArgument
	case Unimplemented:
		code = codes.Unimplemented
	case FailedPrecondition:
		code = codes.FailedPrecondition
	case ResourceExhausted:
		code = codes.ResourceExhausted
	case Unavailable:
		code = codes.Unavailable
	}
	return status.Error(code, strings.ToValidUTF8(err.Error(), "\uFFFD"))
}
