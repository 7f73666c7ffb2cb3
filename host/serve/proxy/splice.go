package proxy

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"

	"github.com/vaeguard/vaeguard/host/serve/tensors"
)

// blanks are what JSON takes for blank. bytes.TrimSpace takes more, such as a vertical tab.
const blanks = " \t\r\n"

// splice adds parameters to the JSON of an answer, of which every other byte stays.
func splice(text []byte, p tensors.Parameters) ([]byte, error) {
	added, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	from, to, end, members, err := member(text, "parameters")
	if err != nil {
		return nil, err
	}
	switch {
	case from < 0:
		member := append([]byte(`"parameters":`), added...)
		if members > 0 {
			member = append([]byte{','}, member...)
		}
		return slices.Insert(slices.Clone(text), end, member...), nil
	case text[from] != '{':
		return slices.Replace(slices.Clone(text), from, to, added...), nil
	case len(bytes.TrimSpace(text[from+1:to-1])) == 0:
		return slices.Insert(slices.Clone(text), to-1, added[1:len(added)-1]...), nil
	}
	return slices.Insert(slices.Clone(text), to-1, append([]byte{','}, added[1:len(added)-1]...)...), nil
}

// replace puts another value in the place of a member's, of which every other byte stays.
func replace(text []byte, name string, value []byte) ([]byte, error) {
	from, to, _, _, err := member(text, name)
	if err != nil {
		return nil, err
	}
	if from < 0 {
		return nil, errors.New("the answer has no " + name)
	}
	return slices.Replace(slices.Clone(text), from, to, value...), nil
}

// member finds the value of a member of an object, the last one of that name: from is −1 where
// there is none. end is where the object ends.
func member(text []byte, name string) (from, to, end, members int, err error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return 0, 0, 0, 0, errors.New("the answer is no object of JSON")
	}
	from, to = -1, -1
	for dec.More() {
		members++
		key, err := dec.Token()
		if err != nil {
			return 0, 0, 0, 0, err
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return 0, 0, 0, 0, err
		}
		if end := int(dec.InputOffset()); key == name {
			from, to = end-len(value), end
		}
	}
	if _, err := dec.Token(); err != nil {
		return 0, 0, 0, 0, err
	}
	end = int(dec.InputOffset()) - 1
	if len(bytes.Trim(text[end+1:], blanks)) > 0 {
		return 0, 0, 0, 0, errors.New("the answer has more after its end")
	}
	return from, to, end, members, nil
}
