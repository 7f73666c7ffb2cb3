package watch

import (
	"math"

	"github.com/vaeguard/vaeguard/host/serve/judge"
)

// Alarm is what a person should know. Fields that are not of its kind are absent.
type Alarm struct {
	// Kind is drift, inputs that are no longer like the calibration rows; similar, a client who asks about nearly the same
	// input again and again; or refused, one who is refused for it.
	Kind    string `json:"kind"`
	Model   string `json:"model_name"`
	Version string `json:"model_version"`

	Martingale float64 `json:"martingale_log10,omitempty"` // of drift: the largest it has been
	Alpha      float64 `json:"alpha,omitempty"`            // of drift: the probability of a false alarm
	Client     string  `json:"client,omitempty"`           // of the others
	Near       int     `json:"near_duplicates,omitempty"`  // of Rows
	Rows       int64   `json:"rows"`                       // that were seen: of the client, or of all
}

// alarm says once what a person should know.
func (b *Board) alarm(s *state, e judge.Event, near Sightings) {
	s.mu.Lock()
	peak, rows := s.martingale.Peak()
	drift := !s.alarmed && peak >= -math.Log10(b.o.Alpha)
	s.alarmed = s.alarmed || drift
	s.mu.Unlock()
	if drift {
		b.o.Logger.Warn("inputs are no longer like the calibration rows", "model", s.name, "version", s.version, "martingale_log10", peak, "rows", rows, "alpha", b.o.Alpha)
		b.tell(s, Alarm{Kind: "drift", Martingale: peak, Alpha: b.o.Alpha, Rows: rows})
	}
	client := e.Request.Client
	about := Alarm{Kind: "similar", Client: judge.Network(client), Near: near.Similar, Rows: int64(near.Rows)}
	if s.clients.notice(client, near, b.o.Notice) {
		b.o.Logger.Warn("a client asks about nearly the same input again and again", "model", s.name, "client", about.Client, "near_duplicates", near.Similar, "rows", near.Rows)
		b.tell(s, about)
	}
	if b.o.Refuse > 0 && near.Similar >= b.o.Refuse && s.clients.refuse(client, b.now(), b.o.RefuseFor) {
		b.o.Logger.Warn("a client is refused for a while", "model", s.name, "client", about.Client, "near_duplicates", near.Similar, "for", b.o.RefuseFor)
		about.Kind = "refused"
		b.tell(s, about)
	}
}

// tell counts an alarm and passes it on.
func (b *Board) tell(s *state, a Alarm) {
	b.metrics.alarms.WithLabelValues(s.name, a.Kind).Inc()
	if a.Model, a.Version = s.name, s.version; b.o.Told != nil {
		b.o.Told(a)
	}
}
