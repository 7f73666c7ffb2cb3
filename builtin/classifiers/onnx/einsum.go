package onnx

import (
	"slices"
	"strings"
	"unicode"
)

// maxLabels is how many different dimensions an equation may name.
const maxLabels = 2 * maxRank

// term is an operand with a label for each of its dimensions. Labels from
// ellipsis on, counted from the last dimension, are what "…" stands for.
type term struct {
	v      *value
	labels []rune
}

const ellipsis = 0x10000

// einsum sums products over the labels that the result lacks: a general
// contraction of any number of tensors, two at a time from the left.
func einsum(c *call) []*value {
	inputs, result, explicit := strings.Cut(strings.ReplaceAll(c.n.text("equation", ""), " ", ""), "->")
	parts := strings.Split(inputs, ",")
	if len(parts) != len(c.in) {
		c.fail("has %d operands for the equation %q", len(c.in), c.n.text("equation", ""))
	}
	if len(parts) > maxLabels {
		c.fail("has %d operands, want at most %d", len(parts), maxLabels)
	}
	terms := make([]term, len(parts))
	sizes, counts, dots := map[rune]int{}, map[rune]int{}, 0
	for i, p := range parts {
		v := c.plain(c.x(i))
		terms[i] = term{v, c.named(p, len(v.shape))}
		for k, l := range terms[i].labels {
			d := v.shape[k]
			if had, ok := sizes[l]; ok && had != d && had != 1 && (d != 1 || l < ellipsis) || ok && had == 1 && d != 1 && l < ellipsis {
				c.fail("label %q is %d and %d long", string(l), had, d)
			}
			sizes[l] = max(sizes[l], d)
			counts[l]++
			if l >= ellipsis {
				dots = max(dots, int(l-ellipsis)+1)
			}
		}
	}
	if len(sizes) > maxLabels {
		c.fail("names more than %d dimensions", maxLabels)
	}
	var out []rune
	if explicit {
		out = c.named(result, len([]rune(strings.ReplaceAll(result, "...", "")))+pick(strings.Contains(result, "..."), dots, 0))
	} else { // those that appear once, in order of the alphabet
		for k := dots - 1; k >= 0; k-- {
			out = append(out, ellipsis+rune(k))
		}
		for l, n := range counts {
			if n == 1 && l < ellipsis {
				out = append(out, l)
			}
		}
		slices.Sort(out[dots:])
	}
	for i, l := range out {
		if counts[l] == 0 || slices.Contains(out[:i], l) {
			c.fail("result %q: label %q is unknown or named twice", result, string(l))
		}
	}
	for i := range terms {
		terms[i] = c.distinct(terms[i], sizes)
	}
	return []*value{c.contracted(terms, out)}
}

// named are the labels of an operand of a rank.
func (c *call) named(text string, rank int) []rune {
	head, tail, dots := strings.Cut(text, "...")
	if strings.Contains(tail, "...") {
		c.fail("operand %q has two ellipses", text)
	}
	letters := []rune(head + tail)
	for _, l := range letters {
		if !unicode.IsLetter(l) || l >= ellipsis {
			c.fail("operand %q: want letters", text)
		}
	}
	hidden := rank - len(letters)
	if hidden < 0 || hidden > 0 && !dots {
		c.fail("operand %q has %d labels for %d dimensions", text, len(letters), rank)
	}
	out := []rune(head)
	for k := hidden - 1; k >= 0; k-- {
		out = append(out, ellipsis+rune(k))
	}
	return append(out, []rune(tail)...)
}

// distinct takes diagonals where an operand repeats a label, and broadcasts
// what an ellipsis stands for.
func (c *call) distinct(t term, sizes map[rune]int) term {
	steps := stepsOf(t.v.shape)
	var labels []rune
	var shape, strides []int
	for i, l := range t.labels {
		k := slices.Index(labels, l)
		if k < 0 {
			k = len(labels)
			labels, shape, strides = append(labels, l), append(shape, t.v.shape[i]), append(strides, 0)
		}
		strides[k] += steps[i]
	}
	if len(labels) < len(t.labels) {
		t.v = c.strided(t.v, shape, strides, 0)
	}
	full := make([]int, len(labels)) // not shape, which t.v may have
	for k, l := range labels {
		full[k] = sizes[l]
	}
	return term{c.expanded(t.v, full), labels}
}

// contracted multiplies terms from the left and leaves the labels of out.
func (c *call) contracted(terms []term, out []rune) *value {
	keep := func(from int) map[rune]bool { // labels that matter later
		m := map[rune]bool{}
		for _, l := range out {
			m[l] = true
		}
		for _, t := range terms[from:] {
			for _, l := range t.labels {
				m[l] = true
			}
		}
		return m
	}
	t := c.summed(terms[0], keep(1))
	for i := 1; i < len(terms); i++ {
		later := keep(i + 1)
		both := map[rune]bool{}
		for l := range later {
			both[l] = true
		}
		for _, l := range t.labels {
			both[l] = true
		}
		t = c.multiplied(t, c.summed(terms[i], both), later)
	}
	perm := make([]int, len(out))
	for i, l := range out {
		perm[i] = slices.Index(t.labels, l)
	}
	return c.permuted(t.v, perm)
}

// summed sums over the labels that are not kept.
func (c *call) summed(t term, keep map[rune]bool) term {
	gone := map[int]bool{}
	var labels []rune
	for i, l := range t.labels {
		if keep[l] {
			labels = append(labels, l)
		} else {
			gone[i] = true
		}
	}
	if len(gone) == 0 {
		return t
	}
	return term{c.reduced(t.v, gone, false, reductions()["ReduceSum"]), labels}
}

// multiplied is the product of two terms, summed over the labels of both that
// do not matter later: matrix products (batch, own of a, shared)·(batch,
// shared, own of b).
func (c *call) multiplied(a, b term, later map[rune]bool) term {
	var batch, shared, ownA, ownB []rune
	for _, l := range a.labels {
		switch {
		case !slices.Contains(b.labels, l):
			ownA = append(ownA, l)
		case later[l]:
			batch = append(batch, l)
		default:
			shared = append(shared, l)
		}
	}
	for _, l := range b.labels {
		if !slices.Contains(a.labels, l) {
			ownB = append(ownB, l)
		}
	}
	turn := func(t term, groups ...[]rune) (*value, []int) {
		var perm, dims []int
		for _, g := range groups {
			n := 1
			for _, l := range g {
				k := slices.Index(t.labels, l)
				perm = append(perm, k)
				n *= t.v.shape[k]
			}
			dims = append(dims, n)
		}
		return c.view(c.permuted(t.v, perm), dims), dims
	}
	x, m := turn(a, batch, ownA, shared)
	y, n := turn(b, batch, shared, ownB)
	c.mind([]int{m[0], m[1], n[2]})
	z := c.product(x, y)
	labels := slices.Concat(batch, ownA, ownB)
	var shape []int
	for _, l := range labels {
		t := a
		if !slices.Contains(a.labels, l) {
			t = b
		}
		shape = append(shape, t.v.shape[slices.Index(t.labels, l)])
	}
	return term{c.view(z, shape), labels}
}
