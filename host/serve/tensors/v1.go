package tensors

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// RowsV1 is the tensor that instances without names are.
const RowsV1 = "x"

// PredictionsV1 is the tensor that predictions without names are.
const PredictionsV1 = "predictions"

// insteadV1 are members that some servers of V1 read in the place of instances: KServe's take inputs where both are there, and
// data of a body that looks like a CloudEvent.
var insteadV1 = []string{"inputs", "data"}

// ParseRequestV1 reads the body of KServe's V1 :predict, {"instances": […]}, as the request of
// the Open Inference Protocol that means the same. Instances that are numbers, texts or lists are the
// rows of one tensor, RowsV1; objects are the rows of a tensor for each member. Numbers are FP64, for
// V1 has no datatypes: 200 is 200, and no byte of an image. null is NaN. A body with a member beside them
// that servers differ about is refused.
func ParseRequestV1(body []byte, l Limits) (Request, error) {
	raw, err := membersV1(body, "instances", insteadV1...)
	if err != nil {
		return Request{}, err
	}
	r := Request{}
	r.Inputs, err = rowsV1(raw, RowsV1, false, l)
	return r, err
}

// ParseResponseV1 reads what V1 answers, {"predictions": […]}: as ParseRequestV1, but predictions
// that are whole numbers, one a row, are INT64.
func ParseResponseV1(body []byte, l Limits) (Response, error) {
	raw, err := membersV1(body, "predictions")
	if err != nil {
		return Response{}, err
	}
	r := Response{}
	r.Outputs, err = rowsV1(raw, PredictionsV1, true, l)
	return r, err
}

// membersV1 is a list that is a member of a body, and not empty.
func membersV1(body []byte, name string, instead ...string) ([]byte, error) {
	if err := CheckMembers(body); err != nil {
		return nil, err
	}
	var m map[string]json.RawMessage
	if err := json.Unmarshal(body, &m); err != nil {
		return nil, errors.New("the body is no object of JSON")
	}
	raw, ok := m[name]
	if !ok {
		return nil, fmt.Errorf("%s is missing", name)
	}
	for _, other := range instead {
		if _, ok := m[other]; ok {
			return nil, fmt.Errorf("%s stands beside %s, and some servers read that in its place: want one of them", other, name)
		}
	}
	switch {
	case raw[0] != '[':
		return nil, fmt.Errorf("%s is no list", name)
	case first(raw) == nil:
		return nil, fmt.Errorf("%s is empty", name)
	}
	return raw, nil
}

