package detect

import (
	"context"
	"fmt"
	"sync"

	"github.com/vaeguard/vaeguard/host/kernel"
)

// pass is what one call needs for itself: threads, activations and scratch.
type pass struct {
	engine *kernel.Engine
	second Pass
}

// defaultPasses may run at once.
const defaultPasses = 4

// pool lends passes: made on demand, up to a number, and then reused.
type pool struct {
	d     *Detector
	slots chan struct{}
	mu    sync.Mutex
	free  []*pass

	closed bool // passes that are given back end
}

func newPool(d *Detector) *pool {
	n := d.o.Passes
	if n == 0 {
		n = defaultPasses
	}
	return &pool{d: d, slots: make(chan struct{}, n)}
}

// get waits for a pass or the context.
func (p *pool) get(ctx context.Context) (*pass, error) {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.free); n > 0 {
		s := p.free[n-1]
		p.free = p.free[:n-1]
		return s, nil
	}
	e, err := kernel.New(kernel.Options{Threads: p.d.o.Threads, Precision: p.d.o.Precision})
	if err != nil {
		<-p.slots
		return nil, fmt.Errorf("detector: %w", err)
	}
	return &pass{engine: e, second: p.d.o.Opinion.NewPass(e)}, nil
}

func (p *pool) put(s *pass) {
	p.mu.Lock()
	if p.closed {
		s.engine.Close()
	} else {
		p.free = append(p.free, s)
	}
	p.mu.Unlock()
	<-p.slots
}

func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.free {
		s.engine.Close()
	}
	p.free, p.closed = nil, true
}
