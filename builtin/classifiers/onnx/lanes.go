package onnx

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Rows of a model that gives them the same bits in any batch may be asked about in
// blocks, each by one thread alone: what a node writes is then in that core's cache when
// the next node reads it, and no thread waits for another within a node. That pays while
// the weights, which each block reads again, are few. Only answers are made so: a pullback
// wants the tape of the whole batch.
const (
	laneNumbers = 1 << 19 // at most, of the results of a block of more rows
	laneRows    = 8       // a block has at least
	laneLeast   = 1 << 15 // numbers of the results of a block, at least: fewer are quicker than a thread's waking
	laneWeights = 4 << 20 // bytes of a model at most
)

// lanes are sessions of one thread each.
type lanes struct {
	mu   sync.Mutex
	free []*session
	made int
	off  bool // one lacked memory
}

// block is how many of n rows a lane takes at once; 0: lanes do not pay.
func (p *program) block(n, threads int) int {
	if !p.same || p.fixed || p.dynamic() || p.entry.bare || p.base.Load() > laneWeights {
		return 0
	}
	least := max(laneRows, laneLeast/max(1, p.each))
	rows := max(least, laneNumbers/max(1, p.each))
	if threads > 1 { // several for each, so that a thread that is disturbed takes fewer
		rows = min(rows, max(least, n/(4*threads)))
	}
	if rows = min(rows, p.step); n < 2*rows {
		return 0
	}
	return rows
}

// takeLanes lends up to n of them, as many as there are threads in all.
func (p *program) takeLanes(n int) (taken []*session) {
	p.lanes.mu.Lock()
	defer p.lanes.mu.Unlock()
	threads := runtime.GOMAXPROCS(0)
	for len(taken) < n && !p.lanes.off {
		if k := len(p.lanes.free); k > 0 {
			taken, p.lanes.free = append(taken, p.lanes.free[k-1]), p.lanes.free[:k-1]
			continue
		}
		if p.lanes.made >= threads {
			break
		}
		k, err := kernel.New(kernel.Options{Threads: 1})
		if err != nil {
			break
		}
		p.lanes.made++
		s := &session{run: *newRun(k, p.allowance)}
		s.base, s.all = &p.base, &p.held
		s.share = threads
		taken = append(taken, s)
	}
	return taken
}

// giveLanes takes them back; off: they lacked memory, and none will be asked again.
func (p *program) giveLanes(taken []*session, off bool) {
	p.lanes.mu.Lock()
	defer p.lanes.mu.Unlock()
	p.lanes.free = append(p.lanes.free, taken...)
	if p.lanes.off = p.lanes.off || off; p.lanes.off {
		for _, s := range p.lanes.free {
			p.held.Add(-s.held)
		}
		p.lanes.free = nil
	}
}

// errLanes says that what lanes could not do is to be done without them.
var errLanes = errors.New("onnx: without lanes")

// inLanes makes outs of x in blocks. The error is errLanes where that does not pay or did
// not go well: the rows are then evaluated together, whose errors are those to tell.
func (p *program) inLanes(ctx context.Context, x *tensor.Tensor, outs map[string]*tensor.Tensor) error {
	rows := p.block(x.N(), runtime.GOMAXPROCS(0))
	if rows == 0 {
		return errLanes
	}
	want := min((x.N()+rows-1)/rows, runtime.GOMAXPROCS(0))
	taken := p.takeLanes(want)
	if len(taken) < (want+1)/2 { // others have them
		p.giveLanes(taken, false)
		return errLanes
	}
	var next atomic.Int64
	var failed, lacked atomic.Bool
	var wg sync.WaitGroup
	for _, s := range taken[1:] {
		wg.Go(func() { p.takeBlocks(ctx, s, x, outs, rows, &next, &failed, &lacked) })
	}
	p.takeBlocks(ctx, taken[0], x, outs, rows, &next, &failed, &lacked)
	wg.Wait()
	p.giveLanes(taken, lacked.Load())
	if failed.Load() {
		return errLanes
	}
	return nil
}

// takeBlocks makes outs of one block of x after the other on s, until there is none, or
// one failed.
func (p *program) takeBlocks(ctx context.Context, s *session, x *tensor.Tensor, outs map[string]*tensor.Tensor, rows int, next *atomic.Int64, failed, lacked *atomic.Bool) {
	defer func() {
		if recover() != nil { // what an operator or a shape did not foresee
			failed.Store(true)
		}
	}()
	for !failed.Load() {
		lo := (int(next.Add(1)) - 1) * rows
		if lo >= x.N() {
			return
		}
		hi := min(lo+rows, x.N())
		err := s.evaluate(ctx, p, x.Rows(lo, hi), 0, 0)
		if errors.Is(err, sdk.ResourceExhausted) {
			lacked.Store(true)
		}
		for name, out := range outs {
			if err == nil {
				err = p.read(s, name, out.Rows(lo, hi))
			}
		}
		if err != nil {
			failed.Store(true)
		}
	}
}
