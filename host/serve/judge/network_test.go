package judge_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/vaeguard/vaeguard/host/serve/judge"
)

func TestNetwork(t *testing.T) {
	for name, want := range map[string]string{
		"":                        "",
		"somebody":                "somebody",
		"cert:CN=a":               "cert:CN=a",
		"192.0.2.7":               "192.0.2.7",
		"::ffff:192.0.2.7":        "192.0.2.7",
		"2001:db8:1:2::7":         "2001:db8:1:2::/64",
		"2001:db8:1:2:ffff::7":    "2001:db8:1:2::/64",
		"2001:DB8:1:2:0:0:0:0007": "2001:db8:1:2::/64",
		"2001:db8:1:3::7":         "2001:db8:1:3::/64",
		"fe80::1%eth0":            "fe80::/64",
		"2001:db8:1:2::/64":       "2001:db8:1:2::/64",
	} {
		if got := judge.Network(name); got != want {
			t.Errorf("%q is %q, want %q", name, got, want)
		}
	}
}

// Whoever has a network of IPv6 has one client's share, and not one for each of its addresses.
func TestLimitOfANetwork(t *testing.T) {
	d := trained(t).Open(t)
	random := rand.New(rand.NewPCG(1, 1))
	g := start(t, d, judge.Options{ClientRows: 4})
	now := time.Unix(1000, 0)
	g.Clock(func() time.Time { return now })
	ask := func(client string) bool {
		early := g.Admit(t.Context(), "test", client)
		_, err := g.Judge(t.Context(), judge.Request{Rows: rows(random, 1), Client: client})
		var over *judge.OverloadedError
		if err != nil && (!errors.As(err, &over) || !over.Client) {
			t.Fatal(err)
		}
		if (early == nil) != (err == nil) {
			t.Errorf("%s: admitted %v, judged %v", client, early, err)
		}
		return err == nil
	}
	count := func(format string) (n int) {
		for i := range 20 {
			if ask(fmt.Sprintf(format, i)) {
				n++
			}
		}
		return n
	}
	for format, want := range map[string]int{"2001:db8:1:2::%x": 4, "2001:db8:2:%x::1": 20, "192.0.2.%d": 20, "user-%d": 20} {
		if got := count(format); got != want {
			t.Errorf("%s: %d of 20 are let in, want %d", format, got, want)
		}
	}
}
