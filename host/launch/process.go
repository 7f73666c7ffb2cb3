package launch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"
	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/remote"
	"github.com/vaeguard/vaeguard/sdk/wire"
)

// killGrace is how long a plugin has to end after it was told to, and its
// bookkeeping after it was killed.
const killGrace = 2 * time.Second

// process is one running plugin with its connection.
type process struct {
	rpc    *remote.Client
	client *plugin.Client
	run    *osRunner // nil: it is this very process
	conn   *grpc.ClientConn
	health grpc_health_v1.HealthClient
	lanes  *lanes // of Differentiate
	stop   sync.Once

	giveBack func() // ends the service of a model of this program; nil: it is a process
}

// spawn starts v and shakes hands, in at most o.StartTimeout. What hide holds,
// also later, is kept out of all that the plugin prints. b confines it; nil: it is not.
func spawn(ctx context.Context, v *verified, o *Options, b *box, sockets string, hide *hider) (*process, error) {
	p := &process{}
	log := hclog.Logger(discreet{o.Logger, hide, newLogBudget(time.Now())})
	run, err := newRunner(v, nil)
	if err != nil {
		return nil, v.fault("start", nil, err)
	}
	run.limits, run.box, run.tail.hide, run.sockets = o.Limits, b, hide, sockets
	p.run = run
	tlsConfig, certificate, err := mutualTLS()
	if err != nil {
		run.release()
		return nil, v.fault("start", nil, err)
	}
	config := &plugin.ClientConfig{
		HandshakeConfig:  wire.Handshake(),
		Plugins:          plugin.PluginSet{wire.PluginName: remote.Plugin{Hide: hide.cut}},
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		TLSConfig:        tlsConfig,
		SkipHostEnv:      true,
		StartTimeout:     o.StartTimeout + time.Minute, // ours ends first, and says so
		Logger:           quiet{log},
		SyncStdout:       printed(log, &run.tail),
		SyncStderr:       printed(log, &run.tail),
		GRPCDialOptions:  remote.DialOptions(),
		UnixSocketConfig: &plugin.UnixSocketConfig{TempDir: sockets},
		RunnerFunc: func(_ hclog.Logger, spec *exec.Cmd, own string) (runner.Runner, error) {
			extra := slices.Concat(o.Limits.env(), o.Env, v.Env, v.env)
			if b != nil { // the folder of its socket is all that it may write to
				b.Write = append(b.Write, own)
				extra = append(extra, "TMPDIR="+own)
			}
			run.cmd.Env = append(environment(os.Environ(), extra, spec.Env, o.Threads), clientCertEnv+"="+certificate, wire.DeathWatchEnv+"=stdin")
			return run, nil
		},
	}
	config.GRPCDialOptions = append(config.GRPCDialOptions, grpc.WithContextDialer(run.dial))
	p.client = plugin.NewClient(config)
	type started struct {
		client plugin.ClientProtocol
		err    error
	}
	// go-plugin knows no context, and holds its lock while it waits: the way
	// out is the end of the process.
	done := make(chan started, 1)
	go func() {
		c, err := p.client.Client()
		done <- started{c, err}
	}()
	timeout := make(chan struct{})
	patience := newAlarm(o.StartTimeout, func() { close(timeout) })
	defer patience.stop()
	var s started
	select {
	case s = <-done:
	case <-ctx.Done():
		_ = run.Kill(ctx)
		s = started{err: ctx.Err()}
	case <-timeout:
		_ = run.Kill(ctx)
		s = started{err: fmt.Errorf("no handshake within %v", o.StartTimeout)}
	}
	if s.err == nil {
		if g, ok := s.client.(*plugin.GRPCClient); ok {
			p.conn, p.health = g.Conn, grpc_health_v1.NewHealthClient(g.Conn)
		}
		var raw any
		if raw, s.err = s.client.Dispense(wire.PluginName); s.err == nil {
			p.rpc = raw.(*remote.Client)
			p.lanes = newLanes(p.rpc)
			return p, nil
		}
	}
	run.dead(killGrace) // its last words
	err = v.startFault(p, s.err)
	p.kill()
	return nil, err
}

