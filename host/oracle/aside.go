package oracle

import "context"

// Question is what an Aside asks a classifier.
type Question interface {
	// Inquire asks, and keeps the answer. It uses nothing that its host uses at the
	// same time.
	Inquire(ctx context.Context) error
}

// QuestionFunc is a function as a Question.
type QuestionFunc func(ctx context.Context) error

// Inquire implements Question.
func (f QuestionFunc) Inquire(ctx context.Context) error { return f(ctx) }

// Aside asks a classifier about some rows while its host works on others, one
// question at a time.
type Aside struct {
	turns    bool // the host waits
	answered chan struct{}
	err      error
	panicked any
}

// NewAside is one without a question. With turns, Ask comes back with the answer:
// nothing is done at the same time.
func NewAside(turns bool) Aside { return Aside{turns: turns, answered: make(chan struct{}, 1)} }

// Ask begins to ask. Wait must be called before the next Ask.
func (a *Aside) Ask(ctx context.Context, q Question) {
	if a.turns {
		a.err = q.Inquire(ctx)
		return
	}
	go func() {
		defer func() {
			a.panicked = recover()
			a.answered <- struct{}{}
		}()
		a.err = q.Inquire(ctx)
	}()
}

// Wait waits until the question is answered and gives its error. A panic of Inquire
// is one of Wait, where the caller can recover from it.
func (a *Aside) Wait() error {
	if a.turns {
		return a.err
	}
	<-a.answered
	if a.panicked != nil {
		panic(a.panicked)
	}
	return a.err
}
