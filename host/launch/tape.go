package launch

import (
	"context"
	"runtime"
	"sync"

	"github.com/vaeguard/vaeguard/sdk/remote"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// lanes are the open Differentiate streams of one process. A Forward takes one
// over; its Pullback finds its tape there unless another Forward has taken the
// lane meanwhile, in which case the forward step is repeated. So no one
// has to say when a tape is no longer needed, and their number is bounded.
type lanes struct {
	rpc    *remote.Client
	ctx    context.Context // of the streams: they outlive the calls
	cancel context.CancelFunc
	max    int

	mu    sync.Mutex
	all   []*lane
	clock uint64
}

// lane is one stream; mu is held for a step.
type lane struct {
	mu     sync.Mutex
	stream *remote.Stream

	// Guarded by lanes.mu.
	taken  uint64 // which Forward took it last
	pulled bool   // that one's tape has served a Pullback: most callers pull once
	tape   uint64 // whose tape is live, 0: none; changes only under mu
}

func newLanes(rpc *remote.Client) *lanes {
	l := &lanes{rpc: rpc, max: max(4, 2*runtime.GOMAXPROCS(0))}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l
}

func (l *lanes) close() { l.cancel() }

// take picks a lane for a new tape, and locks it: one whose tape was used, else
// a new one, else the one whose tape is oldest.
func (l *lanes) take() (*lane, uint64) {
	l.mu.Lock()
	l.clock++
	id := l.clock
	pick := func(ok func(*lane) bool) *lane {
		var best *lane
		for _, c := range l.all {
			if ok(c) && (best == nil || c.taken < best.taken) {
				best = c
			}
		}
		return best
	}
	best := pick(func(c *lane) bool { return c.pulled })
	if best == nil && len(l.all) < l.max {
		best = &lane{}
		l.all = append(l.all, best)
	}
	if best == nil {
		best = pick(func(*lane) bool { return true })
	}
	best.taken, best.pulled = id, false
	l.mu.Unlock()
	best.mu.Lock() // its last step may still be under way
	l.set(best, 0)
	return best, id
}

// set notes whose tape is live. The caller holds c.mu.
func (l *lanes) set(c *lane, tape uint64) {
	l.mu.Lock()
	c.tape = tape
	l.mu.Unlock()
}

// has reports whether the tape is still live, and counts the use.
func (l *lanes) has(c *lane, tape uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.tape != tape {
		return false
	}
	if c.taken == tape {
		c.pulled = true
	}
	return true
}

// lose marks a lane's tape as gone. The caller holds c.mu.
func (l *lanes) lose(c *lane) {
	if c.stream != nil {
		c.stream.Close()
		c.stream = nil
	}
	l.mu.Lock()
	c.tape, c.pulled = 0, true // free for the next
	l.mu.Unlock()
}

// forward makes a tape.
func (l *lanes) forward(ctx context.Context, x *tensor.Tensor, outputs []string) (*lane, uint64, map[string]*tensor.Tensor, error) {
	c, id := l.take()
	defer c.mu.Unlock()
	if c.stream != nil && !c.stream.Holds(x.N(), outputs...) {
		l.lose(c)
	}
	if c.stream == nil {
		rows := 1
		for rows < x.N() {
			rows *= 2 // so that growing batches open few
		}
		s, err := l.rpc.StreamRows(l.ctx, rows, outputs...)
		if err != nil {
			l.lose(c)
			return nil, 0, nil, err
		}
		c.stream = s
	}
	stop := context.AfterFunc(ctx, c.stream.Close)
	outs, err := c.stream.Forward(x, outputs...)
	if !stop() || err != nil {
		l.lose(c)
	} else {
		l.set(c, id)
	}
	return c, id, outs, err
}

// backward uses a tape; ok is false if it is gone.
func (l *lanes) backward(ctx context.Context, c *lane, tape uint64, cots map[string]*tensor.Tensor, shape tensor.Shape) (dx *tensor.Tensor, ok bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !l.has(c, tape) || c.stream == nil {
		return nil, false, nil
	}
	stop := context.AfterFunc(ctx, c.stream.Close)
	dx, err = c.stream.Backward(cots, shape)
	if !stop() || err != nil {
		l.lose(c)
	}
	return dx, true, err
}
