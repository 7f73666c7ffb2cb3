package launch

import (
	"context"
	"fmt"
	"net"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/remote"
)

// lentBuffer is what a connection within this process holds, in bytes.
const lentBuffer = 1 << 20

// Lend is New for a model of this very program: no process is started, and the model
// is asked where it is, over the protocol that any plugin is asked by. So it has the
// same checks, limits of a batch, layouts and preprocessing. Of s it takes Preprocess
// alone, and of p neither replicas nor limits. The model belongs to the caller and
// must answer until the result is closed.
func Lend(ctx context.Context, model sdk.Classifier, s Section, p Process, d Deps) (*Classifier, error) {
	checks, err := ParseChecks(p.Checks)
	if err != nil {
		return nil, err
	}
	o := Options{Config: d.Config, CallTimeout: seconds(p.Timeout), HealthEvery: -1, RestartBudget: -1, Checks: checks, CheckRows: d.Rows, Preprocess: s.Preprocess}
	if d.Logger != nil {
		o.Logger = d.Logger.Named("model")
	}
	o.defaults()
	c := &Classifier{o: o, cmd: &verified{Command: Command{Name: fmt.Sprintf("%T", model)}}, config: o.Config, lent: model}
	c.life, c.endLife = context.WithCancel(context.Background())
	c.replicas = []*replica{{c: c}}
	if err := c.begin(ctx); err != nil {
		_ = c.Close() // which has nothing to fail
		return nil, err
	}
	return c, nil
}

// borrow is the process of a model of this program, which is none.
func borrow(model sdk.Classifier, log hclog.Logger) (*process, error) {
	l := bufconn.Listen(lentBuffer)
	s := sdk.NewServer(model)
	go func() {
		if err := s.Serve(l); err != nil {
			log.Error("the model of this program is no longer served", "error", err)
		}
	}()
	dial := grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) })
	conn, err := grpc.NewClient("passthrough:model", append(remote.DialOptions(), dial, grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		s.Stop()
		return nil, err
	}
	p := &process{rpc: remote.NewClient(conn), conn: conn}
	p.lanes = newLanes(p.rpc)
	p.giveBack = func() {
		_ = conn.Close() // it is closed once
		s.Stop()
	}
	return p, nil
}
