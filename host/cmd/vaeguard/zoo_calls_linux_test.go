package main

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/status"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/proto"
)

// clients are those that mean harm.
func clients(t *testing.T) []client {
	other, _ := certificate(t)
	var all []client
	all = append(all, strangers(other)...)
	all = append(all, crowds()...)
	all = append(all, requests()...)
	return append(all, conversations()...)
}

// strangers do not have the key.
func strangers(other tls.Certificate) []client {
	const kind = "key"
	return []client{
		{kind, "no certificate", "tls: certificate required", func(_ context.Context, d *door) error {
			c := d.config()
			c.Certificates = nil
			return d.knock(c)
		}},
		{kind, "a certificate of its own", "tls: unknown certificate authority", func(_ context.Context, d *door) error {
			c := d.config()
			c.Certificates = []tls.Certificate{other}
			return d.knock(c)
		}},
		{kind, "TLS 1.1", "protocol version not supported", func(_ context.Context, d *door) error {
			c := d.config()
			c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
			return d.knock(c)
		}},
		{kind, "no TLS at all", "Unavailable", func(ctx context.Context, d *door) error {
			conn, err := d.dial(nil)
			if err != nil {
				return err
			}
			defer conn.Close()
			_, err = proto.NewClassifierClient(conn).Describe(ctx, &proto.DescribeRequest{})
			return errors.New(status.Code(err).String())
		}},
	}
}

