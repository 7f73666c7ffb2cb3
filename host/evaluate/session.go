package evaluate

import (
	"context"
	"fmt"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/host/detect"
)

// Session evaluates a detector one attack at a time, for benchmarks of many
// cells; Run makes one report of all attacks.
type Session struct{ e *evaluation }

// NewSession prepares for attacks on o.X. clean is what the detector answered
// for those rows earlier; nil: they are scored now.
func NewSession(ctx context.Context, o Options, clean *detect.Result) (*Session, error) {
	e, err := newEvaluation(ctx, o)
	if err != nil {
		return nil, err
	}
	if clean == nil {
		return &Session{e}, e.clean(ctx)
	}
	if len(clean.Score) != o.X.N() {
		return nil, fmt.Errorf("%d scores for %d clean rows", len(clean.Score), o.X.N())
	}
	e.result, e.details.Clean, e.details.CleanResult = clean, clean.Score, clean
	return &Session{e}, nil
}

// Clean is what the detector answers for the clean rows.
func (s *Session) Clean() *detect.Result { return s.e.result }

// Attack runs an attack on the given rows and scores what it made. Where ready
// is not nil it is what the attack made of these rows before.
func (s *Session) Attack(ctx context.Context, n NamedAttack, rows []int, ready *attack.Adversarial) (*AttackDetails, error) {
	e := s.e
	if attack.IsTransferred(n.Attack) && e.o.Transfer == nil {
		return nil, fmt.Errorf("attack %s: it needs a detector of another seed to transfer from", n.Name)
	}
	before := e.o.Cached
	if ready != nil {
		e.o.Cached = func(string, []int, func() (*attack.Adversarial, error)) (*attack.Adversarial, error) {
			return ready, nil
		}
	}
	t, err := e.launch(ctx, n.Name, n.Attack, rows, 0)
	e.o.Cached = before
	if err != nil {
		return nil, fmt.Errorf("attack %s: %w", n.Name, err)
	}
	d := &AttackDetails{ID: n.Name, Name: n.Name, Rows: rows, Adversarial: t.adv, Result: t.result, Success: t.success}
	if ad, ok := n.Attack.(attack.Adaptive); ok {
		d.Adaptive, d.FalseAlarm = true, ad.WantsFlag()
		d.Evaded, _ = t.evaded(d.FalseAlarm)
	}
	d.Control = attack.IsControl(n.Attack)
	return d, nil
}

// Corrupt measures flags on a corruption of a class-balanced number of rows
// (0: all) at each of its severities. Rows and corruption are the same for
// every detector, whatever the seed of the session.
func (s *Session) Corrupt(ctx context.Context, c NamedCorruption, limit int) ([]CorruptionReport, error) {
	e := *s.e
	e.o.Limit, e.o.Seed = limit, 0
	e.report = &Report{}
	if err := e.corrupt(ctx, c); err != nil {
		return nil, fmt.Errorf("corruption %s: %w", c.Name, err)
	}
	return e.report.Corruptions, nil
}
