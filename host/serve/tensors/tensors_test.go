package tensors_test

import (
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/host/serve/inference"
	"github.com/vaeguard/vaeguard/host/serve/tensors"
)

// samples are a tensor of each datatype, with the JSON of its elements: the least,
// the largest and one between.
func samples() map[tensors.Datatype]string {
	return map[tensors.Datatype]string{
		tensors.Bool:   `[true,false,true]`,
		tensors.Uint8:  `[0,7,255]`,
		tensors.Uint16: `[0,7,65535]`,
		tensors.Uint32: `[0,7,4294967295]`,
		tensors.Uint64: `[0,7,18446744073709551615]`,
		tensors.Int8:   `[-128,-7,127]`,
		tensors.Int16:  `[-32768,-7,32767]`,
		tensors.Int32:  `[-2147483648,-7,2147483647]`,
		tensors.Int64:  `[-9223372036854775808,-7,9223372036854775807]`,
		tensors.FP16:   `[-65504,5.960464477539063e-08,0.333251953125]`,
		tensors.BF16:   `[-3.3895313892515355e+38,0.333984375,1]`,
		tensors.FP32:   `[-3.4028234663852886e+38,1.401298464324817e-45,0.10000000149011612]`,
		tensors.FP64:   `[-1.7976931348623157e+308,5e-324,0.1]`,
		tensors.Bytes:  `["","a \"word\" — and \u0000","z"]`,
	}
}

// TestEveryDatatype writes each datatype in each of the protocol's encodings and
// reads it again.
func TestEveryDatatype(t *testing.T) {
	if got := len(samples()); got != len(tensors.Datatypes()) {
		t.Fatalf("%d samples, %d datatypes", got, len(tensors.Datatypes()))
	}
	for d, text := range samples() {
		t.Run(string(d), func(t *testing.T) {
			want, err := tensors.ParseData("t", d, []int64{3, 1}, []byte(text), tensors.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			want.Parameters = tensors.Parameters{"keep": int64(1)}
			if got := string(want.AppendData(nil)); got != text {
				t.Errorf("JSON %s, want %s", got, text)
			}
			r := tensors.Request{Model: "m", Version: "2", ID: "7", Parameters: tensors.Parameters{"a": true, "b": "x", "c": 1.5, "d": int64(-1), "e": uint64(math.MaxUint64)},
				Inputs: []tensors.Tensor{want, want}, Outputs: []tensors.Output{{Name: "o", Parameters: tensors.Parameters{"binary_data": false}}}}
			none := func(tensors.Tensor) bool { return false }
			for how, binary := range map[string]func(tensors.Tensor) bool{"JSON": none, "binary": func(tensors.Tensor) bool { return true }} {
				body, header := tensors.AppendRequest([]byte("before"), r, binary)
				if (header < 0) != (how == "JSON") {
					t.Errorf("%s: header of %d bytes", how, header)
				}
				got, err := tensors.ParseRequest(body[len("before"):], header, tensors.Limits{})
				got.Model, got.Version = "m", "2" // the path has them
				same(t, how+" request", got, r, err)
				out := tensors.Response{Model: r.Model, Version: r.Version, ID: r.ID, Parameters: r.Parameters, Outputs: r.Inputs}
				body, header = tensors.AppendResponse(nil, out, binary)
				back, err := tensors.ParseResponse(body, header, tensors.Limits{})
				same(t, how+" response", back, out, err)
			}
			m := r.Message()
			got, err := tensors.FromRequest(m, tensors.Limits{})
			same(t, "raw contents", got, r, err)
			out := tensors.Response{Model: r.Model, Version: r.Version, ID: r.ID, Parameters: r.Parameters, Outputs: r.Inputs}
			back, err := tensors.FromResponse(out.Message(), tensors.Limits{})
			same(t, "raw contents of a response", back, out, err)
			m.RawInputContents = nil
			for _, in := range m.Inputs {
				in.Contents = contents(want)
			}
			if got, err = tensors.FromRequest(m, tensors.Limits{}); d == tensors.FP16 || d == tensors.BF16 {
				if err == nil || !strings.Contains(err.Error(), "want raw contents") {
					t.Errorf("contents of %s: error %v", d, err)
				}
				return
			}
			same(t, "contents", got, r, err)
		})
	}
}

func same[T any](t *testing.T, how string, got, want T, err error) {
	t.Helper()
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%s: got %+v, want %+v, error %v", how, got, want, err)
	}
}

