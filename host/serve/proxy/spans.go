package proxy

import (
	"context"
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// spanName is that of what is asked of a model server: the first opinion.
const spanName = "P"

// traced asks model servers in spans, which they hear of by traceparent. Without a trace what
// the client sent of one passes as it is.
type traced struct {
	http.RoundTripper
	tracer trace.Tracer
}

// RoundTrip implements http.RoundTripper.
func (t traced) RoundTrip(r *http.Request) (*http.Response, error) {
	if !trace.SpanContextFromContext(r.Context()).IsValid() {
		return t.RoundTripper.RoundTrip(r)
	}
	ctx, span := t.tracer.Start(r.Context(), spanName, trace.WithSpanKind(trace.SpanKindClient))
	defer span.End()
	inner := r.Clone(ctx)
	propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(inner.Header))
	a, err := t.RoundTripper.RoundTrip(inner)
	if err != nil {
		span.SetStatus(codes.Error, "no answer")
		return nil, err
	}
	a.Request = r // what comes of the answer is no longer in the span
	span.SetAttributes(attribute.Int("http.response.status_code", a.StatusCode))
	return a, nil
}

// tracedCall is traced for gRPC.
func (p *Proxy) tracedCall(ctx context.Context) (context.Context, func(error)) {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return ctx, func(error) {}
	}
	ctx, span := p.o.Tracer.Start(ctx, spanName, trace.WithSpanKind(trace.SpanKindClient))
	parent := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, parent)
	md, _ := metadata.FromOutgoingContext(ctx)
	md = md.Copy()
	for name, value := range parent {
		md.Set(name, value)
	}
	return metadata.NewOutgoingContext(ctx, md), func(err error) {
		if err != nil {
			span.SetStatus(codes.Error, status.Code(err).String())
		}
		span.End()
	}
}
