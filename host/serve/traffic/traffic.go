// Package traffic asks a server's model as its users would, and as those would who
// attack it: for a demonstration, where there is nobody else.
package traffic

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/evaluate"
	"github.com/vaeguard/vaeguard/host/serve/judge"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Attack is an attack with its name.
type Attack struct {
	Name   string
	Attack attack.Attack
}

// Options of Run. Rate and Phase must be positive.
type Options struct {
	Models judge.Models
	Model  string // name
	// Rows are of the kind that the model was calibrated on, at least one, with
	// their labels.
	Rows *dataset.Data
	// Attacks take turns, once in each round. One with the classifier's gradients sends what it
	// has made among other users' rows; any other asks the server itself, as one client.
	Attacks []Attack
	// Corruptions take turns, one in each round, at the highest of their levels.
	Corruptions []evaluate.NamedCorruption
	Rate        float64       // rows a second of a phase; an attack that asks the server asks as fast
	Phase       time.Duration // of each phase
	Seed        uint64
	Tell        func(phase string) // hears of each phase as it begins; nil: nobody does

	now func() time.Time // of phases; nil: time.Now
}

// way is what the requests say of how they came.
const way = "demo"

// visits is how many rows one of the users sends before another comes. With each
// phase another comes too, so that nobody sends the same row twice.
const visits = 40

// generator is a run.
type generator struct {
	Options
	random *rand.Rand
	order  []int // of the rows
	at     int   // in order
	users  int   // that have come
	left   int   // rows that the last one of them sends yet
	round  int
	until  time.Time // when the phase ends
}

// errOver ends an attack with its phase.
var errOver = errors.New("the phase is over")

// Run goes through clean rows, each of the attacks and a corruption, again and again,
// until ctx is done, which is no error.
func Run(ctx context.Context, o Options) error {
	if o.now == nil {
		o.now = time.Now
	}
	if o.Tell == nil {
		o.Tell = func(string) {}
	}
	g := &generator{Options: o, random: rand.New(rand.NewPCG(o.Seed, 0x7aff1c))}
	g.order = g.random.Perm(o.Rows.N())
	err := g.run(ctx)
	if ctx.Err() != nil {
		return nil //nolint:nilerror // it was to end
	}
	return err
}

func (g *generator) run(ctx context.Context) error {
	for ; ; g.round++ {
		phases := []phase{{"clean rows", g.clean}}
		for _, a := range g.Attacks {
			if a.Attack.Needs() == attack.NeedsGradients {
				phases = append(phases, phase{a.Name + ", among clean rows", func(ctx context.Context) error { return g.crafted(ctx, a.Attack) }})
			} else {
				phases = append(phases, phase{a.Name + ", by one client who asks again and again", func(ctx context.Context) error { return g.session(ctx, a.Attack) }})
			}
		}
		if n := len(g.Corruptions); n > 0 {
			c := g.Corruptions[g.round%n]
			phases = append(phases, phase{"drift: " + c.Name, func(ctx context.Context) error { return g.drift(ctx, c.Corruption) }})
		}
		for _, p := range phases {
			g.Tell(p.name)
			// A request that the end of a phase cut short would look like a fault.
			g.until, g.left = g.now().Add(g.Phase), 0
			if err := p.run(ctx); err != nil && !errors.Is(err, errOver) {
				return fmt.Errorf("%s: %w", p.name, err)
			}
		}
	}
}

// phase is one kind of traffic.
type phase struct {
	name string
	run  func(context.Context) error
}

// next is the number of a row.
func (g *generator) next() int {
	i := g.order[g.at]
	g.at = (g.at + 1) % len(g.order)
	return i
}

// user names who sends the next row.
func (g *generator) user() string {
	if g.left == 0 {
		g.users, g.left = g.users+1, min(visits, len(g.order))
	}
	g.left--
	return fmt.Sprintf("user-%d", g.users)
}

