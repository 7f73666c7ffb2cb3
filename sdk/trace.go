package sdk

import (
	"context"

	"google.golang.org/grpc/metadata"
)

// TraceParent is the traceparent (W3C Trace Context) of the step of the host that asks, in a
// call of a classifier: a classifier that asks a server passes it on, so that the server's
// spans join those of whoever asked the guard. "": the host does not trace the call.
func TraceParent(ctx context.Context) string {
	md, _ := metadata.FromIncomingContext(ctx)
	if v := md.Get("traceparent"); len(v) == 1 {
		return v[0]
	}
	return ""
}
