package serve

import "github.com/vaeguard/vaeguard/host/serve/watch"

// mountWatch puts metrics and the page on admin, and the board behind them on every
// model.
func (s *Server) mountWatch() {
	w := s.spec.Watch
	board := watch.NewBoard(watch.Options{Alpha: w.Alpha, Notice: w.Notice, Logger: s.log,
		Similar: watch.SimilarOptions{Share: w.Share, Rows: w.Rows, Clients: w.Clients}})
	board.Follow(s.models)
	s.Watch(board)
	s.HandleOpen("GET /metrics", board.Metrics())
	s.HandleAdmin("/", board.Page())
}
