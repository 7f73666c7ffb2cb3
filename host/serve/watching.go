package serve

import (
	"time"

	"github.com/vaeguard/vaeguard/host/serve/watch"
)

// mountWatch puts metrics and the page on admin, and the board behind them on every
// model.
func (s *Server) mountWatch() {
	w := s.spec.Watch
	told := func(a watch.Alarm) {
		if s.sink != nil {
			s.sink.Alarm(a.Model, a.Kind, a)
		}
	}
	board := watch.NewBoard(watch.Options{Told: told, Alpha: w.Alpha, Notice: w.Notice, Refuse: w.Refuse, RefuseFor: time.Duration(w.RefuseFor), Logger: s.log,
		Similar: watch.SimilarOptions{Share: w.Share, Rows: w.Rows, Clients: w.Clients, Total: w.Total}})
	s.board = board
	board.Follow(s.models)
	s.Watch(board)
	s.refused = board.Refused
	if s.proxy != nil {
		board.Count("proxy_inferences_total", "Inferences before a model server, by what came of them.", func() map[string]int64 {
			c := s.proxy.Counters()
			return map[string]int64{"judged": c.Judged, "unread": c.Unread, "failed": c.Failed, "skipped": c.Skipped, "dropped": c.Dropped, "refused": c.Refused}
		})
		board.Count("proxy_verdicts_total", "What came of verdicts before a model server: inferences that were blocked, rows that were corrected.", func() map[string]int64 {
			c := s.proxy.Counters()
			return map[string]int64{"blocked": c.Blocked, "corrected": c.Corrected}
		})
		board.Count("proxy_passed_total", "Requests that are no inference of a guarded model.", func() map[string]int64 {
			return map[string]int64{"passed": s.proxy.Counters().Passed}
		})
	}
	if s.sink != nil {
		board.Count("events_total", "Events that came, and inferences in them, by what came of them.", func() map[string]int64 {
			c := s.sink.Counters()
			return map[string]int64{"came": c.Events, "ignored": c.Ignored, "twice": c.Twice, "lost": c.Lost, "judged": c.Judged, "skipped": c.Skipped, "dropped": c.Dropped, "failed": c.Failed,
				"replied": c.Replied, "unreplied": c.Unreplied}
		})
	}
	if s.proxy != nil || s.sink != nil {
		board.Count("answers_total", "Answers of model servers that were judged by, as they were (given) or turned into the other kind (converted), or compared with the detector's classifier's; foreign are those of the latter that are another model's.", func() map[string]int64 {
			c := s.kinds.Counters()
			return map[string]int64{"given": c.Given, "converted": c.Converted, "compared": c.Compared - c.Foreign, "foreign": c.Foreign}
		})
	}
	s.HandleOpen("GET /metrics", board.Metrics())
	s.HandleAdmin("/", board.Page())
}