// startFault says in the user's words what go-plugin says in its own.
func (v *verified) startFault(p *process, err error) error {
	text := err.Error()
	_, lines := p.run.exitReport()
	stderr := strings.Join(lines, "\n")
	const unrecognized = "Unrecognized remote plugin message: "
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("plugin %s: start: %w", v.Name, err)
	case strings.Contains(stderr, "This binary is a plugin"), strings.Contains(stderr, "is a plugin. These are not meant"):
		return v.fault("handshake", p, errors.New("it is a plugin for another host: it does not know the magic cookie VAEGUARD_PLUGIN=classifier"))
	case p.run.long.Load():
		return v.fault("handshake", p, fmt.Errorf("its first line on stdout has more than %d bytes, and belongs to the handshake", maxHandshake))
	case strings.Contains(text, "Failed to read any lines"), strings.Contains(text, "exited before we could connect"):
		// It was gone before go-plugin killed it, which on a busy machine may
		// be seen to end only then: its end is its own.
		p.run.killed.Store(false)
		return v.fault("start", p, sdk.Errorf(sdk.Unavailable, "it ended before the handshake"))
	case strings.HasPrefix(text, unrecognized):
		line, _, _ := strings.Cut(strings.TrimPrefix(text, unrecognized), "\n")
		return v.fault("handshake", p, fmt.Errorf("it printed %q to stdout, which belongs to the handshake: print to stderr", clip(line)))
	case strings.Contains(text, "parsing core protocol version"):
		return v.fault("handshake", p, errors.New("it printed something else to stdout, which belongs to the handshake: print to stderr"))
	case strings.HasPrefix(text, "it names "):
		return v.fault("handshake", p, err)
	case strings.Contains(text, "incompatible API version"):
		return v.fault("handshake", p, fmt.Errorf("it speaks another version of the protocol than 1 (%s)", clip(text)))
	case strings.Contains(text, "exec format error"):
		return v.fault("start", p, fmt.Errorf("it is neither a program for %s/%s nor a script with #! in its first line", runtime.GOOS, runtime.GOARCH))
	case strings.Contains(text, "unsupported plugin protocol"):
		return v.fault("handshake", p, errors.New("it does not speak gRPC"))
	}
	return v.fault("start", p, errors.New(clip(text)))
}

func clip(s string) string { return wire.Text(s, 200) }

// end asks the plugin to end, and kills it if it does not within killGrace. It
// returns once the process is gone.
func (p *process) end() {
	p.stop.Do(func() {
		if p.lanes != nil {
			p.lanes.close()
		}
		if p.giveBack != nil {
			p.giveBack()
			return
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			p.client.Kill()
		}()
		select {
		case <-done:
		case <-time.After(killGrace):
		}
		_ = p.run.Kill(context.Background())
		p.run.dead(killGrace)
		p.run.gone(killGrace)
		select {
		case <-done:
		case <-time.After(killGrace): // its sockets go with their folder
		}
	})
}

// kill is end for a plugin that is past asking.
func (p *process) kill() {
	if p.run != nil {
		_ = p.run.Kill(context.Background())
		p.run.dead(killGrace)
	}
	p.end()
}

// disconnected reports whether the connection, which was up, is not.
func (p *process) disconnected() bool {
	return p.conn != nil && p.conn.GetState() != connectivity.Ready
}

// ping asks the plugin's health service.
func (p *process) ping(ctx context.Context) error {
	if p.health == nil {
		_, err := p.rpc.Info(ctx)
		return err
	}
	r, err := p.health.Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: plugin.GRPCServiceName})
	if err != nil {
		return err
	}
	if r.Status != grpc_health_v1.HealthCheckResponse_SERVING {
		return fmt.Errorf("its health is %v", r.Status)
	}
	return nil
}
