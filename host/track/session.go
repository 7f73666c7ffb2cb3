package track

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/vaeguard/vaeguard/host/atomicfile"
)

// Session is a run at each of its trackers. Its methods never fail and never wait
// for a tracker, but for Close, which does for a while. The nil Session tracks
// nothing.
type Session struct{ logs []*sender }

// Settings say how a Session deals with its trackers.
type Settings struct {
	State string        // file that keeps what resumes a run at its trackers; "": none
	Warn  func(string)  // is told of the first failure of each tracker, from any goroutine; nil: nobody is
	Call  time.Duration // that one call may take; 0: 20 s
	Grace time.Duration // that Close waits after a run; 0: 20 s
	Queue int           // calls that may wait; 0: 4096
}

// Open starts a run at trackers; nil if there are none. ctx ends nothing: that a
// run was interrupted is to be told as well.
func Open(ctx context.Context, chosen []Chosen, r Run, s Settings) *Session {
	if len(chosen) == 0 {
		return nil
	}
	if s.Warn == nil {
		s.Warn = func(string) {}
	}
	s.Call, s.Grace = or(s.Call, 20*time.Second), or(s.Grace, 20*time.Second)
	if s.Queue == 0 {
		s.Queue = 4096
	}
	ids := &memory{path: s.State}
	ids.read()
	session := &Session{}
	for _, c := range chosen {
		own := r
		own.Target = c.Target
		if own.Resume {
			own.ID = ids.of[c.String()]
		}
		l := &sender{chosen: c, run: own, s: s, ids: ids, queue: make(chan call, s.Queue), done: make(chan struct{}), ctx: context.WithoutCancel(ctx)}
		session.logs = append(session.logs, l)
		go l.work()
	}
	return session
}

func or(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}

// Metrics tells figures of a step.
func (s *Session) Metrics(step int, values []Value) {
	now := time.Now()
	s.each(func(ctx context.Context, l Log) error { return l.Metrics(ctx, step, now, values) })
}

// Artifact tells of a file that is done.
func (s *Session) Artifact(path string) {
	s.each(func(ctx context.Context, l Log) error { return l.Artifact(ctx, path) })
}

// Close ends the run at its trackers and waits for them, Settings.Grace at most; a
// tenth of it after an interruption, whose user waits.
func (s *Session) Close(o Outcome) {
	if s == nil {
		return
	}
	s.each(func(ctx context.Context, l Log) error { return l.Close(ctx, o) })
	for _, l := range s.logs {
		close(l.queue)
	}
	grace := s.logs[0].s.Grace
	if o == Interrupted {
		grace /= 10
	}
	late := time.After(grace)
	for i, l := range s.logs {
		select {
		case <-l.done:
		case <-late:
			for _, l := range s.logs[i:] {
				l.abandon()
			}
			return
		}
	}
}

// abandon leaves a tracker alone that is not done.
func (l *sender) abandon() {
	select {
	case <-l.done:
	default:
		l.fail(errors.New("it was not done in time"))
	}
}

func (s *Session) each(c call) {
	if s == nil {
		return
	}
	for _, l := range s.logs {
		select {
		case l.queue <- c:
		default:
			l.fail(errors.New("it is too slow"))
		}
	}
}

// call is one thing to do at a tracker.
type call func(context.Context, Log) error

// sender is a run at one tracker, and the queue before it.
type sender struct {
	chosen Chosen
	run    Run
	s      Settings
	ids    *memory
	queue  chan call
	done   chan struct{}   // closed when nothing is left to do
	ctx    context.Context //nolint:containedctx // of the worker, which lives as long

	mu     sync.Mutex
	failed bool
}

// work does what is queued until the queue is closed; nothing after a failure.
func (l *sender) work() {
	defer close(l.done)
	var log Log
	if err := l.timed(func(ctx context.Context) (err error) {
		log, err = l.chosen.Tracker.Start(ctx, l.run)
		return err
	}); err != nil {
		l.fail(err)
	} else if id := log.ID(); id != "" && id != l.run.ID {
		if err := l.ids.keep(l.chosen.String(), id); err != nil {
			l.s.Warn(fmt.Sprintf("tracker %s: a resumed run will be a new one there: %v", l.chosen, err))
		}
	}
	for c := range l.queue {
		if l.broken() {
			continue
		}
		if err := l.timed(func(ctx context.Context) error { return c(ctx, log) }); err != nil {
			l.fail(err)
		}
	}
}

// timed is one call with its time. A tracker that panics has failed.
func (l *sender) timed(f func(context.Context) error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("it panicked: %v", r)
		}
	}()
	ctx, cancel := context.WithTimeout(l.ctx, l.s.Call)
	defer cancel()
	return f(ctx)
}

func (l *sender) broken() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed
}

// fail warns of the first failure. What a target holds of a user is not told.
func (l *sender) fail(err error) {
	l.mu.Lock()
	first := !l.failed
	l.failed = true
	l.mu.Unlock()
	if first {
		text := strings.ReplaceAll(err.Error(), l.chosen.Target, Shown(l.chosen.Target))
		l.s.Warn(fmt.Sprintf("tracker %s: %s; it is told nothing more of this run", l.chosen, text))
	}
}

// memory is what resumes a run at its trackers: a file of JSON, IDs by tracker.
type memory struct {
	path string

	mu sync.Mutex
	of map[string]string
}

func (m *memory) read() {
	m.of = map[string]string{}
	if data, err := os.ReadFile(m.path); err == nil {
		_ = json.Unmarshal(data, &m.of) // one that cannot be read is none
	}
}

func (m *memory) keep(tracker, id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.of[tracker] = id
	if m.path == "" {
		return nil
	}
	return atomicfile.Write(m.path, func(f *os.File) error { return json.NewEncoder(f).Encode(m.of) })
}
