package serve

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	"golang.org/x/time/rate"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/sdk/wire"
)

// Traces say where spans go. What is absent here is as the variables OTEL_* of the
// environment say.
type Traces struct {
	URL    string  `yaml:"url" doc:"collector of OTLP over HTTP, http://HOST:4318, or https; absent: OTEL_EXPORTER_OTLP_TRACES_ENDPOINT or OTEL_EXPORTER_OTLP_ENDPOINT"`
	Sample float64 `yaml:"sample" default:"1" check:">= 0, <= 1" doc:"share of requests that is traced, of those whose caller has not decided by traceparent"`
}

// tracing makes the spans of a server.
type tracing struct {
	trace.Tracer
	provider *sdktrace.TracerProvider // nil: nothing is traced
}

// w3c is how callers and servers name the span that they are in.
var w3c = propagation.TraceContext{}

// exporterTime is the most that a collector may take for spans when the server ends.
const exporterTime = 3 * time.Second

// newTracing traces if the file or the environment names a collector.
func newTracing(s *Traces, warn func(error)) (*tracing, error) {
	named := s != nil && s.URL != "" || os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != ""
	if !named || os.Getenv("OTEL_SDK_DISABLED") == "true" || os.Getenv("OTEL_TRACES_EXPORTER") == "none" {
		if s != nil && !named {
			return nil, errors.New("traces: url is missing, and so are OTEL_EXPORTER_OTLP_TRACES_ENDPOINT and OTEL_EXPORTER_OTLP_ENDPOINT")
		}
		return &tracing{Tracer: noop.Tracer{}}, nil
	}
	var to []otlptracehttp.Option
	if s != nil && s.URL != "" {
		u, err := url.Parse(s.URL)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return nil, fmt.Errorf("traces.url: %q: want http://HOST:PORT or https://HOST:PORT", s.URL)
		}
		if strings.Trim(u.Path, "/") == "" {
			u.Path = "/v1/traces" // as the variable's is completed
		}
		to = append(to, otlptracehttp.WithEndpointURL(u.String()))
	}
	ctx := context.Background() // it only makes a client
	exporter, err := otlptracehttp.New(ctx, to...)
	if err != nil {
		return nil, fmt.Errorf("traces: %w", err)
	}
	about, err := resource.New(ctx, resource.WithAttributes(attribute.String("service.name", "vaeguard"), attribute.String("service.version", host.Version())),
		resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("traces: %w", err)
	}
	o := []sdktrace.TracerProviderOption{sdktrace.WithBatcher(exporter), sdktrace.WithResource(about)}
	if s != nil {
		o = append(o, sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(s.Sample))))
	}
	some := &rate.Sometimes{First: 1, Interval: time.Minute}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { some.Do(func() { warn(err) }) }))
	p := sdktrace.NewTracerProvider(o...)
	return &tracing{Tracer: p.Tracer("github.com/vaeguard/vaeguard/host/serve"), provider: p}, nil
}

// close sends what is left.
func (t *tracing) close() {
	if t.provider == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), exporterTime)
	defer cancel()
	_ = t.provider.Shutdown(ctx) // the handler of errors has heard of it
}

// request begins the span of a request over HTTP.
func (t *tracing) request(r *http.Request) (*http.Request, trace.Span) {
	if t.provider == nil || probe(r.URL.Path) {
		return r, noop.Span{}
	}
	ctx, span := t.Start(w3c.Extract(r.Context(), propagation.HeaderCarrier(r.Header)), wire.Text(r.Method, 20), trace.WithSpanKind(trace.SpanKindServer),
		trace.WithAttributes(attribute.String("http.request.method", wire.Text(r.Method, 20)), attribute.String("url.path", wire.Text(r.URL.Path, 200))))
	return r.WithContext(ctx), span
}

// answered ends it.
func answered(span trace.Span, code int) {
	span.SetAttributes(attribute.Int("http.response.status_code", code))
	if code >= http.StatusInternalServerError {
		span.SetStatus(codes.Error, http.StatusText(code))
	}
	span.End()
}

// call begins the span of a call over gRPC.
func (t *tracing) call(ctx context.Context, method string) (context.Context, func(error)) {
	if t.provider == nil {
		return ctx, func(error) {}
	}
	md, _ := metadata.FromIncomingContext(ctx)
	ctx, span := t.Start(w3c.Extract(ctx, propagation.HeaderCarrier(http.Header(canonical(md)))), wire.Text(method, 200), trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(attribute.String("rpc.system", "grpc")))
	return ctx, func(err error) {
		code := status.Code(err)
		span.SetAttributes(attribute.Int("rpc.grpc.status_code", int(code)))
		if err != nil {
			span.SetStatus(codes.Error, code.String())
		}
		span.End()
	}
}

// canonical has the metadata of a trace as headers have them.
func canonical(md metadata.MD) map[string][]string {
	return map[string][]string{"Traceparent": md.Get("traceparent"), "Tracestate": md.Get("tracestate")}
}
