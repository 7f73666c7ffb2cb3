package onnx

// folding computes what does not depend on the input, once, and lets go of what
// nothing reads any more: a chain of casts holds two tensors and not all.
type folding struct {
	run  *run
	left map[string]int   // nodes that still read a tensor
	made map[string]any   // where the numbers of a computed tensor lie
	held map[any]*storage // by that place
}

// storage is the numbers of one or more tensors.
type storage struct {
	bytes   int64
	tensors int
}

func newFolding(r *run, need map[*node]bool, targets []string) *folding {
	f := &folding{run: r, left: map[string]int{}, made: map[string]any{}, held: map[any]*storage{}}
	for n := range need {
		for _, name := range n.in {
			f.left[name]++
		}
	}
	for _, name := range targets {
		f.left[name]++ // for good
	}
	return f
}

// place tells tensors with the same numbers; nil: there are none.
func (v *value) place() any {
	switch {
	case cap(v.f) > 0:
		return &v.f[:1][0]
	case cap(v.i) > 0:
		return &v.i[:1][0]
	}
	return nil
}

// step evaluates a node into known, its outputs constants from now on, and
// forgets what it was the last to read.
func (f *folding) step(n *node, in []*value, known map[string]*value) (err error) {
	r := f.run
	defer rescue(n.String, &err)
	before := r.made
	r.results.reset()
	out, err := r.step(n, in)
	if err != nil {
		return err
	}
	for i, name := range n.out {
		if i < len(out) && f.left[name] > 0 && out[i] != nil {
			v := r.plain(out[i])
			v.constant, v.other = true, nil
			known[name] = v
		}
	}
	r.results.trim(&r.room, 0)
	r.made = before // what stays of it is counted now
	for _, name := range n.out {
		if v := known[name]; v != nil {
			f.take(name, v)
		}
	}
	for _, name := range n.in {
		if f.left[name]--; f.left[name] == 0 && name != "" {
			f.release(name)
			delete(known, name)
		}
	}
	return nil
}

// take counts a tensor, and its numbers unless another has them.
func (f *folding) take(name string, v *value) {
	f.run.claim(1, bytesValue)
	place := v.place()
	if place == nil {
		return
	}
	s := f.held[place]
	if s == nil {
		s = &storage{bytes: 4*int64(cap(v.f)) + 8*int64(cap(v.i))}
		f.held[place] = s
		f.run.want(s.bytes)
		f.run.made += s.bytes
	}
	s.tensors++
	f.made[name] = place
}

// release lets go of a tensor, and of its numbers unless another has them.
func (f *folding) release(name string) {
	place := f.made[name]
	if place == nil {
		return // of the file
	}
	delete(f.made, name)
	f.run.made -= bytesValue
	if s := f.held[place]; s.tensors > 1 {
		s.tensors--
	} else {
		f.run.made -= s.bytes
		delete(f.held, place)
	}
}