// pace calls send, at Rate, until the phase is over.
func (g *generator) pace(ctx context.Context, send func() error) error {
	tick := time.NewTicker(time.Duration(float64(time.Second) / g.Rate))
	defer tick.Stop()
	for g.now().Before(g.until) {
		if err := send(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}

// clean sends rows as they are.
func (g *generator) clean(ctx context.Context) error {
	return g.pace(ctx, func() error {
		i := g.next()
		return g.send(ctx, g.user(), g.Rows.X.Rows(i, i+1))
	})
}

// crafted sends rows that were made with the classifier's gradients, one in three.
func (g *generator) crafted(ctx context.Context, a attack.Attack) error {
	const rows = 32
	m, done, err := g.Models.Lease(g.Model, "")
	if err != nil {
		return err
	}
	defer done()
	var at []int
	labels := make([]int, rows)
	for i := range labels {
		at = append(at, g.next())
		labels[i] = g.Rows.Labels[at[i]]
	}
	adv, err := attack.Run(ctx, m.Detector().Model(), g.Rows.X.Gather(at), labels, a, attack.Options{Seed: g.Seed + uint64(g.round)})
	if err != nil {
		return err
	}
	sent := 0
	return g.pace(ctx, func() error {
		if sent++; sent%3 == 0 {
			k := sent / 3 % rows
			return g.send(ctx, fmt.Sprintf("stranger-%d", g.round+1), adv.XAdv.Rows(k, k+1))
		}
		i := g.next()
		return g.send(ctx, g.user(), g.Rows.X.Rows(i, i+1))
	})
}

// session attacks one row after the other by asking the server.
func (g *generator) session(ctx context.Context, a attack.Attack) error {
	m, done, err := g.Models.Lease(g.Model, "")
	if err != nil {
		return err
	}
	info := m.Detector().Info()
	done()
	asked := &asked{g: g, info: info, client: fmt.Sprintf("prober-%d", g.round+1), rest: time.Duration(float64(time.Second) / g.Rate)}
	for n := uint64(0); ; n++ {
		i := g.next()
		_, err := attack.Run(ctx, asked, g.Rows.X.Rows(i, i+1), g.Rows.Labels[i:i+1], a, attack.Options{Seed: g.Seed + n, Queries: 200})
		if err != nil {
			return err
		}
	}
}

// drift sends rows that something natural has changed.
func (g *generator) drift(ctx context.Context, c evaluate.Corruption) error {
	m, done, err := g.Models.Lease(g.Model, "")
	if err != nil {
		return err
	}
	info := m.Detector().Info()
	done()
	box, err := attack.BoxOf(attack.Box{}, info, g.Rows.X)
	if err != nil {
		return err
	}
	levels := c.Levels()
	return g.pace(ctx, func() error {
		i := g.next()
		x := g.Rows.X.Rows(i, i+1)
		y := x.Clone()
		if err := c.Corrupt(y.Row(0), x.Row(0), x.Example(), box, levels[len(levels)-1], g.random); err != nil {
			return err
		}
		box.Clip(y.Row(0))
		return g.send(ctx, g.user(), y)
	})
}

// send has rows judged. What passes by itself is no error: the server says so.
func (g *generator) send(ctx context.Context, client string, x *tensor.Tensor) error {
	_, err := g.ask(ctx, client, x, detect.Include{})
	if passes(err) {
		return nil
	}
	return err
}

// passes reports whether an error is of the moment.
func passes(err error) bool {
	var busy *judge.OverloadedError
	var away *judge.UnavailableError
	return errors.As(err, &busy) || errors.As(err, &away)
}

// ask has rows judged.
func (g *generator) ask(ctx context.Context, client string, x *tensor.Tensor, include detect.Include) (*detect.Result, error) {
	m, done, err := g.Models.Lease(g.Model, "")
	if err != nil {
		return nil, err
	}
	defer done()
	return m.Judge(ctx, judge.Request{Rows: &dataset.Data{X: x, Features: g.Rows.Features}, Include: include, Way: way, Client: client})
}
