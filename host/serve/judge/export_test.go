package judge

import "time"

// Clock makes now the clock of a guard's limits. Before its first request.
func (g *Guard) Clock(now func() time.Time) { g.now = now }
