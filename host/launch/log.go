package launch

import (
	"bytes"
	"io"
	"sync"

	"github.com/hashicorp/go-hclog"
)

// quiet is the logger for go-plugin's own remarks: an ending process is news
// to it, to us it is either what we wanted or part of an Error. The plugin's
// lines on stderr, which go-plugin logs under the plugin's name, keep their
// levels.
type quiet struct{ hclog.Logger }

func (q quiet) Info(msg string, args ...any)  { q.Debug(msg, args...) }
func (q quiet) Warn(msg string, args ...any)  { q.Debug(msg, args...) }
func (q quiet) Error(msg string, args ...any) { q.Debug(msg, args...) }

// Named returns the unchanged logger for the plugin's own lines.
func (q quiet) Named(name string) hclog.Logger {
	if name == "stdio" {
		return quiet{q.Logger.Named(name)}
	}
	return q.Logger.Named(name)
}

// lines parts a stream into its lines, of which it gives the first tailRead bytes. What comes
// of a line in pieces is one line: a secret may lie across them.
type lines struct {
	line func(text []byte) // is given each line, without its end

	mu   sync.Mutex
	open []byte // of the line that is not finished
}

var _ io.Writer = (*lines)(nil)

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for rest := b; len(rest) > 0; {
		text, after, whole := bytes.Cut(rest, []byte{'\n'})
		if room := tailRead - len(l.open); room > 0 {
			l.open = append(l.open, text[:min(room, len(text))]...)
		}
		if whole {
			l.end()
		}
		rest = after
	}
	return len(b), nil
}

// end ends the open line; l is locked.
func (l *lines) end() {
	if text := bytes.TrimRight(l.open, "\r "); len(text) > 0 {
		l.line(text)
	}
	l.open = l.open[:0]
}

// flush gives what has come of a line that is not finished.
func (l *lines) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.end()
}

// printed logs what a plugin printed through go-plugin's stream, and keeps its last lines.
func printed(log hclog.Logger, t *tail) io.Writer {
	return t.also(func(text []byte) { log.Debug(string(text)) })
}
