package judge

import (
	"math/bits"
	"time"
)

// pace is how long batches take, by the order of magnitude of their rows. It is
// guarded by its queue.
type pace [32]float64 // seconds, a moving average; 0: none was seen

// memory is the weight of what was seen before one batch.
const memory = 0.8

func (p *pace) learn(rows int, took time.Duration) {
	at := p.at(rows)
	if s := took.Seconds(); p[at] == 0 {
		p[at] = s
	} else {
		p[at] = memory*p[at] + (1-memory)*s
	}
}

func (p *pace) at(rows int) int { return bits.Len(uint(rows)) % len(p) }

// seen is how long batches of about as many rows take, in seconds; 0: there were none.
func (p *pace) seen(rows int) float64 { return p[p.at(rows)] }

// of is about how long rows take in batches of at most most, one after the other;
// 0: nothing is known.
func (p *pace) of(rows, most int) time.Duration {
	if rows <= 0 {
		return 0
	}
	full := rows / most
	s := p.one(rows % most)
	if full > 0 {
		s += float64(full) * p.one(most)
	}
	return time.Duration(s * float64(time.Second))
}

// one is about how long a batch takes: as the nearest that is known, a smaller one
// as if it took as long for each row, a larger one as if it were as quick.
func (p *pace) one(rows int) float64 {
	if rows <= 0 {
		return 0
	}
	at := p.at(rows)
	for d := 0; d < len(p); d++ {
		if i := at - d; i >= 0 && p[i] > 0 {
			return p[i] * float64(uint64(1)<<d)
		}
		if i := at + d; i < len(p) && p[i] > 0 {
			return p[i]
		}
	}
	return 0
}
