package events

import (
	"crypto/rand"
	"encoding/json"
	"time"
)

// TypeAlarm is the type of the event that an alarm is told by.
const TypeAlarm = "com.github.vaeguard.alarm"

// mostAlarms is how many alarms are told at once. One beyond them is counted as not told.
const mostAlarms = 8

// Alarm tells Options.ReplyURL of an alarm of a model, of kind kind, by an event of TypeAlarm whose data are about in
// JSON, and the extension alarm its kind. It does not wait, and Close ends it. Without ReplyURL it does nothing.
func (s *Sink) Alarm(model, kind string, about any) {
	if s.o.ReplyURL == "" {
		return
	}
	select {
	case s.alarms <- struct{}{}:
	default:
		s.counts.unreplied.Add(1)
		s.o.Logger.Warn("an alarm was not told: too many at once", "model", model, "alarm", kind)
		return
	}
	go func() {
		defer func() { <-s.alarms }()
		body, err := json.Marshal(about)
		if err == nil {
			ctx, cancel := s.limited()
			defer cancel()
			err = s.reply(ctx, map[string]string{"specversion": "1.0", "id": rand.Text(), "type": TypeAlarm, "source": "/vaeguard/" + model,
				"time": time.Now().UTC().Format(time.RFC3339Nano), "alarm": kind}, body)
		}
		if err != nil {
			s.counts.unreplied.Add(1)
			s.o.Logger.Warn("an alarm was not taken", "model", model, "alarm", kind, "error", err)
			return
		}
		s.counts.replied.Add(1)
	}()
}
