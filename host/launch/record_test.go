package launch

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	pb "google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/proto"
	"github.com/vaeguard/vaeguard/sdk/tensor"
	"github.com/vaeguard/vaeguard/sdk/wire"
)

// recordEnv names the file that serveRecorded writes.
const recordEnv = "VAEGUARD_TEST_RECORD"

// serveRecorded is sdk.Serve that writes down what the host gives and sends
// and what the plugin answers, a line for each.
func serveRecorded() {
	out, err := os.OpenFile(os.Getenv(recordEnv), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		panic(err)
	}
	r := &recorder{out: out}
	for _, v := range slices.Sorted(slices.Values(os.Environ())) {
		if strings.HasPrefix(v, "PLUGIN_") || strings.HasPrefix(v, "VAEGUARD_") && !strings.HasPrefix(v, "VAEGUARD_TEST_") {
			r.line("environment %s", strings.ReplaceAll(strings.TrimSpace(v), "\n", `\n`))
		}
	}
	stdout := os.Stdout
	read, write, err := os.Pipe()
	if err != nil {
		panic(err)
	}
	os.Stdout = write // go-plugin prints the handshake there
	go func() {
		line, _ := bufio.NewReader(read).ReadString('\n')
		r.line("stdout %s", strings.TrimSpace(line))
		_, _ = io.WriteString(stdout, line)
	}()
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: wire.Handshake(),
		Plugins:         plugin.PluginSet{wire.PluginName: empty{}},
		GRPCServer: func(o []grpc.ServerOption) *grpc.Server {
			return sdk.NewServer(&line{}, append(o, grpc.ChainUnaryInterceptor(r.unary), grpc.ChainStreamInterceptor(r.stream))...)
		},
	})
}

// empty adds nothing to the server, which has its classifier.
type empty struct{ plugin.NetRPCUnsupportedPlugin }

func (empty) GRPCServer(*plugin.GRPCBroker, *grpc.Server) error { return nil }

func (empty) GRPCClient(context.Context, *plugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, errors.New("a server only")
}

// recorder writes lines.
type recorder struct {
	mu  sync.Mutex
	out io.Writer
}

func (r *recorder) line(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, _ = fmt.Fprintf(r.out, format+"\n", args...)
}

func (r *recorder) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, h grpc.UnaryHandler) (any, error) {
	name := short(info.FullMethod)
	r.line("host   %s %s", name, text(req))
	answer, err := h(ctx, req)
	if name == "GRPCController/Shutdown" {
		return answer, err // the server may be gone by now
	}
	if err != nil {
		r.line("plugin %s %s: %s", name, code(err), status.Convert(err).Message())
		return nil, err
	}
	r.line("plugin %s %s", name, text(answer))
	return answer, nil
}

func (r *recorder) stream(srv any, s grpc.ServerStream, info *grpc.StreamServerInfo, h grpc.StreamHandler) error {
	name := short(info.FullMethod)
	r.line("host   %s opened", name)
	return h(srv, &recorded{ServerStream: s, r: r, name: name})
}

type recorded struct {
	grpc.ServerStream
	r    *recorder
	name string
}

func (s *recorded) RecvMsg(m any) error {
	err := s.ServerStream.RecvMsg(m)
	switch {
	case err == nil:
		s.r.line("host   %s %s", s.name, text(m))
	case errors.Is(err, io.EOF) && s.name == "Fit":
		s.r.line("host   %s sends no more", s.name)
	}
	return err
}

func (s *recorded) SendMsg(m any) error {
	s.r.line("plugin %s %s", s.name, text(m))
	return s.ServerStream.SendMsg(m)
}

func short(method string) string {
	service, name := filepath.Split(method)
	if service = strings.Trim(service, "/"); service == proto.Classifier_ServiceDesc.ServiceName {
		return name
	}
	return service[strings.LastIndexByte(service, '.')+1:] + "/" + name
}

// code is a status code as the protocol writes it: INVALID_ARGUMENT.
func code(err error) string {
	var b strings.Builder
	for i, r := range status.Code(err).String() {
		if i > 0 && 'A' <= r && r <= 'Z' {
			b.WriteByte('_')
		}
		b.WriteRune(r)
	}
	return strings.ToUpper(b.String())
}

// text is a message in one line, its fields in the order of their numbers, a
// tensor as dtype, shape and numbers.
func text(m any) string {
	switch m := m.(type) {
	case *proto.Tensor:
		return numbers(m)
	case pb.Message:
		return message(m.ProtoReflect())
	}
	return fmt.Sprint(m)
}

