package proxy

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"

	"github.com/vaeguard/vaeguard/host/serve/tensors"
)

// splice adds parameters to the JSON of an answer, of which every other byte stays.
func splice(text []byte, p tensors.Parameters) ([]byte, error) {
	added, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("the answer is no object of JSON")
	}
	members, from, to := 0, -1, -1 // from, to: the value of parameters, the last of them
	for dec.More() {
		members++
		key, err := dec.Token()
		if err != nil {
			return nil, err
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, err
		}
		if end := int(dec.InputOffset()); key == "parameters" {
			from, to = end-len(value), end
		}
	}
	if _, err := dec.Token(); err != nil {
		return nil, err
	}
	end := int(dec.InputOffset()) - 1
	if len(bytes.TrimSpace(text[end+1:])) > 0 {
		return nil, errors.New("the answer has more after its end")
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
