package judge

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/metadata"

	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/sdk"
)

// traces reports whether spans are wanted.
func (g *Guard) traces(ctx context.Context) bool {
	return trace.SpanContextFromContext(ctx).IsSampled()
}

// span begins the one of a request.
func (g *Guard) span(ctx context.Context, r Request) (context.Context, trace.Span) {
	o := []trace.SpanStartOption{trace.WithAttributes(attribute.String("vaeguard.model", g.o.Name), attribute.String("vaeguard.version", g.o.Version), attribute.String("vaeguard.way", r.Way))}
	if r.Rows != nil && r.Rows.X != nil {
		o = append(o, trace.WithAttributes(attribute.Int("vaeguard.rows", r.N())))
	}
	return g.o.Tracer.Start(ctx, "judge", o...)
}

// spanned ends it. What failed is told by its kind: a message may have a plugin's last lines.
func (g *Guard) spanned(ctx context.Context, span trace.Span, e *Event) {
	if !span.IsRecording() {
		span.End()
		return
	}
	end := e.Start.Add(e.Took)
	began := end
	if e.Result != nil {
		began = e.Start.Add(e.Queued)
		flagged := 0
		for _, f := range e.Result.Adversarial {
			if f {
				flagged++
			}
		}
		span.SetAttributes(attribute.Int("vaeguard.flagged", flagged), attribute.Int("vaeguard.batch_rows", e.Batch), attribute.Int("vaeguard.extra_rows", e.Extra))
	} else {
		what := e.Err.Error()
		if input := (*InputError)(nil); errors.As(e.Err, &input) {
			what = "the input is refused" // not what is in it
		}
		span.SetStatus(codes.Error, what)
	}
	_, wait := g.o.Tracer.Start(ctx, "queue", trace.WithTimestamp(e.Start))
	wait.End(trace.WithTimestamp(began))
	span.End(trace.WithTimestamp(end))
}

// spanBatch begins the span of a batch, below that of its first request that is traced, with
// links to the others'.
func (g *Guard) spanBatch(ctx context.Context, jobs []*job) (context.Context, func(error)) {
	var links []trace.Link
	rows := 0
	for _, j := range jobs {
		rows += j.N()
		if g.traces(j.ctx) {
			links = append(links, trace.Link{SpanContext: trace.SpanContextFromContext(j.ctx)})
		}
	}
	if len(links) == 0 {
		return ctx, func(error) {}
	}
	ctx = trace.ContextWithSpanContext(ctx, links[0].SpanContext)
	ctx, span := g.o.Tracer.Start(ctx, "batch", trace.WithLinks(links[1:]...), trace.WithAttributes(attribute.Int("vaeguard.rows", rows), attribute.Int("vaeguard.requests", len(jobs))))
	return detect.WithSteps(ctx, g.step), func(err error) { finish(span, err) }
}

// step is one of a detection. What it asks, a plugin perhaps, is told of it by traceparent.
func (g *Guard) step(ctx context.Context, name string) (context.Context, func(error)) {
	ctx, span := g.o.Tracer.Start(ctx, name)
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return metadata.NewOutgoingContext(ctx, metadata.New(carrier)), func(err error) { finish(span, err) }
}

func finish(span trace.Span, err error) {
	if err != nil {
		span.SetStatus(codes.Error, sdk.KindOf(err).Error())
	}
	span.End(trace.WithTimestamp(time.Now()))
}
