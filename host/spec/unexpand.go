package spec

// Written is the scalar at a dotted path as the file has it, its variables
// unexpanded: what may be written. It is empty where there is none.
func (d *Document) Written(path string) string {
	if d == nil {
		return ""
	}
	n := d.root.at(path)
	switch {
	case n == nil:
		return ""
	case n.raw != "":
		return n.raw
	}
	return n.text
}

// Texts are the texts of the file and its overrides, variables expanded, by
// dotted path.
func (d *Document) Texts() map[string]string {
	out := map[string]string{}
	if d == nil {
		return out
	}
	var walk func(path string, n *node)
	walk = func(path string, n *node) {
		if n.shape == text {
			out[path] = n.text
		}
		n.each(path, dotted, walk)
	}
	walk("", d.root)
	return out
}

// Unexpand is a message with the file's variables as the file has them, where
// their values can be told from other words.
func (d *Document) Unexpand(message string) string {
	if d == nil || d.root == nil {
		return message
	}
	return d.root.conceal(message)
}

// Unexpanded is err with Unexpand's message; errors.Is and errors.As work as on
// err.
func (d *Document) Unexpanded(err error) error {
	if err == nil {
		return nil
	}
	before := err.Error()
	after := d.Unexpand(before)
	if after == before {
		return err
	}
	return &unexpanded{text: after, err: err}
}

// unexpanded is an error whose message is not its cause's.
type unexpanded struct {
	text string
	err  error
}

func (e *unexpanded) Error() string { return e.text }
func (e *unexpanded) Unwrap() error { return e.err }
