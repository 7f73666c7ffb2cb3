package watch

// prints are the fingerprints of the latest rows of one client, and where each hash is. Hashes are random, so their
// own bits say where to look; rows go in the order in which they came, so that the oldest of a place is its first.
type prints struct {
	each   int      // most hashes of a row
	most   int      // rows
	sizes  []int32  // hashes of each row that is kept, a ring
	next   int      // place in the ring
	hashes []uint64 // of row r from r·each on
	after  []int32  // the next hash of the same place; −1: it is the last
	first  []int32  // of each place; −1: none. Their number is a power of two
	last   []int32
	shared []int32 // scratch: hashes that each row shares; 0 between calls
	seen   []int32 // scratch: the rows that share any
}

const noHash = -1

// shares is the largest number of hashes that one row shares with a fingerprint.
func (p *prints) shares(print []uint64) int {
	most := int32(0)
	if len(p.first) == 0 {
		return 0
	}
	p.seen = p.seen[:0]
	for _, h := range print {
		for at := p.first[p.place(h)]; at != noHash; at = p.after[at] {
			if p.hashes[at] == h {
				row := at / int32(p.each)
				if p.shared[row]++; p.shared[row] == 1 {
					p.seen = append(p.seen, row)
				}
				most = max(most, p.shared[row])
			}
		}
	}
	for _, row := range p.seen {
		p.shared[row] = 0
	}
	return int(most)
}

func (p *prints) place(h uint64) int { return int(h & uint64(len(p.first)-1)) }

// keep remembers a fingerprint, in the place of the oldest if there are enough, and gives the row's place in the ring.
func (p *prints) keep(print []uint64) int {
	row := p.next
	if len(p.sizes) < p.most {
		p.sizes, p.shared = append(p.sizes, 0), append(p.shared, 0)
		for range p.each {
			p.hashes, p.after = append(p.hashes, 0), append(p.after, noHash)
		}
		if len(p.hashes) > 2*len(p.first) {
			p.spread()
		}
	} else {
		p.forget(row)
	}
	p.sizes[row] = int32(len(print))
	copy(p.hashes[row*p.each:], print)
	for i := range print {
		p.add(row*p.each + i)
	}
	p.next = (row + 1) % p.most
	return row
}

// add puts a hash behind the others of its place.
func (p *prints) add(at int) {
	b := p.place(p.hashes[at])
	p.after[at] = noHash
	if p.first[b] == noHash {
		p.first[b] = int32(at)
	} else {
		p.after[p.last[b]] = int32(at)
	}
	p.last[b] = int32(at)
}

// forget lets go of the oldest row.
func (p *prints) forget(row int) {
	for at := row * p.each; at < row*p.each+int(p.sizes[row]); at++ {
		b := p.place(p.hashes[at])
		p.first[b] = p.after[at] // it is the first there: all others are younger, or were added after it
	}
}

// spread makes room for more places.
func (p *prints) spread() {
	n := max(64, 2*len(p.first))
	for 2*n < len(p.hashes) {
		n *= 2
	}
	p.first, p.last = make([]int32, n), make([]int32, n)
	for b := range p.first {
		p.first[b] = noHash
	}
	for row, size := range p.sizes {
		for i := range int(size) {
			p.add(row*p.each + i)
		}
	}
}
