package watch

import (
	"embed"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"time"
)

//go:embed page.html page.css page.js
var pageFiles embed.FS

// interval is how often the page hears of changes.
const interval = time.Second

// View is what the page shows of a model.
type View struct {
	Name, Version, Detector string
	Rows, Flagged, Similar  int64
	Promised                *float64 // share of clean rows that is flagged; nil: none is promised
	Threshold               float64
	Martingale, Peak        float64 // common logarithms
	Alarm                   bool
	P                       []int64 // p-values in 20 equal buckets
	Classes                 []ClassView
	Latency                 map[string]float64 // quantiles in milliseconds
	Past                    []float64          // the martingale in the last minutes, the newest last
	Noticed                 int                // clients who ask about nearly the same input
	Clients                 []string           // some of them, by name
	Last                    []Flagged
}

// ClassView counts rows of a predicted class.
type ClassView struct {
	Name          string
	Rows, Flagged int64
}

// Views are what the page shows now, by model.
func (b *Board) Views() []View {
	out := []View{}
	for _, s := range b.sorted() {
		out = append(out, s.view())
	}
	return out
}

func (s *state) view() View {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := View{Name: s.name, Version: s.version, Detector: s.digest, Rows: s.rows, Flagged: s.flagged, Similar: s.similarRows, Threshold: s.threshold,
		Martingale: s.martingale.Log10(), Alarm: s.alarmed, P: slices.Clone(s.p[:]), Last: s.flaggedRows(), Latency: quantiles(s.times)}
	v.Peak, _ = s.martingale.Peak()
	v.Past = append(slices.Clone(s.past), v.Martingale)
	v.Clients = s.clients.names()
	v.Noticed = len(v.Clients)
	v.Clients = v.Clients[:min(len(v.Clients), shownNames)]
	if !math.IsNaN(s.promised) {
		v.Promised = &s.promised
	}
	for c, n := range s.classes {
		if n > 0 && len(v.Classes) < maxClasses {
			v.Classes = append(v.Classes, ClassView{s.class(c), n, s.classFlagged[c]})
		}
	}
	return v
}

// quantiles of latencies, in milliseconds.
func quantiles(times []time.Duration) map[string]float64 {
	if len(times) == 0 {
		return nil
	}
	sorted := slices.Sorted(slices.Values(times))
	at := func(q float64) float64 {
		return float64(sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]) / float64(time.Millisecond)
	}
	return map[string]float64{"p50": at(.5), "p90": at(.9), "p99": at(.99)}
}

// Page is a page to look at, at its root, and below it live, server-sent events of
// Views, and reset, which starts a model's martingale anew (POST, ?model=NAME). It
// loads nothing from elsewhere.
func (b *Board) Page() http.Handler {
	mux := http.NewServeMux()
	file := func(path, name, kind string) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
			data, err := pageFiles.ReadFile(name)
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			h := w.Header()
			h.Set("Content-Type", kind)
			h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
			h.Set("X-Content-Type-Options", "nosniff")
			h.Set("Cache-Control", "no-cache")
			_, _ = w.Write(data)
		})
	}
	file("/{$}", "page.html", "text/html; charset=utf-8")
	file("/page.css", "page.css", "text/css; charset=utf-8")
	file("/page.js", "page.js", "text/javascript; charset=utf-8")
	mux.HandleFunc("GET /live", b.live)
	mux.HandleFunc("POST /reset", func(w http.ResponseWriter, r *http.Request) {
		// A form of another site cannot set a header: the page's script does.
		if r.Header.Get("X-Vaeguard") == "" {
			http.Error(w, "the header X-Vaeguard is missing", http.StatusForbidden)
			return
		}
		if !b.Reset(r.URL.Query().Get("model")) {
			http.Error(w, "there is no such model", http.StatusNotFound)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	return mux
}

// live sends what has changed, a second at a time, until the client leaves.
func (b *Board) live(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	_ = control.SetWriteDeadline(time.Time{})
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	tick := time.NewTicker(interval)
	defer tick.Stop()
	before := ""
	for {
		data, err := json.Marshal(b.Views())
		if err != nil {
			return
		}
		if now := string(data); now != before {
			_, err = fmt.Fprintf(w, "data: %s\n\n", now)
			before = now
		} else {
			_, err = fmt.Fprint(w, ":\n\n") // so that a client who left is noticed
		}
		if err != nil || control.Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
		}
	}
}