// contents are the elements of a tensor as a client that writes no raw contents
// has them.
func contents(t tensors.Tensor) *inference.InferTensorContents {
	c := &inference.InferTensorContents{BytesContents: t.Texts}
	if t.Datatype == tensors.Bytes {
		return c
	}
	for i := range t.N() {
		v := t.Float64(i)
		switch {
		case t.Datatype == tensors.Bool:
			c.BoolContents = append(c.BoolContents, v != 0)
		case t.Datatype == tensors.FP32:
			c.Fp32Contents = append(c.Fp32Contents, float32(v))
		case t.Datatype == tensors.FP64:
			c.Fp64Contents = append(c.Fp64Contents, v)
		case t.Datatype == tensors.Int64:
			c.Int64Contents = []int64{math.MinInt64, -7, math.MaxInt64}
		case t.Datatype == tensors.Uint64:
			c.Uint64Contents = []uint64{0, 7, math.MaxUint64}
		case t.Datatype.Signed():
			c.IntContents = append(c.IntContents, int32(v))
		default:
			c.UintContents = append(c.UintContents, uint32(v))
		}
	}
	return c
}

// TestNesting: data is one list or lists as the shape says, and nothing else.
func TestNesting(t *testing.T) {
	for _, c := range []struct {
		shape []int64
		text  string
		want  string // of the error; "": 1 2 3 4 5 6
	}{
		{[]int64{6}, `[1,2,3,4,5,6]`, ""},
		{[]int64{2, 3}, " [ 1,2,3,\n4,5,6 ] ", ""},
		{[]int64{2, 3}, `[[1,2,3],[4,5,6]]`, ""},
		{[]int64{1, 3, 2}, `[[[1,2],[3,4],[5,6]]]`, ""},
		{[]int64{3, 2}, `[[1,2,3],[4,5,6]]`, "a list of 3 at depth 2 of data, want 2"},
		{[]int64{2, 3}, `[[1,2,3],[4,5,6],[]]`, "a list of 0 at depth 2"},
		{[]int64{2, 3}, `[[1, 2, 3]]`, "a list of 1 at depth 1"},
		{[]int64{2, 3}, `[1,[2,3,4],5,6]`, "nested deeper"},
		{[]int64{2, 3}, `[[1,2,3],4,5,6]`, "stands at depth 1"},
		{[]int64{6}, `[[1,2,3,4,5,6]]`, "nested deeper"},
		{[]int64{2, 3}, strings.Repeat("[", 100000), "nested deeper"},
		{[]int64{6}, `[1,2,3,4,5]`, "5 elements for FP32 [6], want 6"},
		{[]int64{6}, `[1,2,3,4,5,6,7]`, "more than 6 elements"},
		{[]int64{6}, `[1,2,3,4,5,6] 7`, "more after its end"},
		{[]int64{6}, `[1,2,3,4,5,6`, "its end where a comma"},
		{[]int64{6}, `[1,2,3,4,5,6,]`, "more than 6 elements"},
		{[]int64{6}, `[1,2,3,4 5,6]`, "element 4: 5 where a comma"},
		{[]int64{6}, `{"a":[1,2,3,4,5,6]}`, "want a list"},
		{[]int64{6}, ``, "no data"},
	} {
		got, err := tensors.ParseData("t", tensors.FP32, c.shape, []byte(c.text), tensors.Limits{})
		if c.want == "" {
			if err != nil || !slices.Equal(got.Float32s(), []float32{1, 2, 3, 4, 5, 6}) {
				t.Errorf("%v %s: %v, error %v", c.shape, c.text, got, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), `tensor "t": `) {
			t.Errorf("%v %.40s: error %v, want one with %q", c.shape, c.text, err, c.want)
		}
	}
}

// TestElements: what is no element of its datatype is refused.
func TestElements(t *testing.T) {
	for _, c := range []struct {
		datatype tensors.Datatype
		text     string
		want     string // of the error, or the JSON that comes back after =
	}{
		{tensors.FP32, `[null]`, "=[null]"},
		{tensors.FP32, `[NaN]`, "NaN is not JSON"},
		{tensors.FP64, `[-Infinity]`, "-Infinity is not JSON"},
		{tensors.FP32, `[1e39]`, "1e39 is out of the range of FP32"},
		{tensors.FP64, `[1e309]`, "out of the range of FP64"},
		{tensors.FP16, `[65520]`, "out of the range of FP16"},
		{tensors.FP16, `[65519]`, "=[65504]"},
		{tensors.FP16, `[1e-9]`, "=[0]"},
		{tensors.FP16, `[0.00006103515]`, "=[6.103515625e-05]"}, // the least normal number
		{tensors.BF16, `[1e39]`, "out of the range of BF16"},
		{tensors.FP32, `[0x10]`, "want a number"},
		{tensors.FP32, `[inf]`, "want a number"},
		{tensors.FP32, `["1"]`, "a string, want FP32"},
		{tensors.FP32, `[true]`, "true, want a number"},
		{tensors.FP32, `[1` + strings.Repeat("0", 500) + `]`, "501 characters"},
		{tensors.Uint8, `[256]`, "256 is out of the range of UINT8"},
		{tensors.Uint8, `[-1]`, "-1 is out of the range of UINT8"},
		{tensors.Uint8, `[1.5]`, "1.5 is no whole number"},
		{tensors.Uint8, `[2.0]`, "=[2]"},
		{tensors.Int8, `[-128.0]`, "=[-128]"},
		{tensors.Int64, `[1e3]`, "=[1000]"},
		{tensors.Int64, `[9223372036854775808]`, "out of the range of INT64"},
		{tensors.Int64, `[null]`, "null, want a number"},
		{tensors.Bool, `[0]`, "=[false]"},
		{tensors.Bool, `[2]`, "2, want true or false"},
		{tensors.Bytes, `[1]`, "1, want a string"},
		{tensors.Bytes, `["a]`, "without end"},
		{tensors.Bytes, `["\q"]`, "no string of JSON"},
		{tensors.Bytes, `["\u00e9\ud83d\ude00"]`, `=["é😀"]`},
	} {
		got, err := tensors.ParseData("t", c.datatype, []int64{1}, []byte(c.text), tensors.Limits{})
		if want, ok := strings.CutPrefix(c.want, "="); ok {
			if err != nil || string(got.AppendData(nil)) != want {
				t.Errorf("%s %s: %s, error %v", c.datatype, c.text, got.AppendData(nil), err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %.40s: error %v, want one with %q", c.datatype, c.text, err, c.want)
		}
	}
}

// TestClaims: shapes and lengths that a message only claims.
func TestClaims(t *testing.T) {
	for _, c := range []struct {
		datatype tensors.Datatype
		shape    []int64
		bytes    int
		want     string
	}{
		{"FP33", []int64{1}, 4, `datatype "FP33", want one of`},
		{tensors.FP32, []int64{-1, 4}, 4, "negative dimension"},
		{tensors.FP32, []int64{math.MaxInt64, math.MaxInt64}, 4, "more than 268435456 elements"},
		{tensors.FP32, []int64{1 << 32, 1 << 32, 1 << 32}, 0, "more than 268435456 elements"},
		{tensors.FP32, []int64{0, -1}, 0, "negative dimension"},
		{tensors.FP32, []int64{0, math.MaxInt64, math.MaxInt64}, 0, ""},
		{tensors.FP32, make([]int64, 33), 0, "33 dimensions"},
		{tensors.FP32, []int64{2}, 7, "7 bytes for FP32 [2], which has 2 elements of 4"},
		{tensors.FP32, []int64{2}, 12, "12 bytes"},
		{tensors.FP64, []int64{1 << 28}, 8, "8 bytes"},
		{tensors.FP32, nil, 4, ""}, // a scalar
		{tensors.Bytes, []int64{1 << 28}, 8, "8 bytes for 268435456 texts"},
		{tensors.Bytes, []int64{2}, 8, ""},
		{tensors.Bytes, []int64{1}, 8, "4 bytes follow the 1 texts"},
		{tensors.Bytes, []int64{2}, 9, "1 bytes follow the 2 texts"},
	} {
		_, err := tensors.New("t", c.datatype, c.shape, make([]byte, c.bytes), tensors.Limits{})
		if (c.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %v of %d bytes: error %v, want %q", c.datatype, c.shape, c.bytes, err, c.want)
		}
	}
	for _, raw := range []string{"\x05\x00\x00\x00abcd", "\xff\xff\xff\xffabcd"} {
		if _, err := tensors.New("t", tensors.Bytes, []int64{1}, []byte(raw), tensors.Limits{}); err == nil || !strings.Contains(err.Error(), "4 are left") {
			t.Errorf("%q: error %v", raw, err)
		}
	}
	if _, err := tensors.New("t", tensors.Bool, []int64{1}, []byte{2}, tensors.Limits{}); err == nil || !strings.Contains(err.Error(), "want 0 or 1") {
		t.Errorf("BOOL 2: error %v", err)
	}
	if _, err := tensors.New("t", tensors.FP32, []int64{5}, make([]byte, 20), tensors.Limits{Elements: 4}); err == nil || !strings.Contains(err.Error(), "more than 4 elements") {
		t.Errorf("a limit: error %v", err)
	}
}

// TestMessages: faults of messages over REST.
func TestMessages(t *testing.T) {
	for _, c := range []struct {
		body   string
		header int64
		want   string
	}{
		{`{"inputs":[{"name":"x","datatype":"FP32","shape":[1],"data":[NaN]}]}`, -1, "holds NaN or Infinity"},
		{`{"inputs":`, -1, "the body is no JSON: unexpected end"},
		{`{"inputs":[{"name":"x","datatype":"FP32","shape":["1"],"data":[1]}]}`, -1, `"inputs.shape" is a string`},
		{`{"inputs":[{"name":"x","datatype":"FP32","data":[1]}]}`, -1, "it has no shape"},
		{`[]`, -1, "the message is a array"},
		{`{}`, 3, "the header is to have 3 bytes, the body has 2"},
		{`{"inputs":[{"name":"x","datatype":"UINT8","shape":[2],"parameters":{"binary_data_size":2}}]}ab`, 92, ""},
		{`{"inputs":[{"name":"x","datatype":"UINT8","shape":[2],"parameters":{"binary_data_size":2}}]}abc`, 92, "1 bytes follow the tensors"},
		{`{"inputs":[{"name":"x","datatype":"UINT8","shape":[2],"parameters":{"binary_data_size":2}}]}a`, 92, "binary_data_size is 2, and 1 bytes are left"},
		{`{"inputs":[{"name":"x","datatype":"UINT8","shape":[2],"parameters":{"binary_data_size":-1}}]}a`, 93, "binary_data_size is -1"},
		{`{"inputs":[{"name":"x","datatype":"UINT8","shape":[2],"parameters":{"binary_data_size":"2"}}]}`, -1, "want a whole number"},
		{`{"inputs":[{"name":"x","datatype":"UINT8","shape":[2],"parameters":{"shared_memory_region":"r"}}]}`, -1, "shared memory"},
		{`{"inputs":[{"name":"x","datatype":"UINT8","shape":[0],"data":[],"parameters":{"binary_data_size":0}}]}`, -1, "want one of them"},
	} {
		_, err := tensors.ParseRequest([]byte(c.body), c.header, tensors.Limits{})
		if (c.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.body, err, c.want)
		}
	}
	many := `{"outputs":[{"name":"o"},{"name":"o"},{"name":"o"}]}`
	if _, err := tensors.ParseRequest([]byte(many), -1, tensors.Limits{Tensors: 2}); err == nil || !strings.Contains(err.Error(), "3 tensors, want at most 2") {
		t.Errorf("three outputs: error %v", err)
	}
	if _, err := tensors.ParseResponse([]byte(many), -1, tensors.Limits{Tensors: 2}); err == nil || !strings.Contains(err.Error(), "3 tensors, want at most 2") {
		t.Errorf("three outputs of a response: error %v", err)
	}
}

// TestContents: faults of messages over gRPC.
func TestContents(t *testing.T) {
	input := func(d string, c *inference.InferTensorContents, shape ...int64) *inference.ModelInferRequest_InferInputTensor {
		return &inference.ModelInferRequest_InferInputTensor{Name: "x", Datatype: d, Shape: shape, Contents: c}
	}
	one := &inference.InferTensorContents{IntContents: []int32{200}, UintContents: []uint32{}}
	for want, m := range map[string]*inference.ModelInferRequest{
		"2 raw contents for 1 tensors":                    {Inputs: []*inference.ModelInferRequest_InferInputTensor{input("FP32", nil, 1)}, RawInputContents: [][]byte{nil, nil}},
		"it has contents and raw contents":                {Inputs: []*inference.ModelInferRequest_InferInputTensor{input("INT32", one, 1)}, RawInputContents: [][]byte{{1, 2, 3, 4}}},
		"element 0 is 200: out of the range of INT8":      {Inputs: []*inference.ModelInferRequest_InferInputTensor{input("INT8", one, 1)}},
		"1 elements for INT32 [2], want 2":                {Inputs: []*inference.ModelInferRequest_InferInputTensor{input("INT32", one, 2)}},
		"0 elements for FP32 [1], want 1":                 {Inputs: []*inference.ModelInferRequest_InferInputTensor{input("FP32", nil, 1)}},
		"its contents are of [INT8 INT16 INT32], its dat": {Inputs: []*inference.ModelInferRequest_InferInputTensor{input("FP32", &inference.InferTensorContents{Fp32Contents: []float32{1}, IntContents: []int32{1}}, 1)}},
		"out of the range of UINT16":                      {Inputs: []*inference.ModelInferRequest_InferInputTensor{input("UINT16", &inference.InferTensorContents{UintContents: []uint32{65536}}, 1)}},
		"negative dimension":                              {Inputs: []*inference.ModelInferRequest_InferInputTensor{input("FP32", nil, -1)}},
	} {
		if _, err := tensors.FromRequest(m, tensors.Limits{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

// TestBinary: whose word counts on how an output is sent.
func TestBinary(t *testing.T) {
	r := tensors.Request{Outputs: []tensors.Output{{Name: "a", Parameters: tensors.Parameters{"binary_data": true}}, {Name: "b", Parameters: tensors.Parameters{"binary_data": false}}, {Name: "c"}}}
	for _, c := range []struct {
		all        any
		otherwise  bool
		a, b, c, d bool
	}{
		{nil, false, true, false, false, false},
		{nil, true, true, false, true, true},
		{true, false, true, false, true, true},
		{false, true, true, false, false, false},
	} {
		r.Parameters = tensors.Parameters{"binary_data_output": c.all}
		for name, want := range map[string]bool{"a": c.a, "b": c.b, "c": c.c, "d": c.d} {
			if got := r.Binary(name, c.otherwise); got != want {
				t.Errorf("%v, otherwise %v: %s is %v, want %v", c.all, c.otherwise, name, got, want)
			}
		}
	}
}
