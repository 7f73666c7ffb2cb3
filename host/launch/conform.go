package launch

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/check"
	"github.com/vaeguard/vaeguard/sdk/tensor"
	"github.com/vaeguard/vaeguard/sdk/wire"
)

const (
	// largeMessage is how many bytes of rows Conform sends at once, twice gRPC's own
	// limit of 4 MiB; largeRows bounds the rows, of which a slow model would need its time.
	largeMessage = 8 << 20
	largeRows    = 1 << 18
	// startsAlike is how far the answers of two processes may lie apart.
	startsAlike = 1e-4
)

// Conform checks of the process what no answer to a call shows: that it takes a large
// message, comes back as the same model at a second start, answers its health, and ends when it is
// told to and when its host is gone. It starts the plugin once more and ends both: afterwards c is good for
// Close alone. What is wrong is in the findings, by name: message, again, health,
// shutdown, stdin; the error is ctx's.
func (c *Classifier) Conform(ctx context.Context) ([]check.Finding, error) {
	first, err := c.replicas[0].process(ctx)
	if err != nil {
		return nil, err
	}
	f := &conformance{c: c, ctx: ctx}
	if c.face().Ready {
		f.message(first)
	}
	if first.run.dead(exitNotice) { // of the message
		first.kill()
		if first, err = c.launch(ctx); err != nil {
			return f.findings, err
		}
		defer first.end()
	}
	if second := f.again(first); second != nil {
		f.health(second)
		f.shutdown(second)
		second.end()
	}
	f.stdin(first)
	return f.findings, ctx.Err()
}

type conformance struct {
	c        *Classifier
	ctx      context.Context
	findings []check.Finding
}

func (f *conformance) add(name string, s check.Severity, suggests, format string, args ...any) {
	f.findings = append(f.findings, check.Finding{Name: name, Severity: s, Message: fmt.Sprintf(format, args...), Suggests: suggests})
}

// call is ctx with the deadline of one call.
func (f *conformance) call() (context.Context, context.CancelFunc) {
	return context.WithTimeout(f.ctx, f.c.o.CallTimeout)
}

// middle is n equal rows in the middle of the plugin's legal range.
func (f *conformance) middle(n int) *tensor.Tensor {
	info := f.c.face().Info
	x := tensor.Batch(n, info.InputShape)
	if len(info.Lo) > 0 {
		for i := range x.Data {
			k := i % x.Stride()
			lo, hi := info.Lo[min(k, len(info.Lo)-1)], info.Hi[min(k, len(info.Hi)-1)]
			x.Data[i] = lo + (hi-lo)/2
		}
	}
	return x
}

// message sends as many rows as the host may, and compares the last with one alone.
func (f *conformance) message(p *process) {
	info := f.c.face().Info
	bytes := 4 * max(1, info.InputShape.Size())
	n := max(1, min(largeRows, (largeMessage+bytes-1)/bytes))
	if info.MaxBatch > 0 {
		n = min(n, info.MaxBatch)
	}
	what := fmt.Sprintf("%d rows in a message of %.1f MiB", n, float64(n*bytes)/(1<<20))
	ctx, cancel := f.call()
	defer cancel()
	y, err := p.rpc.Predict(ctx, f.middle(n))
	if err == nil {
		var one *tensor.Tensor
		if one, err = p.rpc.Predict(ctx, f.middle(1)); err == nil {
			if d := distance(one.Row(0), y.Row(n-1)); !(d <= startsAlike) {
				f.add("message", check.Fail, "", "%s: the last row's answer is off by %.2g", what, d)
				return
			}
			f.add("message", check.Pass, "", "%s", what)
			return
		}
	}
	looks := ""
	switch {
	case strings.Contains(err.Error(), "larger than max"):
		looks = "gRPC's default limit of 4 MiB, which a server must lift"
	case errors.Is(err, sdk.ResourceExhausted):
		f.add("message", check.Warn, "", "%s: %s; the host halves such batches", what, causeOf(err))
		return
	}
	f.add("message", check.Fail, looks, "%s: %s", what, causeOf(err))
}

// again starts the plugin a second time beside the first, and compares.
func (f *conformance) again(first *process) *process {
	second, err := f.c.launch(f.ctx)
	if err != nil {
		f.add("again", check.Fail, "a digest that is not of the weights but of one start", "a second start: %s", causeOf(err))
		return nil
	}
	if !f.c.face().Ready {
		f.add("again", check.Pass, "", "a second start describes the same")
		return second
	}
	ctx, cancel := f.call()
	defer cancel()
	a, err := first.rpc.Predict(ctx, f.middle(1))
	if err != nil {
		f.add("again", check.Fail, "", "the first process, while there is a second: %s", causeOf(err))
		return second
	}
	b, err := second.rpc.Predict(ctx, f.middle(1))
	switch {
	case err != nil:
		f.add("again", check.Fail, "", "a second process beside the first: %s", causeOf(err))
	case !(distance(a.Data, b.Data) <= startsAlike):
		f.add("again", check.Fail, "weights that are drawn, or trained, at each start", "two starts of one digest answer differently, by %.2g", distance(a.Data, b.Data))
	default:
		f.add("again", check.Pass, "", "a second start is the same model")
	}
	return second
}

// health asks as the host asks a plugin that is idle.
func (f *conformance) health(p *process) {
	ctx, cancel := context.WithTimeout(f.ctx, f.c.o.HealthTimeout)
	defer cancel()
	switch err := p.ping(ctx); status.Code(err) {
	case codes.OK:
		f.add("health", check.Pass, "", "the health service answers")
	case codes.DeadlineExceeded, codes.Unavailable:
		f.add("health", check.Fail, "", "the health service does not answer within %v: an idle plugin is killed for that", f.c.o.HealthTimeout)
	default:
		f.add("health", check.Warn, "", "the health service: %s", causeOf(err))
	}
}

// shutdown asks it to end.
func (f *conformance) shutdown(p *process) {
	ctx, cancel := context.WithTimeout(f.ctx, killGrace)
	defer cancel()
	err := p.conn.Invoke(ctx, "/plugin.GRPCController/Shutdown", &emptypb.Empty{}, &emptypb.Empty{})
	switch {
	case status.Code(err) == codes.Unimplemented:
		f.add("shutdown", check.Fail, "", "it does not serve plugin.GRPCController")
	case !p.run.dead(killGrace):
		f.add("shutdown", check.Fail, "a server that ends and a main that does not", "it runs %v after Shutdown; it would be killed, with what it has not written", killGrace)
	default:
		f.add("shutdown", check.Pass, "", "it ends when it is told to")
	}
}

// stdin closes the pipe by which a plugin sees that its host is gone.
func (f *conformance) stdin(p *process) {
	_ = p.run.stdin.Close()
	if !p.run.dead(killGrace) {
		f.add("stdin", check.Fail, "a plugin that does not watch its stdin", "it runs %v after its stdin was closed: off Linux it outlives a host that is killed", killGrace)
		return
	}
	f.add("stdin", check.Pass, "", "it ends when its host is gone")
}

// causeOf is an error's cause in one line.
func causeOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		err = e.Err
	}
	return wire.Text(err.Error(), wire.MaxName)
}

// distance is max|a − b| / max(1, max|a|), NaN if their lengths differ.
func distance(a, b []float32) float64 {
	if len(a) != len(b) {
		return math.NaN()
	}
	worst, scale := 0.0, 1.0
	for i := range a {
		worst, scale = max(worst, math.Abs(float64(a[i])-float64(b[i]))), max(scale, math.Abs(float64(a[i])))
	}
	return worst / scale
}
