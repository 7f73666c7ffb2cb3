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

// ParseRequestV1 reads the body of KServe's V1 :predict, {"instances": […]}, as the request of
// the Open Inference Protocol that means the same. Instances that are numbers, texts or lists are the
// rows of one tensor, RowsV1; objects are the rows of a tensor for each member. Numbers are FP64, for
// V1 has no datatypes: 200 is 200, and no byte of an image. null is NaN.
func ParseRequestV1(body []byte, l Limits) (Request, error) {
	raw, err := membersV1(body, "instances")
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

// membersV1 are the elements of a list that is a member of a body.
func membersV1(body []byte, name string) ([]json.RawMessage, error) {
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
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil || list == nil {
		return nil, fmt.Errorf("%s is no list", name)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s is empty", name)
	}
	return list, nil
}

// rowsV1 are the tensors of rows.
func rowsV1(rows []json.RawMessage, name string, whole bool, l Limits) ([]Tensor, error) {
	if rows[0][0] != '{' {
		t, err := tensorV1(name, rows, whole, l)
		return []Tensor{t}, err
	}
	var names []string
	columns := map[string][]json.RawMessage{}
	for i, raw := range rows {
		var row map[string]json.RawMessage
		if err := json.Unmarshal(raw, &row); err != nil {
			return nil, fmt.Errorf("row %d is no object, as the first one is", i)
		}
		if i == 0 {
			for key := range row {
				names = append(names, key)
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
			if i > 0 && columns[key] == nil || len(columns[key]) != i {
				return nil, fmt.Errorf("row %d has a member %s, which the first one does not have", i, Quote(key))
			}
			columns[key] = append(columns[key], value)
		}
		if len(row) != len(names) {
			return nil, fmt.Errorf("row %d has %d members, and the first one %d", i, len(row), len(names))
		}
	}
	var out []Tensor
	for _, key := range names {
		t, err := tensorV1(key, columns[key], whole, l)
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}

// tensorV1 is the tensor of values, whose shape the first of them has.
func tensorV1(name string, values []json.RawMessage, whole bool, l Limits) (Tensor, error) {
	shape := []int64{int64(len(values))}
	leaf := values[0]
	for len(leaf) > 0 && leaf[0] == '[' {
		var inner []json.RawMessage
		if err := json.Unmarshal(leaf, &inner); err != nil || len(inner) == 0 || len(shape) == maxDims {
			return Tensor{}, &Error{name, errors.New("a list is empty, or lists are nested too deep")}
		}
		shape, leaf = append(shape, int64(len(inner))), inner[0]
	}
	d := FP64
	if text := func(v json.RawMessage) bool { return v[0] == '"' }; text(leaf) || len(shape) == 1 && slices.ContainsFunc(values, text) {
		d = Bytes
	}
	integer := func(v json.RawMessage) bool { _, err := Int64.parseInt(v); return err == nil }
	if whole && len(shape) == 1 && !slices.ContainsFunc(values, func(v json.RawMessage) bool { return !integer(v) }) {
		d = Int64
	}
	return ParseData(name, d, shape, slices.Concat([]byte{'['}, bytes.Join(raws(values), []byte{','}), []byte{']'}), l)
}

func raws(values []json.RawMessage) [][]byte {
	out := make([][]byte, len(values))
	for i, v := range values {
		out[i] = v
	}
	return out
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
