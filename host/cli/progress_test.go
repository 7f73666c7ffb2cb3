package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

// screen is what a terminal shows of text with carriage returns.
func screen(text string) []string {
	var lines []string
	for _, line := range strings.Split(text, "\n") {
		var shown []rune
		for _, part := range strings.Split(line, "\r") {
			r := []rune(part)
			shown = append(r, shown[min(len(r), len(shown)):]...)
		}
		lines = append(lines, strings.TrimRight(string(shown), " "))
	}
	return lines
}

// Whatever becomes of work, what is printed stands on lines of its own, bars
// stay where they were, and the program goes on.
func TestProgressOnTerminal(t *testing.T) {
	var out bytes.Buffer
	p := &progress{w: &out, width: func() int { return 60 }}
	first := p.Task("detector", 20)
	first.Step(7, map[string]float64{"loss": 1, "kl": 2})
	whole := p.Task("predict", 3)
	whole.Step(3, nil)
	fmt.Fprintln(p, "notice: rows are sorted")
	whole.Done()
	p.Task("attack", 5).Abort()
	whole.Done() // again: nothing
	p.Note("told")
	p.Wait()
	p.Wait()
	p.Task("later", 2).Step(1, nil) // work after results were printed
	p.Wait()
	want := []string{
		"notice: rows are sorted",
		"predict            [===============] 100 %       0s",
		"attack             [---------------]   0 %",
		"told",
		"detector           [=====----------]  35 %  0s left  los…",
		"later              [=======--------]  50 %  0s left",
		"",
	}
	if got := screen(out.String()); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("the terminal shows\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Error("there are escapes, which not every terminal knows")
	}
}

// A bar fits any terminal, counts columns and not characters, and its time left
// does not count what was done before a resumption.
func TestBarLine(t *testing.T) {
	start := time.Now()
	for _, c := range []struct {
		task  task
		width int
		want  string
	}{
		{task{name: "detector", total: 100, first: 80, done: 90}, 80, "detector           [==================--]  90 %  10s left"},
		{task{name: "detector", total: 0, first: -1}, 80, "detector           [====================] 100 %      10s"},
		{task{name: "攻撃", total: 4, first: -1}, 12, "攻撃    …"},
		{task{name: "攻撃", total: 4, first: -1}, 6, "攻…"},
		{task{name: "attack", total: 4, first: -1}, 1, ""},
		{task{name: "attack", total: 4, first: 0, done: 9}, 40, "attack             [==========] 100 …"},
	} {
		c.task.start = start
		got := c.task.line(c.width, start.Add(10*time.Second))
		if got != c.want || columns(got) >= c.width {
			t.Errorf("%s in %d columns: %q of %d columns, want %q", c.task.name, c.width, got, columns(got), c.want)
		}
	}
	for d, want := range map[time.Duration]string{0: "0s", 59 * time.Second: "59s", 200 * time.Second: "3m20s", 2*time.Hour + 5*time.Minute: "2h5m"} {
		if got := short(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}

// Standard input that stays silent does not outlive an interrupt, and what comes
// arrives whole.
func TestStdinEndsWithContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	in := untilDone(ctx, r)
	go func() {
		_, _ = io.WriteString(w, "one\ntwo\n")
	}()
	all := make([]byte, 8)
	if _, err := io.ReadFull(in, all); string(all) != "one\ntwo\n" || err != nil {
		t.Errorf("%q and %v, want both lines", all, err)
	}
	time.AfterFunc(10*time.Millisecond, cancel) // as a rule while it waits for more
	if more, err := io.ReadAll(in); len(more) > 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("%q and %v, want context.Canceled", more, err)
	}
	if _, err := in.Read(make([]byte, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("after that: %v", err)
	}
	text := strings.Repeat("0123456789", 20_000)
	if all, err := io.ReadAll(untilDone(t.Context(), strings.NewReader(text))); string(all) != text || err != nil {
		t.Errorf("%d bytes and %v, want %d", len(all), err, len(text))
	}
	if untilDone(t.Context(), nil) != nil {
		t.Error("no input became some")
	}
}