func message(m protoreflect.Message) string {
	if t, ok := m.Interface().(*proto.Tensor); ok {
		return numbers(t)
	}
	var parts []string
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		if f := fields.Get(i); m.Has(f) {
			parts = append(parts, string(f.Name())+": "+field(f, m.Get(f)))
		}
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

func field(f protoreflect.FieldDescriptor, v protoreflect.Value) string {
	var parts []string
	switch {
	case f.IsMap():
		entries := map[string]string{}
		v.Map().Range(func(k protoreflect.MapKey, e protoreflect.Value) bool {
			entries[fmt.Sprintf("%q", k.String())] = scalar(f.MapValue(), e)
			return true
		})
		for _, k := range slices.Sorted(maps.Keys(entries)) {
			parts = append(parts, k+": "+entries[k])
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case f.IsList():
		for i := range v.List().Len() {
			parts = append(parts, scalar(f, v.List().Get(i)))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	return scalar(f, v)
}

func scalar(f protoreflect.FieldDescriptor, v protoreflect.Value) string {
	switch f.Kind() {
	case protoreflect.MessageKind:
		return message(v.Message())
	case protoreflect.EnumKind:
		return string(f.Enum().Values().ByNumber(v.Enum()).Name())
	case protoreflect.BytesKind:
		return "`" + string(v.Bytes()) + "`"
	case protoreflect.StringKind:
		return fmt.Sprintf("%q", v.String())
	}
	return fmt.Sprint(v.Interface())
}

func numbers(t *proto.Tensor) string {
	shape := make(tensor.Shape, len(t.Shape))
	for i, d := range t.Shape {
		shape[i] = int(d)
	}
	values := []string{}
	for b := t.Data; len(b) > 0; {
		if t.Dtype == proto.DType_I64 {
			values, b = append(values, fmt.Sprint(int64(binary.LittleEndian.Uint64(b)))), b[8:]
		} else {
			values, b = append(values, fmt.Sprint(math.Float32frombits(binary.LittleEndian.Uint32(b)))), b[4:]
		}
	}
	return fmt.Sprintf("%v %v [%s]", t.Dtype, shape, strings.Join(values, " "))
}

// line is a small classifier with everything that the protocol has: the
// logits (0, gain·(x₁ − x₀)), whose gain a config sets or a Fit counts, and
// the difference as a hidden layer.
type line struct{ gain float32 }

func (l *line) Schema() []byte {
	return []byte(`{"type": "object", "additionalProperties": false, "properties": {"gain": {"type": "number"}}}`)
}

func (l *line) Configure(_ context.Context, c sdk.Config) error {
	if len(c.JSON) == 0 {
		return nil
	}
	var config struct {
		Gain float32 `json:"gain"`
	}
	err := json.Unmarshal(c.JSON, &config)
	l.gain = config.Gain
	return err
}

func (l *line) Info(context.Context) (sdk.Info, error) {
	i := sdk.Info{Name: "line", Version: "1.0.0"}
	if l.gain != 0 {
		i.InputShape, i.Lo, i.Hi, i.NumClasses, i.Output = tensor.Shape{2}, []float32{0}, []float32{1}, 2, sdk.Logits
		i.Hidden, i.Digest, i.Ready = []sdk.HiddenLayer{{Name: "difference", Shape: tensor.Shape{1}}}, fmt.Sprintf("sha256:gain-%v", l.gain), true
	}
	return i, nil
}

func (l *line) Predict(ctx context.Context, x *tensor.Tensor) (*tensor.Tensor, error) {
	outs, _, err := l.Forward(ctx, x)
	return outs[sdk.Output], err
}

func (l *line) Forward(_ context.Context, x *tensor.Tensor, _ ...string) (map[string]*tensor.Tensor, sdk.Pullback, error) {
	y, d := tensor.New(x.N(), 2), tensor.New(x.N(), 1)
	for i := range x.N() {
		d.Row(i)[0] = x.Row(i)[1] - x.Row(i)[0]
		y.Row(i)[1] = l.gain * d.Row(i)[0]
	}
	gain := l.gain
	return map[string]*tensor.Tensor{sdk.Output: y, "hidden/difference": d}, func(_ context.Context, cots map[string]*tensor.Tensor) (*tensor.Tensor, error) {
		dx := tensor.New(x.Shape...)
		for i := range x.N() {
			var s float32
			if dy := cots[sdk.Output]; dy != nil {
				s += gain * dy.Row(i)[1]
			}
			if dd := cots["hidden/difference"]; dd != nil {
				s += dd.Row(i)[0]
			}
			dx.Row(i)[0], dx.Row(i)[1] = -s, s
		}
		return dx, nil
	}, nil
}

func (l *line) Fit(_ context.Context, d sdk.TrainingData, o sdk.FitOptions) (sdk.FitDone, error) {
	l.gain = float32(d.X.N())
	o.Progress(sdk.FitProgress{Epoch: 1, Step: 1, Steps: 1, Metrics: map[string]float64{"loss": 0.25}})
	config := fmt.Appendf(nil, `{"gain": %v}`, l.gain)
	err := os.WriteFile(filepath.Join(o.OutputDir, "gain.json"), config, 0o600)
	return sdk.FitDone{ConfigJSON: config, Files: []sdk.FitFile{{Name: "gain.json"}}, Digest: fmt.Sprintf("sha256:gain-%v", l.gain)}, err
}

// certificate is the name of what a certificate of a handshake is, or "".
func certificate(base string) string {
	if der, err := base64.RawStdEncoding.DecodeString(base); err == nil && len(der) > 100 {
		return "<the plugin's certificate>"
	}
	return base
}
