package events

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/vaeguard/vaeguard/host/serve/judge"
	"github.com/vaeguard/vaeguard/host/serve/proxy"
	"github.com/vaeguard/vaeguard/host/serve/tensors"
)

// work judges inferences until the sink is closed, or drained.
func (s *Sink) work(ctx context.Context) {
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case p := <-s.queue:
			s.handle(ctx, p)
		case <-s.drain:
			select {
			case p := <-s.queue:
				s.handle(ctx, p)
			default:
				return
			}
		}
	}
}

// handle judges an inference, and counts what came of it.
func (s *Sink) handle(ctx context.Context, p pair) {
	err := s.judgeAgain(ctx, p)
	s.held.Add(-p.size())
	select {
	case s.room <- struct{}{}:
	default:
	}
	cut := err != nil && ctx.Err() != nil
	if cut && p.again() {
		return
	}
	p.finish()
	var skipped *judge.SkippedError
	switch {
	case errors.As(err, &skipped):
		s.counts.skipped.Add(1)
	case cut:
		s.counts.dropped.Add(1)
	case err != nil:
		s.counts.failed.Add(1)
		s.o.Logger.Debug("an inference was not judged", "error", proxy.Told(err))
	}
}

// judgeAgain judges an inference. One from Kafka is judged again for as long as what stands in
// the way may pass: the model is not ready, its classifier is away, or others come first.
func (s *Sink) judgeAgain(ctx context.Context, p pair) error {
	for {
		err := s.judge(ctx, p)
		var away *judge.UnavailableError
		var over *judge.OverloadedError
		if !p.request.kafka || !errors.As(err, &away) && !errors.As(err, &over) {
			return err
		}
		select {
		case <-time.After(againAfter):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// againAfter is when an inference that could not be judged is judged again.
const againAfter = 500 * time.Millisecond

// lease is the model of an event: the one that its service or its answer is called, or the
// only one that there is.
func (s *Sink) lease(service, model string) (judge.Model, func(), error) {
	var missing *judge.NotFoundError
	for _, name := range []string{service, model} {
		if name == "" {
			continue
		}
		if m, done, err := s.models.Lease(name, ""); err == nil || !errors.As(err, &missing) {
			return m, done, err
		}
	}
	name := ""
	for _, m := range s.models.List() {
		if name != "" && m.Name != name {
			return nil, nil, &judge.NotFoundError{Name: service}
		}
		name = m.Name
	}
	return s.models.Lease(name, "")
}

// judge judges an inference and tells of it.
func (s *Sink) judge(ctx context.Context, p pair) error {
	header, err := p.request.header()
	if err != nil {
		return err
	}
	if err := tensors.CheckMembers(head(p.request.data, header)); err != nil {
		return fmt.Errorf("request: %w", err)
	}
	q, err := tensors.ParseRequest(p.request.data, header, tensors.Limits{})
	v1 := false
	if header < 0 && (err != nil || len(q.Inputs) == 0) { // perhaps KServe's V1
		one, other := tensors.ParseRequestV1(p.request.data, tensors.Limits{})
		if v1 = other == nil; v1 {
			q, err = one, nil
		}
	}
	if err != nil {
		return fmt.Errorf("request: %w", err)
	}
	if header, err = p.response.header(); err != nil {
		return err
	}
	parse := func() (tensors.Response, error) {
		if v1 {
			return tensors.ParseResponseV1(p.response.data, tensors.Limits{})
		}
		return tensors.ParseResponse(p.response.data, header, tensors.Limits{})
	}
	r, err := parse()
	if err != nil {
		return fmt.Errorf("response: %w", err)
	}
	m, done, err := s.lease(p.request.service, r.Model)
	if err != nil {
		return err
	}
	defer done()
	asked, from, err := proxy.Answered(m.Detector(), s.o.Input, s.o.Output, q, r)
	if err != nil {
		return err
	}
	asked.Optional, asked.Way, asked.ID = true, "events", p.request.id
	ctx = p.within(ctx)
	within, cancel := context.WithTimeout(ctx, judgeTime)
	defer cancel()
	from.Server = "events"
	v, err := s.o.Kinds.Judge(within, m, asked, from)
	if err != nil {
		return err
	}
	s.counts.judged.Add(1)
	for _, f := range v.Adversarial {
		if f {
			s.counts.flagged.Add(1)
		}
	}
	reply := s.reply
	switch {
	case p.request.kafka && s.topic.reply != "":
		reply = s.topic.tell
	case p.request.kafka || s.o.ReplyURL == "":
		return nil
	}
	about, body, err := s.verdict(p.request, m, v)
	if err != nil {
		return err
	}
	withTrace(ctx, about)
	if err := reply(ctx, about, body); err != nil {
		if p.request.kafka && ctx.Err() != nil {
			return err
		}
		s.counts.unreplied.Add(1)
		s.o.Logger.Warn("a reply was not taken", "error", err)
		return nil
	}
	s.counts.replied.Add(1)
	return nil
}

// head is the JSON of a body.
func head(body []byte, header int64) []byte {
	if header < 0 || header > int64(len(body)) {
		return body
	}
	return body[:header]
}
