package track

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vaeguard/vaeguard/host/registry"
)

// book is a tracker that keeps what it is told, and does what Act says before.
type book struct {
	*pages
	Act func(ctx context.Context, what string) error
}

// pages are what a book was told.
type pages struct {
	mu   sync.Mutex
	told []string
}

func (b book) Check(target string) error {
	if target == "wrong" {
		return errors.New("no such place")
	}
	return nil
}

func (b book) Start(ctx context.Context, r Run) (Log, error) {
	return b, b.hear(ctx, "start "+r.Target+r.ID)
}

func (b book) hear(ctx context.Context, what string) error {
	b.mu.Lock()
	b.told = append(b.told, what)
	b.mu.Unlock()
	if b.Act != nil {
		return b.Act(ctx, what)
	}
	return nil
}

func (b book) ID() string { return "42" }
func (b book) Metrics(ctx context.Context, step int, _ time.Time, values []Value) error {
	return b.hear(ctx, "metrics "+values[0].Name)
}
func (b book) Artifact(ctx context.Context, path string) error { return b.hear(ctx, "artifact "+path) }
func (b book) Close(ctx context.Context, o Outcome) error      { return b.hear(ctx, "close "+string(o)) }

// warnings are what a session warned of.
type warnings struct {
	mu   sync.Mutex
	list []string
}

func (w *warnings) add(text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.list = append(w.list, text)
}

// Each tracker is told all of a run, in order; a resumed run has the ID of the first,
// and the state says nothing of users and passwords.
func TestSession(t *testing.T) {
	b := book{pages: &pages{}}
	table := registry.NewTable("tracker", registry.Entry[Tracker]{Name: "book", Default: b, Doc: "a book"})
	chosen, err := Parse(table, []string{"book:http://me:secret@host/x?token=secret"})
	if err != nil {
		t.Fatal(err)
	}
	state, w := filepath.Join(t.TempDir(), "track.json"), &warnings{}
	for _, resume := range []bool{false, true} {
		s := Open(t.Context(), chosen, Run{Resume: resume}, Settings{State: state, Warn: w.add})
		s.Metrics(1, []Value{{"loss", 1}})
		s.Artifact("a")
		s.Close(Finished)
	}
	once := []string{"start http://me:secret@host/x?token=secret", "metrics loss", "artifact a", "close finished"}
	want := append(slices.Clone(once), once...)
	want[4] += "42"
	if !slices.Equal(b.told, want) || len(w.list) != 0 {
		t.Errorf("told %q, want %q; warned of %q", b.told, want, w.list)
	}
	ids := &memory{path: state}
	if ids.read(); len(ids.of) != 1 || ids.of["book:http://host/x"] != "42" {
		t.Errorf("state %v", ids.of)
	}
}

// A tracker that fails, panics, hangs or cannot keep up is told nothing more, with one
// warning, and neither stops nor delays the run or another tracker.
func TestTrackerFails(t *testing.T) {
	hang := func(ctx context.Context, _ string) error {
		<-ctx.Done()
		return ctx.Err()
	}
	for name, c := range map[string]struct {
		act  func(context.Context, string) error
		want string
	}{
		"fails at start": {func(_ context.Context, what string) error { return errors.New("down: " + what) }, "down: start http://host/"},
		"fails later": {func(_ context.Context, what string) error {
			if strings.HasPrefix(what, "metrics") {
				return errors.New("disk full")
			}
			return nil
		}, "disk full"},
		"panics":     {func(context.Context, string) error { panic("oh") }, "it panicked: oh"},
		"hangs":      {hang, context.DeadlineExceeded.Error()},
		"hangs hard": {func(context.Context, string) error { select {} }, "it is too slow"},
	} {
		t.Run(name, func(t *testing.T) {
			good, bad, w := book{pages: &pages{}}, book{&pages{}, c.act}, &warnings{}
			chosen := []Chosen{{"bad", "http://me:secret@host/", bad}, {"good", "", good}}
			s := Open(t.Context(), chosen, Run{}, Settings{Warn: w.add, Call: 20 * time.Millisecond, Grace: 3 * time.Second, Queue: 8})
			start := time.Now()
			for range 6 {
				s.Metrics(1, []Value{{"loss", 1}})
			}
			if name == "hangs hard" {
				for !slices.Contains(good.list(), "metrics loss") || len(good.list()) < 7 {
					time.Sleep(time.Millisecond)
				}
				for range 6 { // those that still fit, and those that do not
					s.Metrics(1, []Value{{"loss", 1}})
					time.Sleep(5 * time.Millisecond)
				}
			}
			if took := time.Since(start); took > time.Minute {
				t.Errorf("the run was held up for %v", took)
			}
			s.Close(Finished)
			w.mu.Lock()
			defer w.mu.Unlock()
			if len(w.list) != 1 || !strings.Contains(w.list[0], c.want) || !strings.HasPrefix(w.list[0], "tracker bad:http://host/: ") || strings.Contains(w.list[0], "secret") {
				t.Errorf("warned of %q, want one of %q", w.list, c.want)
			}
			if told := good.list(); told[len(told)-1] != "close finished" {
				t.Errorf("the other tracker heard %q", told)
			}
		})
	}
}

func (p *pages) list() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.told)
}

// After an interruption Close waits a tenth of the time; no tracker is no session.
func TestClose(t *testing.T) {
	b := book{&pages{}, func(context.Context, string) error { select {} }}
	s := Open(t.Context(), []Chosen{{"slow", "", b}}, Run{}, Settings{Grace: 20 * time.Second})
	start := time.Now()
	s.Close(Interrupted)
	if took := time.Since(start); took > 15*time.Second {
		t.Errorf("it took %v", took)
	}
	none := Open(t.Context(), nil, Run{}, Settings{})
	none.Metrics(1, nil)
	none.Artifact("a")
	none.Close(Failed)
	if none != nil {
		t.Error("a session without trackers")
	}
}

// Interruption of the run ends no call: that it was interrupted is told.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	b := book{&pages{}, func(ctx context.Context, _ string) error { return ctx.Err() }}
	s := Open(ctx, []Chosen{{"book", "", b}}, Run{}, Settings{Warn: func(text string) { t.Error(text) }})
	cancel()
	s.Close(Interrupted)
	if told := b.list(); !slices.Contains(told, "close interrupted") {
		t.Errorf("told %q", told)
	}
}

func TestParse(t *testing.T) {
	table := registry.NewTable("tracker", registry.Entry[Tracker]{Name: "book", Default: book{}, Doc: "a book"})
	for text, want := range map[string]string{"bok": `unknown tracker "bok"`, "book:": "nothing follows", "book:wrong": "book: no such place"} {
		if _, err := Parse(table, []string{text}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	if got, err := Parse(table, []string{"book", "book:x", "book"}); err != nil || len(got) != 2 {
		t.Errorf("%v, %v: want two", got, err)
	}
}

func TestLocal(t *testing.T) {
	for target, want := range map[string]string{"runs/tb": filepath.FromSlash("runs/tb"), "file:///a%20b/c": filepath.FromSlash("/a b/c"), "file:/a": filepath.FromSlash("/a"), "http://a/b": "", "file://other/a": "", "file:a": ""} {
		if got, ok := Local(target); got != want || ok != (want != "") {
			t.Errorf("Local(%q) = %q, %v; want %q", target, got, ok, want)
		}
	}
}
