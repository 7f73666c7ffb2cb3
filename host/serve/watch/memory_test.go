package watch_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/vaeguard/vaeguard/host/serve/watch"
)

// rows are pictures that have nothing in common.
type rows struct{ r *rand.Rand }

func (g rows) next(row []float32) []float32 {
	for i := range row {
		row[i] = g.r.Float32()
	}
	return row
}

// heap is what is in use of it.
func heap() float64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// TestSimilarMemory: what is remembered takes 0.9 kB a row at most, of few clients and of many, and no more rows than there
// is room for, whatever the number of clients.
func TestSimilarMemory(t *testing.T) {
	g, row := rows{rand.New(rand.NewPCG(1, 1))}, make([]float32, 784)
	for _, c := range []struct{ clients, each, total, kept int }{
		{10, 300, 0, 3000}, {1000, 3, 0, 3000}, {1, 3000, 0, 1000}, {3000, 1, 0, 1000}, {100, 30, 500, 500}, {1, 2000, 500, 500},
	} {
		before := heap()
		s := watch.NewSimilar(watch.SimilarOptions{Total: c.total})
		for i := range c.clients {
			for range c.each {
				s.See(fmt.Sprintf("10.0.%d.%d", i/256, i%256), g.next(row))
			}
		}
		const kB, each, spare = 1000, 900, 0.35e6 // the last is for scratch and the clients themselves
		// The room of a client doubles.
		if used := heap() - before; used > 2*each*float64(c.kept)+spare {
			t.Errorf("%d clients with %d rows: %.0f kB, %.2f a row that is kept", c.clients, c.each, used/kB, used/kB/float64(c.kept))
		} else {
			t.Logf("%d clients with %d rows: %.0f kB, %.2f a row that is kept", c.clients, c.each, used/kB, used/kB/float64(c.kept))
		}
		runtime.KeepAlive(s)
	}
}

// TestSimilarForgets: of rows beyond the room there is for all, those of clients are forgotten who have not asked for
// longest, and of one client the oldest.
func TestSimilarForgets(t *testing.T) {
	g := rows{rand.New(rand.NewPCG(2, 1))}
	s := watch.NewSimilar(watch.SimilarOptions{Total: 8, Rows: 4})
	kept := func(name string, row []float32) bool {
		near := append([]float32(nil), row...)
		near[5] = 1 - near[5]
		similar, _ := s.See(name, near)
		return similar
	}
	var asked [][]float32
	for range 6 {
		row := g.next(make([]float32, 784))
		asked = append(asked, row)
		s.See("a", row)
	}
	if kept("a", asked[0]) {
		t.Error("the first of 6 rows is remembered, and there is room for 4")
	}
	if !kept("a", asked[5]) {
		t.Error("the last row is not remembered")
	}
	for i := range 8 { // with the 4 rows of a, and 4 of others, there is no room for more
		s.See(fmt.Sprint("other", i), g.next(make([]float32, 784)))
	}
	if n := s.Of("a"); n.Rows != 0 {
		t.Errorf("the client who has not asked for longest is remembered: %+v", n)
	}
	if n := s.Of("other7"); n.Rows != 1 {
		t.Errorf("the last one: %+v", n)
	}
}

// TestSimilarNetworks: whoever has the addresses of a network of IPv6 is one client, and others are others.
func TestSimilarNetworks(t *testing.T) {
	g, row := rows{rand.New(rand.NewPCG(3, 1))}, make([]float32, 784)
	g.next(row)
	s := watch.NewSimilar(watch.SimilarOptions{})
	found := 0
	for i := range 20 {
		row[i] = 1 - row[i]
		if similar, _ := s.See(fmt.Sprintf("2001:db8:1:2:%x:%x::1", i, i*i), row); similar {
			found++
		}
	}
	if found != 19 {
		t.Errorf("%d of 19 near-duplicates from the addresses of one network are found", found)
	}
	for _, other := range []string{"2001:db8:1:3::1", "10.0.0.1", "10.0.0.2", "cert:CN=a", "unix"} {
		row[300] = 1 - row[300]
		if similar, all := s.See(other, row); similar || all.Rows != 1 {
			t.Errorf("%s is taken for another: %+v", other, all)
		}
	}
	if a, b := s.Of("10.0.0.1"), s.Of("::ffff:10.0.0.1"); a != b || a.Rows != 1 {
		t.Errorf("%+v, and as an address of IPv6 %+v", a, b)
	}
}