// rowsV1 are the tensors of the rows in a list.
func rowsV1(list []byte, name string, whole bool, l Limits) ([]Tensor, error) {
	if first(list)[0] != '{' {
		t, err := tensorV1(name, list, whole, l)
		return []Tensor{t}, err
	}
	var names []string
	columns := map[string]*bytes.Buffer{} // lists that are not closed yet
	i := 0
	for raw := range each(list) {
		var row map[string]json.RawMessage
		if err := json.Unmarshal(raw, &row); err != nil || row == nil {
			return nil, fmt.Errorf("row %d is no object, as the first one is", i)
		}
		if i == 0 {
			for key := range row {
				names = append(names, key)
				columns[key] = &bytes.Buffer{}
			}
			if len(names) == 0 {
				return nil, errors.New("row 0 has no members")
			}
			slices.Sort(names)
			if err := l.tensors(len(names)); err != nil {
				return nil, err
			}
		}
		for key, value := range row {
			c := columns[key]
			if c == nil {
				return nil, fmt.Errorf("row %d has a member %s, which the first one does not have", i, Quote(key))
			}
			if i == 0 {
				c.WriteByte('[')
			} else {
				c.WriteByte(',')
			}
			c.Write(value)
		}
		if len(row) != len(names) {
			return nil, fmt.Errorf("row %d has %d members, and the first one %d", i, len(row), len(names))
		}
		i++
	}
	var out []Tensor
	for _, key := range names {
		c := columns[key]
		c.WriteByte(']')
		t, err := tensorV1(key, c.Bytes(), whole, l)
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}

// tensorV1 is the tensor of a list of values, whose shape the first of them has.
func tensorV1(name string, list []byte, whole bool, l Limits) (Tensor, error) {
	shape := []int64{int64(elements(list))}
	leaf := first(list)
	for leaf[0] == '[' {
		if first(leaf) == nil || len(shape) == maxDims {
			return Tensor{}, &Error{name, errors.New("a list is empty, or lists are nested too deep")}
		}
		shape, leaf = append(shape, int64(elements(leaf))), first(leaf)
	}
	d := FP64
	if leaf[0] == '"' {
		d = Bytes
	}
	if len(shape) == 1 {
		integers := whole
		for v := range each(list) {
			if v[0] == '"' {
				d = Bytes
			}
			if integers {
				_, err := Int64.parseInt(v)
				integers = err == nil
			}
		}
		if integers {
			d = Int64
		}
	}
	return ParseData(name, d, shape, list, l)
}

// each goes through the elements of a list of valid JSON, which share its memory: descriptors of them would take many times that.
func each(list []byte) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for at := 1; ; at++ { // after [ or a comma
			for at < len(list) && bytes.IndexByte([]byte(" \t\r\n"), list[at]) >= 0 {
				at++
			}
			from, depth, text := at, 0, false
		value:
			for ; at < len(list); at++ {
				switch c := list[at]; {
				case text && c == '\\':
					at++
				case c == '"':
					text = !text
				case text:
				case c == '[' || c == '{':
					depth++
				case depth == 0 && (c == ',' || c == ']'):
					break value
				case c == ']' || c == '}':
					depth--
				}
			}
			if one := bytes.TrimRight(list[from:min(at, len(list))], " \t\r\n"); len(one) == 0 || !yield(one) {
				return
			}
			if at >= len(list) || list[at] == ']' {
				return
			}
		}
	}
}

// first is the first element of a list; nil: it has none.
func first(list []byte) (one []byte) {
	each(list)(func(v []byte) bool {
		one = v
		return false
	})
	return one
}

// AppendPredictionsV1 adds the list of predictions to b: of one tensor that is called
// PredictionsV1 its rows, of others an object a row. All have the same number of rows.
func AppendPredictionsV1(b []byte, outputs []Tensor) []byte {
	n := int64(0)
	if len(outputs) > 0 && len(outputs[0].Shape) > 0 {
		n = outputs[0].Shape[0]
	}
	b = append(b, '[')
	for i := range n {
		if i > 0 {
			b = append(b, ',')
		}
		if len(outputs) == 1 && outputs[0].Name == PredictionsV1 {
			b = outputs[0].appendRowV1(b, int(i))
			continue
		}
		b = append(b, '{')
		for j, t := range outputs {
			if j > 0 {
				b = append(b, ',')
			}
			b = append(appendText(b, t.Name), ':')
			b = t.appendRowV1(b, int(i))
		}
		b = append(b, '}')
	}
	return append(b, ']')
}

// appendRowV1 adds a row as lists in lists.
func (t Tensor) appendRowV1(b []byte, i int) []byte {
	row := t
	row.Shape = t.Shape[1:]
	size := int64(1)
	for _, d := range row.Shape {
		size *= d
	}
	from, to := int64(i)*size, int64(i+1)*size
	if t.Datatype == Bytes {
		row.Texts = t.Texts[from:to]
	} else {
		one := int64(t.Datatype.Size())
		row.Raw = t.Raw[from*one : to*one]
	}
	if len(row.Shape) < 2 {
		list := row.AppendData(nil)
		if len(row.Shape) == 0 {
			list = list[1 : len(list)-1]
		}
		return append(b, list...)
	}
	b = append(b, '[')
	for j := range row.Shape[0] {
		if j > 0 {
			b = append(b, ',')
		}
		b = row.appendRowV1(b, int(j))
	}
	return append(b, ']')
}
