package watch

import "math/bits"

// client is what is remembered of one: the fingerprints of its rows, and an index of their hashes, in few flat slices. Of a
// hash 32 bits are kept: that two rows share many by chance is no likelier for it.
type client struct {
	name string
	seen Sightings

	room  int      // rows that there is room for
	wide  int      // hashes that there is room for in a row
	next  int      // row that comes next, a ring
	exact []uint64 // hashes of whole rows
	count []int32  // hashes that a row has
	hash  []uint32 // of a row, wide numbers each
	heads []int32  // first place in hash of those that share a bucket, from 1; 0: there is none
	links []int32  // the next such place
	rows  []int32  // scratch: hashes that a row shares
}

// keep remembers a row, in the place of the oldest if there is no room for more.
func (c *client) keep(hashes []uint64, whole uint64) {
	if c.room == 0 {
		return
	}
	if c.wide < len(hashes) { // the first row, or one of another shape
		c.widen(len(hashes))
	}
	at := c.next
	if at == len(c.exact) {
		c.exact, c.count = append(c.exact, 0), append(c.count, 0)
	} else {
		c.forget(at)
	}
	c.exact[at], c.count[at] = whole, int32(len(hashes))
	for k, h := range hashes {
		c.hash[at*c.wide+k] = uint32(h)
		c.link(at*c.wide + k)
	}
	c.next = (at + 1) % c.room
}

// bucket is that of a hash.
func (c *client) bucket(h uint32) uint32 { return h & uint32(len(c.heads)-1) }

// link puts a place of hash before the others of its bucket.
func (c *client) link(place int) {
	b := c.bucket(c.hash[place])
	c.links[place] = c.heads[b]
	c.heads[b] = int32(place) + 1
}

// forget takes a row out of the index.
func (c *client) forget(at int) {
	for place := at * c.wide; place < at*c.wide+int(c.count[at]); place++ {
		to := &c.heads[c.bucket(c.hash[place])]
		for *to != int32(place)+1 {
			to = &c.links[*to-1]
		}
		*to = c.links[place]
	}
	c.count[at] = 0
}

// grow makes room for more rows. In a ring that had gone around, some may then go before older ones.
func (c *client) grow(room int) {
	c.resize(room, c.wide)
	c.next = len(c.exact) % room
}

// widen makes room for more hashes of a row.
func (c *client) widen(wide int) { c.resize(c.room, wide) }

func (c *client) resize(room, wide int) {
	hash := make([]uint32, room*wide)
	for at := range c.exact {
		copy(hash[at*wide:], c.hash[at*c.wide:at*c.wide+int(c.count[at])])
	}
	exact, count := make([]uint64, len(c.exact), room), make([]int32, len(c.exact), room)
	copy(exact, c.exact)
	copy(count, c.count)
	c.room, c.wide, c.hash, c.exact, c.count = room, wide, hash, exact, count
	c.links, c.rows = make([]int32, room*wide), make([]int32, room)
	c.heads = make([]int32, 1<<bits.Len(uint(max(1, room*wide)-1)))
	for at := range c.exact {
		for k := range int(c.count[at]) {
			c.link(at*wide + k)
		}
	}
}

// matches is the largest number of hashes that one remembered row shares.
func (c *client) matches(hashes []uint64) int {
	if len(c.exact) == 0 {
		return 0
	}
	clear(c.rows)
	most := int32(0)
	for _, h := range hashes {
		for place := c.heads[c.bucket(uint32(h))]; place != 0; place = c.links[place-1] {
			if c.hash[place-1] == uint32(h) {
				at := int(place-1) / c.wide
				c.rows[at]++
				most = max(most, c.rows[at])
			}
		}
	}
	return int(most)
}