// crowds hold connections.
func crowds() []client {
	const kind = "connections"
	hold := func(n int, say string) func(context.Context, *door) error {
		return func(ctx context.Context, d *door) error {
			for range n {
				c, err := d.raw()
				if err != nil {
					return err
				}
				defer c.Close()
				if _, err := io.WriteString(c, say); err != nil {
					return err
				}
			}
			return nil
		}
	}
	return []client{
		{kind, "300 that say nothing", "", hold(300, "")},
		{kind, "300 that begin to speak TLS", "", hold(300, "\x16\x03\x01\x40\x00\x01\x00\x3f\xfc\x03\x03")},
		{kind, "a record of TLS that is longer than any", "", func(_ context.Context, d *door) error {
			c, err := d.raw()
			if err != nil {
				return err
			}
			defer c.Close()
			_, _ = io.WriteString(c, "\x16\x03\x03\xff\xff"+strings.Repeat("x", 1<<16))
			_, _ = io.Copy(io.Discard, c) // it is hung up
			return nil
		}},
		{kind, "one with the key that never ends its headers", "", func(_ context.Context, d *door) error {
			return tlsRaw(d, func(c net.Conn) {
				_, _ = io.WriteString(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
				_, _ = io.WriteString(c, "\x00\x00\x01\x01\x00\x00\x00\x00\x01\x82") // HEADERS without END_HEADERS
				for range 2000 {                                                     // CONTINUATION of 16 KiB each
					if _, err := io.WriteString(c, "\x00\x40\x00\x09\x00\x00\x00\x00\x01"+strings.Repeat("\x00", 1<<14)); err != nil {
						return
					}
				}
			})
		}},
		{kind, "one with the key that resets 20,000 streams", "", func(_ context.Context, d *door) error {
			return tlsRaw(d, func(c net.Conn) {
				go func() { _, _ = io.Copy(io.Discard, c) }()
				_, _ = io.WriteString(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
				for id := 1; id < 40_000; id += 2 {
					n := string([]byte{0, byte(id >> 16), byte(id >> 8), byte(id)})
					if _, err := io.WriteString(c, "\x00\x00\x03\x01\x04"+n+"\x83\x86\x84"+"\x00\x00\x04\x03\x00"+n+"\x00\x00\x00\x08"); err != nil {
						return
					}
				}
			})
		}},
	}
}

// tlsRaw speaks TLS with the key, and what it likes inside.
func tlsRaw(d *door, speak func(net.Conn)) error {
	c := d.config()
	c.NextProtos = []string{"h2"}
	under, err := d.raw()
	if err != nil {
		return err
	}
	defer under.Close()
	conn := tls.Client(under, c)
	_ = conn.SetDeadline(time.Now().Add(clientSeconds * time.Second))
	if err := conn.Handshake(); err != nil {
		return err
	}
	speak(conn)
	return nil
}

// requests ask with tensors and texts that are none.
func requests() []client {
	const kind = "requests"
	predict := func(x *proto.Tensor, outputs ...string) func(context.Context, *door) error {
		return func(ctx context.Context, d *door) error {
			_, err := proto.NewClassifierClient(d.conn).Predict(ctx, &proto.PredictRequest{X: x, Outputs: outputs})
			return err
		}
	}
	x := func(shape ...int64) *proto.Tensor {
		return &proto.Tensor{Dtype: proto.DType_F32, Shape: shape, Data: make([]byte, 256)}
	}
	nan := x(1, 64)
	nan.Data[3], nan.Data[2] = 0x7f, 0xc0
	kind99 := x(1, 64)
	kind99.Dtype = 99
	many := make([]string, 500_000)
	for i := range many {
		many[i] = "hidden/" + strconv.Itoa(i)
	}
	configure := func(text string) func(context.Context, *door) error {
		return func(ctx context.Context, d *door) error {
			m, err := proto.NewClassifierClient(d.conn).Configure(ctx, &proto.ConfigureRequest{ConfigJson: []byte(text)})
			if len(m.GetDiagnostics()) > 0 {
				return errors.New(m.Diagnostics[0].Message)
			}
			return err
		}
	}
	return []client{
		{kind, "no rows at all", "no tensor", predict(nil)},
		{kind, "a shape of 2^62 numbers", "dimension 1 is 4611686018427387904", predict(x(1, 1<<62))},
		{kind, "2^29 rows without a byte", "256 bytes for shape", predict(x(1<<23, 64))},
		{kind, "minus one row", "dimension 0 is -1", predict(x(-1, 64))},
		{kind, "2^20 dimensions", "dimensions", predict(x(make([]int64, 1<<20)...))},
		{kind, "rows of another shape", "shape", predict(x(2, 32))},
		{kind, "NaN", "NaN", predict(nan)},
		{kind, "a type that does not exist", "dtype 99", predict(kind99)},
		{kind, "500,000 outputs that are not there", "unknown output", predict(x(1, 64), many...)},
		{kind, "a config of 1,000,000 levels", "depth", configure(strings.Repeat(`{"a":`, 1_000_000) + "1" + strings.Repeat("}", 1_000_000))},
		{kind, "a config that is no JSON", "invalid character", configure("\xff\xfe{")},
	}
}

// conversations break the order of streams.
func conversations() []client {
	const kind = "streams"
	tape := func(steps ...*proto.DifferentiateRequest) func(context.Context, *door) error {
		return func(ctx context.Context, d *door) error {
			s, err := proto.NewClassifierClient(d.conn).Differentiate(ctx)
			if err != nil {
				return err
			}
			for _, m := range steps {
				if err := s.Send(m); err != nil {
					break // Recv has the cause
				}
				if _, err := s.Recv(); err != nil {
					return err
				}
			}
			return errTold
		}
	}
	fit := func(messages ...*proto.FitRequest) func(context.Context, *door) error {
		return func(ctx context.Context, d *door) error {
			s, err := proto.NewClassifierClient(d.conn).Fit(ctx)
			if err != nil {
				return err
			}
			for _, m := range messages {
				if err := s.Send(m); err != nil {
					break
				}
			}
			_ = s.CloseSend()
			for {
				if _, err := s.Recv(); err != nil {
					return err
				}
			}
		}
	}
	rows := func(n int64) *proto.Tensor {
		return &proto.Tensor{Dtype: proto.DType_F32, Shape: []int64{n, 64}, Data: make([]byte, 256*n)}
	}
	forward := &proto.DifferentiateRequest{Step: &proto.DifferentiateRequest_Forward{Forward: &proto.PredictRequest{X: rows(1)}}}
	backward := func(name string, y *proto.Tensor) *proto.DifferentiateRequest {
		return &proto.DifferentiateRequest{Step: &proto.DifferentiateRequest_Backward{Backward: &proto.CotangentRequest{Cotangents: map[string]*proto.Tensor{name: y}}}}
	}
	options := func(n int64) *proto.FitRequest {
		return &proto.FitRequest{Step: &proto.FitRequest_Options{Options: &proto.FitOptions{NTrain: n, OutputDir: "/nowhere"}}}
	}
	return []client{
		{kind, "backward before forward", "backward without a forward", tape(backward(sdk.Output, rows(1)))},
		{kind, "neither forward nor backward", "neither forward nor backward", tape(&proto.DifferentiateRequest{})},
		{kind, "a cotangent of what was not asked for", "output", tape(forward, backward("hidden/x", rows(1)))},
		{kind, "a cotangent of other rows", "cotangent of output has shape 3×10, want 1×10", tape(forward, backward(sdk.Output, &proto.Tensor{Dtype: proto.DType_F32, Shape: []int64{3, 10}, Data: make([]byte, 120)}))},
		{kind, "200 tapes that nobody uses", "", func(ctx context.Context, d *door) error {
			for range 200 {
				s, err := proto.NewClassifierClient(d.conn).Differentiate(ctx)
				if err != nil {
					return err
				}
				if err := s.Send(forward); err != nil {
					return err
				}
				if _, err := s.Recv(); err != nil {
					return err
				}
			}
			return nil
		}},
		{kind, "a training of 2^40 rows", "1099511627776 training and 0 validation rows", fit(options(1 << 40))},
		{kind, "a training that announces 2^28 rows and sends one", "rows came", fit(options(1<<28), &proto.FitRequest{Step: &proto.FitRequest_Rows{Rows: &proto.FitRows{
			X: rows(1), Labels: &proto.Tensor{Dtype: proto.DType_I64, Shape: []int64{1}, Data: make([]byte, 8)}, Split: proto.Split_TRAIN}}})},
		{kind, "rows before the options", "fit", fit(&proto.FitRequest{Step: &proto.FitRequest_Rows{Rows: &proto.FitRows{X: rows(1)}}})},
	}
}
