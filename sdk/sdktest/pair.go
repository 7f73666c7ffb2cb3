package sdktest

import (
	"context"
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/remote"
)

// Pair serves c on a real gRPC server in memory and returns the host's end of
// it. Everything is encoded and decoded as between processes. It ends
// with the test.
func Pair(t testing.TB, c sdk.Classifier) *remote.Client {
	t.Helper()
	l := bufconn.Listen(1 << 20)
	s := sdk.NewServer(c)
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	dial := append(remote.DialOptions(),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	conn, err := grpc.NewClient("passthrough:///memory", dial...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		s.Stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return remote.NewClient(conn)
}
