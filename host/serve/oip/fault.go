package oip

import (
	"context"
	"errors"
	"math"
	"net/http"
	"strconv"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/vaeguard/vaeguard/host/serve/judge"
	"github.com/vaeguard/vaeguard/host/serve/tensors"
)

// fault is an error as both protocols word it.
type fault struct {
	status  int        // of HTTP
	code    codes.Code // of gRPC
	message string
	retry   bool // the same request may succeed later: after a pause
	after   time.Duration
}

// Error implements error.
func (f *fault) Error() string { return f.message }

const denied = codes.PermissionDenied

// statusGone is what proxies log for a client that left before the answer.
const statusGone = 499

// faultOf words an error. What only an operator should know, such as paths in it,
// is left to who watches the models.
func faultOf(err error) *fault {
	var (
		own         *fault
		missing     *judge.NotFoundError
		unavailable *judge.UnavailableError
		overloaded  *judge.OverloadedError
		input       *judge.InputError
		tensor      *tensors.Error
	)
	switch {
	case errors.As(err, &own):
		return own
	case errors.As(err, &missing):
		return &fault{status: http.StatusNotFound, code: codes.NotFound, message: missing.Error()}
	case errors.As(err, &unavailable):
		return &fault{http.StatusServiceUnavailable, codes.Unavailable, unavailable.Reason, true, unavailable.After}
	case errors.As(err, &overloaded):
		return &fault{http.StatusTooManyRequests, codes.ResourceExhausted, overloaded.Reason, true, overloaded.After}
	case errors.As(err, &input):
		return &fault{status: http.StatusBadRequest, code: codes.InvalidArgument, message: input.Error()}
	case errors.As(err, &tensor):
		return faultOf(&judge.InputError{Input: tensor.Tensor, Err: tensor.Err})
	case errors.Is(err, context.DeadlineExceeded):
		return &fault{status: http.StatusGatewayTimeout, code: codes.DeadlineExceeded, message: "no answer within the deadline"}
	case errors.Is(err, context.Canceled):
		return &fault{status: statusGone, code: codes.Canceled, message: "the client left"}
	}
	return &fault{status: http.StatusInternalServerError, code: codes.Internal, message: "the guard failed; the server's log says why"}
}

// malformed is a request that is none of the protocol. One tensor that is keeps its
// name.
func malformed(err error) error {
	var t *tensors.Error
	if errors.As(err, &t) {
		return err
	}
	return &judge.InputError{Err: err}
}

// retryAfter is the pause in whole seconds, at least one.
func (f *fault) retryAfter() string {
	return strconv.Itoa(int(max(1, math.Ceil(f.after.Seconds()))))
}

// grpc is the fault as gRPC has it.
func (f *fault) grpc() error {
	s := status.New(f.code, f.message)
	if f.retry {
		if with, err := s.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(f.after)}); err == nil {
			s = with
		}
	}
	return s.Err()
}
