// Package callertest lends a classifier of a test, as a program does that starts
// vaeguard: the other end of package caller's socket, in Go.
package callertest

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/vaeguard/vaeguard/sdk"
	wire "github.com/vaeguard/vaeguard/sdk/proto"
)

// Lend serves c until the test ends, and gives the value of caller.Variable,
// VAEGUARD_CALLER.
func Lend(t testing.TB, c sdk.Classifier) string {
	t.Helper()
	inner := listen(t)
	server := sdk.NewServer(c)
	go func() { _ = server.Serve(inner) }()
	t.Cleanup(server.Stop)
	conn, err := grpc.NewClient("unix:"+inner.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	l := &lender{conn: conn, ctx: t.Context()}
	return lend(t, func(s net.Conn) {
		for l.call(s) == nil {
		}
	})
}

// Answering lends a model that answers to each call with these bytes, and then hangs
// up.
func Answering(t testing.TB, frame []byte) string {
	t.Helper()
	return lend(t, func(s net.Conn) {
		for range 2 { // the call and its request
			if _, _, err := read(s); err != nil {
				return
			}
		}
		_, _ = s.Write(frame)
	})
}

// lend greets whoever knows the key, and hands the connection to serve.
func lend(t testing.TB, serve func(net.Conn)) string {
	t.Helper()
	outer := listen(t)
	key := make([]byte, sha256.Size)
	_, _ = rand.Read(key) // never fails
	go func() {
		for {
			s, err := outer.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = s.Close() }()
				if greet(s, key) {
					serve(s)
				}
			}()
		}
	}()
	return "unix " + hex.EncodeToString(key) + " " + outer.Addr().String()
}

// listen opens a socket, in a folder with a short name: paths of sockets have about
// 100 bytes.
func listen(t testing.TB) net.Listener {
	t.Helper()
	dir, err := os.MkdirTemp("", "lend")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

type lender struct {
	conn *grpc.ClientConn
	ctx  context.Context
}

// calls are the messages of each method: a new request and a new answer.
var calls = map[string]func() (request, answer proto.Message){
	"Describe":  func() (proto.Message, proto.Message) { return &wire.DescribeRequest{}, &wire.DescribeResponse{} },
	"Configure": func() (proto.Message, proto.Message) { return &wire.ConfigureRequest{}, &wire.ConfigureResponse{} },
	"Predict":   func() (proto.Message, proto.Message) { return &wire.PredictRequest{}, &wire.PredictResponse{} },
	"Gradient":  func() (proto.Message, proto.Message) { return &wire.GradientRequest{}, &wire.GradientResponse{} },
	"Differentiate": func() (proto.Message, proto.Message) {
		return &wire.DifferentiateRequest{}, &wire.DifferentiateResponse{}
	},
}

const magic = "vaeguard caller 1\n"

// greet reports whether the other end knows the key.
func greet(s net.Conn, key []byte) bool {
	hello := make([]byte, len(magic)+32)
	if _, err := io.ReadFull(s, hello); err != nil || !strings.HasPrefix(string(hello), magic) {
		return false
	}
	a, b := hello[len(magic):], make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	prove := func(who string) []byte {
		h := hmac.New(sha256.New, key)
		_, _ = h.Write(slices.Concat([]byte(who), a, b))
		return h.Sum(nil)
	}
	if _, err := s.Write(append(slices.Clone(b), prove("lender")...)); err != nil {
		return false
	}
	got := make([]byte, sha256.Size)
	_, err := io.ReadFull(s, got)
	return err == nil && hmac.Equal(got, prove("vaeguard"))
}

func (l *lender) call(s net.Conn) error {
	_, method, err := read(s)
	if err != nil {
		return err
	}
	made, path := calls[string(method)], "/"+wire.Classifier_ServiceDesc.ServiceName+"/"+string(method)
	if made == nil {
		return write(s, 'X', []byte("unimplemented\n"+string(method)))
	}
	if string(method) == "Differentiate" {
		return l.stream(s, path, made)
	}
	request, answer := made()
	_, body, err := read(s)
	if err == nil {
		err = proto.Unmarshal(body, request)
	}
	if err != nil {
		return err
	}
	return reply(s, answer, l.conn.Invoke(l.ctx, path, request, answer))
}

func (l *lender) stream(s net.Conn, path string, made func() (proto.Message, proto.Message)) error {
	both := &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}
	g, err := l.conn.NewStream(l.ctx, both, path)
	if err != nil {
		return err
	}
	defer func() { _ = g.CloseSend() }()
	for {
		request, answer := made()
		_, body, err := read(s)
		if err == nil {
			err = proto.Unmarshal(body, request)
		}
		if err != nil {
			return err
		}
		_ = g.SendMsg(request) // RecvMsg has the cause
		err = g.RecvMsg(answer)
		if reply(s, answer, err) != nil || err != nil {
			return io.EOF
		}
	}
}

// reply sends an answer, or an error by its kind.
func reply(s net.Conn, answer proto.Message, err error) error {
	if err == nil {
		body, err := proto.Marshal(answer)
		if err != nil {
			return err
		}
		return write(s, 'M', body)
	}
	kinds := map[codes.Code]string{codes.InvalidArgument: "invalid_argument", codes.Unimplemented: "unimplemented",
		codes.FailedPrecondition: "failed_precondition", codes.ResourceExhausted: "resource_exhausted"}
	kind, ok := kinds[status.Code(err)]
	if !ok {
		kind = "internal"
	}
	return write(s, 'X', []byte(kind+"\n"+status.Convert(err).Message()))
}

func read(s net.Conn) (kind byte, body []byte, err error) {
	head := make([]byte, 5)
	if _, err := io.ReadFull(s, head); err != nil {
		return 0, nil, err
	}
	body = make([]byte, binary.LittleEndian.Uint32(head[1:]))
	_, err = io.ReadFull(s, body)
	return head[0], body, err
}

func write(s net.Conn, kind byte, body []byte) error {
	head := binary.LittleEndian.AppendUint32([]byte{kind}, uint32(len(body)))
	_, err := s.Write(append(head, body...))
	return err
}
