package onnx

import "math"

// forest is a tree ensemble made ready. Nodes are in one array; a leaf adds
// its votes to the classes.
type forest struct {
	nodes   []branch
	roots   []int
	votes   []vote
	base    []float32
	classes int
	single  bool // two classes, all votes for one of them
	voted   int  // that class
	nonNeg  bool // no vote is negative
}

type branch struct {
	feature    int
	mode       string // "LEAF": votes[from:to]
	value      float32
	yes, no    int
	missingYes bool
	from, to   int
}

type vote struct {
	class  int
	weight float32
}

// treeClassifier answers the label and the scores of all classes. It has no
// gradient.
func treeClassifier(c *call) []*value {
	c.n.once.Do(func() { c.lasting(func() { c.n.ready = c.plant() }) })
	t, ok := c.n.ready.(*forest)
	if !ok {
		t = c.plant() // to fail again
	}
	x := c.plain(c.toFloat(c.any(0)))
	if len(x.shape) == 1 {
		x = c.view(x, []int{1, x.shape[0]})
	}
	if len(x.shape) != 2 {
		c.fail("input has shape %v, want (N, features)", x.shape)
	}
	n, width := x.shape[0], x.shape[1]
	for _, b := range t.nodes {
		if b.mode != "LEAF" && b.feature >= width {
			c.fail("asks for feature %d of %d", b.feature, width)
		}
	}
	y := c.zeros([]int{n, t.classes})
	c.spend(n, len(t.nodes), workElement) // a tree may be one long branch
	const grain = 16
	room := fresh[float64](&c.room, (n+grain-1)/grain*t.classes)
	c.k.Parallel(n, grain, func(lo, hi int) {
		sums := room[lo/grain*t.classes:][:t.classes]
		for i := lo; i < hi; i++ {
			t.scores(y.f[i*t.classes:][:t.classes], x.f[i*width:][:width], sums)
		}
	})
	if t.single && t.nonNeg {
		return []*value{c.labels(y), y} // probabilities already
	}
	return []*value{c.labels(y), c.transformed(y)}
}

// scores adds up the votes of all trees.
func (t *forest) scores(y, x []float32, sums []float64) {
	clear(sums)
	for i, b := range t.base {
		sums[i] = float64(b)
	}
	for _, root := range t.roots {
		b := &t.nodes[root]
		for b.mode != "LEAF" {
			b = &t.nodes[pick(b.asks(x[b.feature]), b.yes, b.no)]
		}
		for _, v := range t.votes[b.from:b.to] {
			sums[v.class] += float64(v.weight)
		}
	}
	if t.single {
		s := sums[t.voted]
		if len(t.base) == 1 {
			s += sums[0] * float64(truth(t.voted != 0))
		}
		y[0], y[1] = float32(-s), float32(s)
		if t.nonNeg {
			y[0] = float32(1 - s)
		}
		return
	}
	for i, s := range sums {
		y[i] = float32(s)
	}
}

// asks answers a branch's question.
func (b *branch) asks(x float32) bool {
	if x != x {
		return b.missingYes
	}
	switch b.mode {
	case "BRANCH_LEQ":
		return x <= b.value
	case "BRANCH_LT":
		return x < b.value
	case "BRANCH_GTE":
		return x >= b.value
	case "BRANCH_GT":
		return x > b.value
	case "BRANCH_EQ":
		return x == b.value
	}
	return x != b.value
}

// plant reads the attributes.
func (c *call) plant() *forest {
	a := func(name string) attr { return c.n.attrs["nodes_"+name] }
	trees, ids := a("treeids").ints, a("nodeids").ints
	n := len(ids)
	features, values, modes := a("featureids").ints, a("values").floats, a("modes").strings
	yes, no, missing := a("truenodeids").ints, a("falsenodeids").ints, a("missing_value_tracks_true").ints
	if n == 0 || len(trees) != n || len(features) != n || len(values) != n || len(modes) != n || len(yes) != n || len(no) != n || len(missing) != 0 && len(missing) != n {
		c.fail("its lists of nodes are not of one length")
	}
	c.claim(n, 2*bytesEntry) // the tables of nodes and trees
	c.spend(n, workElement)
	t := &forest{nodes: fresh[branch](&c.room, n), nonNeg: true, base: c.n.attrs["base_values"].floats}
	t.classes = max(len(c.n.attrs["classlabels_int64s"].ints), len(c.n.attrs["classlabels_strings"].strings))
	if t.classes < 1 || len(t.base) != 0 && len(t.base) != 1 && len(t.base) != t.classes {
		c.fail("has %d classes and %d base values", t.classes, len(t.base))
	}
	at := map[[2]int64]int{}
	for i := range n {
		key := [2]int64{trees[i], ids[i]}
		if _, twice := at[key]; twice {
			c.fail("has node %d of tree %d twice", ids[i], trees[i])
		}
		at[key] = i
	}
	child := fresh[bool](&c.room, n)
	for i := range n {
		b := &t.nodes[i]
		b.mode, b.feature, b.value = modes[i], int(features[i]), values[i]
		b.missingYes = len(missing) > 0 && missing[i] != 0
		switch b.mode {
		case "LEAF":
			continue
		case "BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ":
		default:
			c.fail("has a node of mode %q", b.mode)
		}
		for k, id := range []int64{yes[i], no[i]} {
			j, ok := at[[2]int64{trees[i], id}]
			if !ok || child[j] || j == i || b.feature < 0 {
				c.fail("node %d of tree %d leads to node %d, which is missing or has two parents", ids[i], trees[i], id)
			}
			child[j] = true
			*pick(k == 0, &b.yes, &b.no) = j
		}
	}
	seen := map[int64]bool{}
	for i := range n { // each tree has one node that is no node's child; then there is no loop
		if !child[i] {
			if seen[trees[i]] {
				c.fail("tree %d has two roots", trees[i])
			}
			seen[trees[i]] = true
			t.roots = append(grown(&c.room, t.roots, 1), i)
		}
	}
	for _, id := range trees {
		if !seen[id] {
			c.fail("tree %d has no root", id)
		}
	}
	c.vote(t, at)
	return t
}

// vote gives the leaves their votes.
func (c *call) vote(t *forest, at map[[2]int64]int) {
	a := func(name string) attr { return c.n.attrs["class_"+name] }
	trees, ids, classes, weights := a("treeids").ints, a("nodeids").ints, a("ids").ints, a("weights").floats
	if len(trees) != len(ids) || len(classes) != len(ids) || len(weights) != len(ids) || len(ids) == 0 {
		c.fail("its lists of votes are not of one length")
	}
	byLeaf := fresh[[]vote](&c.room, len(t.nodes))
	t.single, t.voted = t.classes == 2, int(classes[0])
	for i, id := range ids {
		j, ok := at[[2]int64{trees[i], id}]
		if !ok || classes[i] < 0 || int(classes[i]) >= t.classes || !isFinite(weights[i]) {
			c.fail("has a vote for class %d of node %d of tree %d", classes[i], id, trees[i])
		}
		byLeaf[j] = append(grown(&c.room, byLeaf[j], 1), vote{int(classes[i]), weights[i]})
		t.single = t.single && int(classes[i]) == t.voted
		t.nonNeg = t.nonNeg && weights[i] >= 0
	}
	t.votes = fresh[vote](&c.room, len(ids))[:0]
	for j, vs := range byLeaf {
		t.nodes[j].from = len(t.votes)
		t.votes = append(t.votes, vs...)
		t.nodes[j].to = len(t.votes)
	}
	if t.votes == nil || math.MaxInt32 < len(t.votes) {
		c.fail("has no votes")
	}
}
