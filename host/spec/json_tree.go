package spec

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// growJSON parses one JSON value. Errors carry JSON pointers, no positions.
func growJSON(data []byte) (*node, Errors) {
	if len(data) > maxBytes {
		return nil, Errors{{Message: fmt.Sprintf("%d bytes; at most %d are read", len(data), maxBytes)}}
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	p := &jsonGrower{dec: dec}
	n, err := p.grow("", 0)
	if err == nil {
		if _, err2 := dec.Token(); !errors.Is(err2, io.EOF) {
			err = errors.New("more follows the value")
		}
	}
	if err != nil {
		return nil, Errors{{Message: "not JSON: " + err.Error()}}
	}
	return n, p.errs
}

type jsonGrower struct {
	dec  *json.Decoder
	errs Errors

	paths int
}

func (p *jsonGrower) grow(path string, depth int) (*node, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("nested deeper than %d", maxDepth)
	}
	if p.paths += len(path); p.paths > maxPaths {
		return nil, errors.New("too many values under long keys")
	}
	t, err := p.dec.Token()
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	switch t := t.(type) {
	case nil:
		return &node{shape: null}, nil
	case bool:
		return &node{shape: boolean, text: fmt.Sprint(t)}, nil
	case string:
		return &node{shape: text, text: t, quote: true}, nil
	case json.Number:
		s := t.String()
		if strings.ContainsAny(s, ".eE") {
			return &node{shape: float, text: s}, nil
		}
		return &node{shape: integer, text: s}, nil
	case json.Delim:
		if t == '[' {
			return p.array(path, depth)
		}
		return p.object(path, depth)
	}
	return nil, fmt.Errorf("unexpected %v", t)
}

func (p *jsonGrower) array(path string, depth int) (*node, error) {
	n := &node{shape: list}
	for p.dec.More() {
		e, err := p.grow(pointer.index(path, len(n.items)), depth+1)
		if err != nil {
			return nil, err
		}
		n.items = append(n.items, e)
	}
	_, err := p.dec.Token()
	return n, err
}

func (p *jsonGrower) object(path string, depth int) (*node, error) {
	n := &node{shape: mapping}
	for p.dec.More() {
		t, err := p.dec.Token()
		if err != nil {
			return nil, err
		}
		name, _ := t.(string)
		e, err := p.grow(pointer.key(path, name), depth+1)
		if err != nil {
			return nil, err
		}
		if n.index(name) >= 0 {
			p.errs = append(p.errs, Error{Path: path, Message: fmt.Sprintf("key %q appears twice", name)})
			continue
		}
		n.add(key{name: name}, e)
	}
	_, err := p.dec.Token()
	return n, err
}
