package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel/trace"

	"github.com/vaeguard/vaeguard/host/serve/judge"
	"github.com/vaeguard/vaeguard/host/serve/oip"
	"github.com/vaeguard/vaeguard/host/serve/tensors"
)

// errHeld says that bodies have all the memory that they may have.
var errHeld = errors.New("too many bodies are held")

// meter counts the bytes of bodies that are held.
type meter struct {
	io.Reader
	held    *atomic.Int64
	most, n int64
}

// Read implements io.Reader.
func (m *meter) Read(b []byte) (int, error) {
	n, err := m.Reader.Read(b)
	m.n += int64(n)
	if m.held.Add(int64(n)) > m.most {
		return n, errHeld
	}
	return n, err
}

// release lets go of what was read; twice does no harm.
func (m *meter) release() {
	m.held.Add(-m.n)
	m.n = 0
}

// tap keeps a copy of a body that passes, as far as there is room for it.
type tap struct {
	io.ReadCloser
	p     *Proxy
	want  int64  // bytes that are to come; −1: unknown
	ended func() // once, when all of it has come; nil: nothing

	mu    sync.Mutex
	b     bytes.Buffer
	whole bool
	lost  bool // there was no room, or it is no longer wanted
}

func (p *Proxy) tap(body io.ReadCloser, length int64) *tap {
	return &tap{ReadCloser: body, p: p, want: length}
}

// Read implements io.Reader.
func (t *tap) Read(b []byte) (int, error) {
	n, err := t.ReadCloser.Read(b)
	t.mu.Lock()
	if !t.lost && n > 0 {
		if int64(t.b.Len()+n) > t.p.o.MaxBody || t.p.held.Add(int64(n)) > 16*t.p.o.MaxBody {
			if int64(t.b.Len()+n) <= t.p.o.MaxBody {
				t.p.held.Add(-int64(n))
			}
			t.forget()
		} else {
			t.b.Write(b[:n])
		}
	}
	first := !t.whole && (err == io.EOF || t.want >= 0 && int64(t.b.Len()) == t.want && !t.lost)
	t.whole = t.whole || first
	t.mu.Unlock()
	if first && t.ended != nil {
		t.ended()
	}
	return n, err
}

// forget lets go of the copy; mu is locked.
func (t *tap) forget() {
	t.p.held.Add(-int64(t.b.Len()))
	t.b, t.lost = bytes.Buffer{}, true
}

// drop lets go of the copy, and of what is still to come.
func (t *tap) drop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.forget()
}

// take is the copy, if there is one of the whole.
func (t *tap) take() ([]byte, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.Bytes(), t.whole && !t.lost
}

// observed is an inference to be judged beside. release lets go of what it holds.
type observed struct {
	look    func(ctx context.Context) error
	to      *target
	release func()
}

// offer hands an inference to the observers, or drops it. It does not wait.
func (p *Proxy) offer(o observed) {
	select {
	case p.queue <- o:
	default:
		p.counts.dropped.Add(1)
		o.release()
	}
	select {
	case <-p.workers:
		p.sweep()
	default:
	}
}

// sweep drops what waits, and says how many inferences that were.
func (p *Proxy) sweep() int {
	for n := 0; ; n++ {
		select {
		case o := <-p.queue:
			p.counts.dropped.Add(1)
			o.release()
		default:
			return n
		}
	}
}

// full reports whether an inference would be dropped now.
func (p *Proxy) full() bool { return len(p.queue) == cap(p.queue) || p.held.Load() > 16*p.o.MaxBody }

// observe hands an exchange to the observers.
func (p *Proxy) observe(x *exchange) {
	_, request := x.request.take()
	_, response := x.response.take()
	if !request || !response {
		p.counts.dropped.Add(1)
		x.drop()
		return
	}
	p.offer(observed{func(ctx context.Context) error { return p.look(trace.ContextWithSpanContext(ctx, x.span), x) }, x.to, x.drop})
}

// observeCall hands a call of gRPC to the observers.
func (p *Proxy) observeCall(span trace.SpanContext, t *target, in, out []byte, peer string) {
	size := int64(len(in) + len(out))
	release := func() { p.held.Add(-size) }
	if p.held.Add(size) > 16*p.o.MaxBody {
		p.counts.dropped.Add(1)
		release()
		return
	}
	p.offer(observed{func(ctx context.Context) error {
		q, err := request(in)
		if err != nil {
			return err
		}
		r, err := response(out)
		if err != nil {
			return err
		}
		return p.lookAt(trace.ContextWithSpanContext(ctx, span), t, q, r, peer)
	}, t, release})
}

func (x *exchange) drop() {
	x.request.drop()
	if x.response != nil {
		x.response.drop()
	}
}

// cut lets go of an exchange that ended early.
func (x *exchange) cut() {
	if x.response != nil {
		x.response.mu.Lock()
		handed := x.response.whole
		x.response.mu.Unlock()
		if handed {
			return
		}
	}
	x.drop()
}

// workers is how many judge what is observed: the guard gathers them into batches.
const workers = 4

// observers judge what is observed until the proxy is closed, or drained.
func (p *Proxy) observers() {
	var ctx context.Context
	ctx, p.end = context.WithCancel(context.Background())
	p.life = ctx
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for ctx.Err() == nil {
				select {
				case <-ctx.Done():
				case o := <-p.queue:
					p.run(ctx, o)
				case <-p.drain:
					select {
					case o := <-p.queue:
						p.run(ctx, o)
					default:
						return
					}
				}
			}
		})
	}
	go func() {
		wg.Wait()
		close(p.workers)
	}()
}

// run judges what was observed.
func (p *Proxy) run(ctx context.Context, o observed) {
	defer o.release()
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	if err := o.look(ctx); err != nil {
		_, _ = p.unjudged(o.to, err) // counted; an observer refuses nothing
	}
}

// look judges an exchange.
func (p *Proxy) look(ctx context.Context, x *exchange) error {
	body, _ := x.request.take()
	q, err := p.parse(x, body, x.coding, x.length)
	if err != nil {
		return err
	}
	body, _ = x.response.take()
	plain, err := oip.Plain(x.answer.Get("Content-Encoding"), body, p.o.MaxBody)
	if err != nil {
		return err
	}
	r, _, err := x.readAnswer(plain, x.answer)
	if err != nil {
		return err
	}
	return p.lookAt(ctx, x.to, q, r, x.peer)
}

// lookAt judges an inference that was answered.
func (p *Proxy) lookAt(ctx context.Context, t *target, q tensors.Request, r tensors.Response, peer string) error {
	a, err := p.read(t, q)
	if err != nil {
		return err
	}
	defer a.done()
	_, err = p.judge(ctx, t, a, r, peer)
	var over *judge.OverloadedError
	if errors.As(err, &over) {
		p.counts.dropped.Add(1)
		return nil
	}
	return err
}
