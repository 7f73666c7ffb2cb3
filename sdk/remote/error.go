package remote

import (
	"context"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/wire"
)

// fromStatus is the error of package sdk that went on the wire as err, as far as it may be
// shown. Codes that no SDK sends are Internal.
func (c *Client) fromStatus(err error) error {
	if err == nil {
		return nil
	}
	s, ok := status.FromError(err)
	if !ok {
		return err
	}
	e := &sdk.Error{Kind: sdk.Internal, Message: wire.Text(c.shown(s.Message()), wire.MaxText)}
	switch s.Code() {
	case codes.OK:
		return nil
	case codes.Canceled:
		e.Err = context.Canceled
	case codes.DeadlineExceeded:
		e.Err = context.DeadlineExceeded
	case codes.InvalidArgument, codes.OutOfRange:
		e.Kind = sdk.InvalidArgument
	case codes.Unimplemented:
		e.Kind = sdk.Unimplemented
	case codes.FailedPrecondition:
		e.Kind = sdk.FailedPrecondition
	case codes.ResourceExhausted:
		if strings.HasPrefix(s.Message(), "grpc: received message") { // ours: it is no fewer rows that help
			e.Message = "the plugin's answer is larger than what it was asked for: " + e.Message
			break
		}
		e.Kind = sdk.ResourceExhausted
	case codes.Unavailable:
		e.Kind = sdk.Unavailable
	}
	return e
}
