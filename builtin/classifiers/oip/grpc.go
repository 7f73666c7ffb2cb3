package oip

import (
	"context"
	"crypto/tls"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/vaeguard/vaeguard/host/serve/inference"
	"github.com/vaeguard/vaeguard/sdk"
)

// remote speaks the protocol over gRPC.
type remote struct {
	conn           *grpc.ClientConn
	model, version string
	token          string
}

func newRemote(s *settings, secure *tls.Config) (*remote, error) {
	creds := insecure.NewCredentials()
	if secure != nil {
		creds = credentials.NewTLS(secure)
	}
	conn, err := grpc.NewClient("dns:///"+s.at.Host,
		grpc.WithTransportCredentials(creds),
		grpc.WithNoProxy(), grpc.WithDisableRetry(), grpc.WithDisableServiceConfig(), // caller decides about retries
		grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: seconds(s.Timeout), Backoff: backoff.Config{
			BaseDelay: seconds(s.Backoff) / 2, Multiplier: 1, MaxDelay: seconds(s.Backoff) / 2}}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(int(s.limit())), grpc.MaxCallSendMsgSize(math.MaxInt32)),
	)
	if err != nil {
		return nil, err
	}
	return &remote{conn: conn, model: s.Model, version: s.Version, token: s.Token}, nil
}

func (r *remote) close() { _ = r.conn.Close() } // it is only closed once

// call makes one call.
func (r *remote) call(ctx context.Context, method string, in, out any) *fault {
	if parent := sdk.TraceParent(ctx); parent != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "traceparent", parent)
	}
	if r.token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+r.token)
	}
	return said(r.conn.Invoke(ctx, method, in, out))
}

// said is a gRPC status as a fault.
func said(err error) *fault {
	if err == nil {
		return nil
	}
	s := status.Convert(err)
	f := faultf(sdk.Internal, "gRPC %v: %s", s.Code(), printable(s.Message()))
	switch s.Code() {
	case codes.Unavailable:
		f.kind = sdk.FailedPrecondition
		f.retry = !strings.Contains(s.Message(), "authentication handshake failed") // a wrong certificate stays wrong
	case codes.ResourceExhausted:
		if strings.Contains(s.Message(), "larger than max") { // the host halves the batch
			f.kind = sdk.ResourceExhausted
			break
		}
		f.kind, f.retry = sdk.FailedPrecondition, true
	case codes.Unauthenticated, codes.PermissionDenied:
		f.kind = sdk.FailedPrecondition
		f.message += "; is the token right?"
	case codes.NotFound:
		f.kind, f.missing = sdk.FailedPrecondition, true
	case codes.InvalidArgument, codes.OutOfRange:
		f.kind, f.missing = sdk.InvalidArgument, true
	case codes.Unimplemented:
		f.kind = sdk.FailedPrecondition
	}
	for _, d := range s.Details() {
		if info, ok := d.(*errdetails.RetryInfo); ok && info.RetryDelay != nil {
			f.after = min(max(0, info.RetryDelay.AsDuration()), 24*time.Hour)
		}
	}
	return f
}

func (r *remote) describe(ctx context.Context, c *caller) (*description, error) {
	m, ready := &inference.ModelMetadataResponse{}, &inference.ModelReadyResponse{}
	if err := c.do(ctx, "model metadata", func(ctx context.Context) *fault {
		return r.call(ctx, inference.ModelMetadata, &inference.ModelMetadataRequest{Name: r.model, Version: r.version}, m)
	}); err != nil {
		return nil, err
	}
	if err := c.do(ctx, "model ready", func(ctx context.Context) *fault {
		return r.call(ctx, inference.ModelReady, &inference.ModelReadyRequest{Name: r.model, Version: r.version}, ready)
	}); err != nil {
		return nil, err
	}
	d := &description{ready: ready.Ready, versions: m.Versions}
	server, conf := &inference.ServerMetadataResponse{}, &inference.ModelConfigResponse{}
	if r.call(ctx, inference.ServerMetadata, &inference.ServerMetadataRequest{}, server) == nil && slices.Contains(server.Extensions, configExtension) {
		_ = r.call(ctx, inference.ModelConfig, &inference.ModelConfigRequest{Name: r.model, Version: r.version}, conf) // a gateway may hide it
		d.most = int(max(0, conf.GetConfig().GetMaxBatchSize()))
	}
	ports := func(list []*inference.ModelMetadataResponse_TensorMetadata) []port {
		var out []port
		for _, t := range list {
			out = append(out, port{t.GetName(), t.GetDatatype(), t.GetShape()})
		}
		return out
	}
	d.inputs, d.outputs = ports(m.Inputs), ports(m.Outputs)
	return d, nil
}

func (r *remote) infer(ctx context.Context, q *query) (*answer, *fault) {
	m, f := q.message()
	if f != nil {
		return nil, f
	}
	m.Model, m.Version = r.model, r.version
	in := m.Message()
	out := &inference.ModelInferResponse{}
	if f := r.call(ctx, inference.ModelInfer, in, out); f != nil {
		return nil, f
	}
	return q.answer(out)
}

// answer reads an answer, of raw bytes or of typed numbers.
func (q *query) answer(m *inference.ModelInferResponse) (*answer, *fault) {
	came := make([]port, len(m.Outputs))
	for i, o := range m.Outputs {
		came[i] = port{o.GetName(), o.GetDatatype(), o.GetShape()}
	}
	at, f := q.choose(came)
	if f != nil {
		return nil, f
	}
	p := came[at]
	if len(m.RawOutputContents) > 0 {
		if len(m.RawOutputContents) != len(came) {
			return nil, faultf(sdk.Internal, "%d raw contents for %d outputs", len(m.RawOutputContents), len(came))
		}
		return q.raw(p, m.RawOutputContents[at])
	}
	columns, f := q.accept(p)
	if f != nil {
		return nil, f
	}
	contents := m.Outputs[at].GetContents()
	a := &answer{name: p.Name, columns: columns, values: contents.GetFp32Contents()}
	if p.Datatype == typeF64 {
		for _, v := range contents.GetFp64Contents() {
			a.values = append(a.values, float32(v))
		}
	}
	if want := q.rows() * columns; len(a.values) != want {
		return nil, faultf(sdk.Internal, "output %q: %d numbers for %s %v, want %d", p.Name, len(a.values), p.Datatype, fmt.Sprint(p.Shape), want)
	}
	return a, a.finite()
}
