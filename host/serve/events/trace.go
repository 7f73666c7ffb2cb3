package events

import (
	"context"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// maxTraceState is as many characters of a tracestate as W3C's Trace Context, 3.3.1.5, asks to pass on.
const maxTraceState = 512

// caused is the span in which an event arose: as its extensions say (CloudEvents, Distributed
// Tracing), which are those of its source, or else that of ctx, in which it came here.
func caused(ctx context.Context, e event) trace.SpanContext {
	carrier := propagation.MapCarrier{"traceparent": e.traceParent}
	if len(e.traceState) <= maxTraceState {
		carrier["tracestate"] = e.traceState
	}
	if s := trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), carrier)); s.IsValid() {
		return s
	}
	return trace.SpanContextFromContext(ctx)
}

// within is ctx in the span of an inference: its request's, for the response is of the same
// trace where anybody traces.
func (p pair) within(ctx context.Context) context.Context {
	cause := p.request.cause
	if !cause.IsValid() {
		cause = p.response.cause
	}
	if !cause.IsValid() {
		return ctx
	}
	return trace.ContextWithRemoteSpanContext(ctx, cause)
}

// withTrace adds the extensions of the span that ctx is in to the attributes of a reply.
func withTrace(ctx context.Context, about map[string]string) {
	propagation.TraceContext{}.Inject(ctx, propagation.MapCarrier(about))
}
