package oip_test

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"testing"
)

// inputOf is a request of one input.
func inputOf(name, datatype, shape, more string) string {
	return fmt.Sprintf(`{"inputs":[{"name":%q,"datatype":%q,"shape":%s,%s}]}`, name, datatype, shape, more)
}

var sixteen = strings.TrimSuffix(strings.Repeat("1,", 16), ",")

// inferAt is where the digits are asked.
func (s *served) inferAt() string { return s.url + "/v2/models/digits/infer" }

// lengthOf is the header of a request whose JSON is followed by binary data.
func lengthOf(json string) string {
	return "Inference-Header-Content-Length: " + strconv.Itoa(len(json))
}

// squeeze compresses a body.
func squeeze(t testing.TB, body string, to func(io.Writer) io.WriteCloser) string {
	t.Helper()
	var b bytes.Buffer
	z := to(&b)
	if _, err := io.WriteString(z, body); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func asGzip(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) }
func asZlib(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) }
func asFlate(w io.Writer) io.WriteCloser {
	z, err := flate.NewWriter(w, flate.BestSpeed)
	if err != nil {
		panic(err)
	}
	return z
}

// tensorStatements are of tensors, binary data and compression over REST.
var tensorStatements = []statement{
	{"tensors: data is flat in row-major order, or nested as the shape says", func(t *testing.T, s *served) {
		flat := ask(t, "POST", s.inferAt(), inputOf("x", "FP32", "[2,4,4,1]", `"data":[`+sixteen+","+sixteen+`]`))
		row := "[" + strings.TrimSuffix(strings.Repeat("[[1],[1],[1],[1]],", 4), ",") + "]"
		nested := ask(t, "POST", s.inferAt(), inputOf("x", "FP32", "[2,4,4,1]", `"data":[`+row+","+row+`]`))
		if flat.answers(t); flat.body != nested.body {
			t.Errorf("%s, %s", flat.body, nested.body)
		}
		ask(t, "POST", s.inferAt(), inputOf("x", "FP32", "[2,4,4,1]", `"data":[`+row+`]`)).fails(t, 400, `input "x": a list of 1 at depth 1`)
	}},
	{"tensors: the number of elements is that of the shape", func(t *testing.T, s *served) {
		ask(t, "POST", s.inferAt(), inputOf("x", "FP32", "[17]", `"data":[`+sixteen+`]`)).fails(t, 400, `input "x": 16 elements for FP32 [17], want 17`)
		ask(t, "POST", s.inferAt(), inputOf("x", "FP32", "[2,16]", `"data":[`+sixteen+`]`)).fails(t, 400, `input "x": 33 bytes of data are too few for FP32 [2 16]`)
		ask(t, "POST", s.inferAt(), inputOf("x", "FP32", "[1,16]", `"data":[`+sixteen+`,1]`)).fails(t, 400, "more than 16 elements")
		ask(t, "POST", s.inferAt(), inputOf("x", "FP32", "[-1,16]", `"data":[`+sixteen+`]`)).fails(t, 400, "negative dimension")
		ask(t, "POST", s.inferAt(), inputOf("x", "FP32", "[9223372036854775807,9223372036854775807]", `"data":[1]`)).fails(t, 400, "more than 268435456 elements")
		ask(t, "POST", s.inferAt(), inputOf("x", "FP32", "[18446744073709551615]", `"data":[1]`)).fails(t, 400, `"inputs.shape" is a number`)
	}},
	{"tensors: an unknown datatype is an error", func(t *testing.T, s *served) {
		ask(t, "POST", s.inferAt(), inputOf("x", "FLOAT", "[1,16]", `"data":[`+sixteen+`]`)).fails(t, 400, `datatype "FLOAT", want one of [BOOL`)
	}},
	{"tensors: rows have the shape that the model's metadata says", func(t *testing.T, s *served) {
		ask(t, "POST", s.inferAt(), inputOf("x", "FP32", "[4,4]", `"data":[`+sixteen+`]`)).fails(t, 400, `input "x": examples are 4, want 4×4×1`)
		ask(t, "POST", s.inferAt(), inputOf("x", "FP32", "[0,16]", `"data":[]`)).fails(t, 400, `input "x": shape [0 16] has no rows`)
		ask(t, "POST", s.inferAt(), inputOf("x", "FP32", "[]", `"data":[1]`)).fails(t, 400, "has no rows")
		ask(t, "POST", s.inferAt(), inputOf("x", "BYTES", "[1,1]", `"data":["a"]`)).fails(t, 400, "want numbers")
	}},
	{"tensors: an input that the model does not have is an error", func(t *testing.T, s *served) {
		ask(t, "POST", s.inferAt(), inputOf("input-0", "FP32", "[1,16]", `"data":[`+sixteen+`]`)).fails(t, 400, `input "input-0": there is no such input: want x`)
		twice := `{"name":"x","datatype":"FP32","shape":[1,16],"data":[` + sixteen + `]}`
		ask(t, "POST", s.inferAt(), `{"inputs":[`+twice+","+twice+`]}`).fails(t, 400, `input "x": it is there twice`)
	}},
	{"tensors: numbers that are not finite are refused by row and column", func(t *testing.T, s *served) {
		ask(t, "POST", s.inferAt(), inputOf("x", "FP32", "[1,16]", `"data":[NaN,`+sixteen[2:]+`]`)).fails(t, 400, "holds NaN or Infinity")
		ask(t, "POST", s.inferAt(), inputOf("x", "FP32", "[2,16]", `"data":[`+sixteen+`,1,null,`+sixteen[4:]+`]`)).fails(t, 400, `input "x": row 1: column 1 is NaN`)
		ask(t, "POST", s.inferAt(), inputOf("x", "FP64", "[1,16]", `"data":[1e39,`+sixteen[2:]+`]`)).fails(t, 400, `input "x": row 0: column 0 is +Inf`)
	}},
	{"tensors: a table's columns come by name, in any order, all with a value a row", func(t *testing.T, s *served) {
		at := s.url + "/v2/models/lo%2Fans/infer"
		columns := map[string]string{"age": `"INT64","shape":[2],"data":[30,40]`, "income": `"FP64","shape":[2,1],"data":[[20.5],[null]]`, "debt": `"FP32","shape":[2],"data":[0.2,0.3]`,
			"town": `"BYTES","shape":[2],"data":["north","west"]`, "owns_home": `"BYTES","shape":[2,1],"data":["no","yes"]`}
		body := func(change map[string]string) string {
			var list []string
			for _, name := range []string{"age", "owns_home", "income", "town", "debt"} {
				c := columns[name]
				if other, ok := change[name]; ok {
					c = other
				}
				if c != "" {
					list = append(list, fmt.Sprintf(`{"name":%q,"datatype":%s}`, name, c))
				}
			}
			return `{"inputs":[` + strings.Join(list, ",") + `]}`
		}
		if a := ask(t, "POST", at, body(nil)).answers(t); a.names() != theOutputs || fmt.Sprint(a.Outputs[0].Shape) != "[2]" {
			t.Errorf("%+v", a)
		}
		for want, change := range map[string]map[string]string{
			`no column "debt"`: {"debt": ""},
			`row 1: column "town": "moon" is none of north`:    {"town": `"BYTES","shape":[2],"data":["north","moon"]`},
			`row 0: column "debt": no value`:                   {"debt": `"FP64","shape":[2],"data":[null,1]`},
			`row 0: column "age": 30.5 is no whole number`:     {"age": `"FP64","shape":[2],"data":[30.5,40]`},
			`shape [1 2], want one value a row: [n] or [n, 1]`: {"age": `"INT64","shape":[1,2],"data":[30,40]`},
			`has 3`: {"age": `"INT64","shape":[3],"data":[30,40,50]`, "income": `"FP64","shape":[2],"data":[1,2]`},
		} {
			r := ask(t, "POST", at, body(change))
			if want == "has 3" { // or 3 rows, whichever comes first
				r.fails(t, 400, "3")
				continue
			}
			r.fails(t, 400, want)
		}
		ask(t, "POST", at, `{"inputs":[]}`).fails(t, 400, "the columns are missing, one input each, or the input x")
		both := strings.TrimSuffix(body(nil), `]}`) + `,{"name":"x","datatype":"FP64","shape":[2,5],"data":[1,2,3,4,5,6,7,8,9,0]}]}`
		ask(t, "POST", at, both).fails(t, 400, `input "x": the rows are there twice`)
	}},
	{"tensors: the classifier's answer, p, has a number a class", func(t *testing.T, s *served) {
		p := func(shape, data string) reply {
			return ask(t, "POST", s.inferAt(), strings.TrimSuffix(oneRow, "]}")+`,{"name":"p","datatype":"FP32","shape":`+shape+`,"data":`+data+`}]}`)
		}
		p("[1,3]", "[0.1,0.2,0.7]").answers(t)
		p("[1,2]", "[0.1,0.9]").fails(t, 400, `input "p": FP32 [1 2], want floats of [1 3]`)
		p("[1,3]", "[0.1,0.2,null]").fails(t, 400, `input "p": row 0: class 2 is NaN`)
	}},
	{"binary: binary_data_size bytes of each input follow the JSON, in the inputs' order, little-endian and row-major", func(t *testing.T, s *served) {
		var x, p []byte
		for range 16 {
			x = binary.LittleEndian.AppendUint32(x, math.Float32bits(1))
		}
		for _, v := range []float64{0.1, 0.2, 0.7} {
			p = binary.LittleEndian.AppendUint64(p, math.Float64bits(v))
		}
		head := fmt.Sprintf(`{"inputs":[{"name":"p","datatype":"FP64","shape":[1,3],"parameters":{"binary_data_size":%d}},{"name":"x","datatype":"FP32","shape":[1,16],"parameters":{"binary_data_size":%d}}]}`, len(p), len(x))
		got := ask(t, "POST", s.inferAt(), head+string(p)+string(x), lengthOf(head), "Content-Type: application/octet-stream")
		if a := got.answers(t); a.Outputs[1].Data[0] != ask(t, "POST", s.inferAt(), oneRow).answers(t).Outputs[1].Data[0] {
			t.Errorf("score %v", a.Outputs[1].Data)
		}
		ask(t, "POST", s.inferAt(), head+string(p)+string(x[4:]), lengthOf(head)).fails(t, 400, `input "x": binary_data_size is 64, and 60 bytes are left`)
		ask(t, "POST", s.inferAt(), head+string(p)+string(x)+"more", lengthOf(head)).fails(t, 400, "4 bytes follow the tensors")
		short := strings.Replace(head, `size":64`, `size":60`, 1)
		ask(t, "POST", s.inferAt(), short+string(p)+string(x[4:]), lengthOf(short)).fails(t, 400, `input "x": 60 bytes for FP32 [1 16], which has 16 elements of 4`)
	}},
	{"binary: BYTES are texts of four bytes of length each", func(t *testing.T, s *served) {
		var texts string
		for _, v := range []string{"30", "20.5", "0.2", "north", "no"} {
			texts += le(byte(len(v)), 0, 0, 0) + v
		}
		head := fmt.Sprintf(`{"inputs":[{"name":"x","datatype":"BYTES","shape":[1,5],"parameters":{"binary_data_size":%d}}]}`, len(texts))
		ask(t, "POST", s.url+"/v2/models/lo%2Fans/infer", head+texts, lengthOf(head)).answers(t)
		ask(t, "POST", s.url+"/v2/models/lo%2Fans/infer", strings.Replace(head, "[1,5]", "[1,6]", 1)+texts, lengthOf(head)).fails(t, 400, `input "x": text 5 of 6`)
	}},
	{"binary: Inference-Header-Content-Length is the length of the JSON", func(t *testing.T, s *served) {
		for _, v := range []string{"x", "-1", "1e3", "99999999999999999999"} {
			ask(t, "POST", s.inferAt(), oneRow, "Inference-Header-Content-Length: "+v).fails(t, 400, "Inference-Header-Content-Length is "+strconv.Quote(v))
		}
		ask(t, "POST", s.inferAt(), oneRow, "Inference-Header-Content-Length: 100000").fails(t, 400, "the header is to have 100000 bytes")
		ask(t, "POST", s.inferAt(), oneRow, lengthOf(oneRow)).answers(t)
	}},
	{"binary: outputs are binary where binary_data says so, else where binary_data_output does, else JSON", func(t *testing.T, s *served) {
		if r := ask(t, "POST", s.inferAt(), oneRow); r.header.Get("Content-Type") != "application/json" || r.header.Get("Inference-Header-Content-Length") != "" {
			t.Errorf("JSON: %v", r.header)
		}
		r := ask(t, "POST", s.inferAt(), withOne(`"parameters":{"binary_data_output":true},"outputs":[{"name":"predicted","parameters":{"binary_data":false}},{"name":"instance_score"},{"name":"corrected"}]`))
		a := r.answers(t)
		if len(a.Outputs[0].Data) != 1 || a.Outputs[1].Data != nil || a.Outputs[1].Parameters["binary_data_size"] != 8. || a.Outputs[2].Parameters["binary_data_size"] != 8. {
			t.Errorf("%+v", a)
		}
		n, err := strconv.Atoi(r.header.Get("Inference-Header-Content-Length"))
		if err != nil || len(r.body) != n+16 || r.header.Get("Content-Type") != "application/octet-stream" || r.header.Get("Content-Length") != strconv.Itoa(n+16) {
			t.Errorf("%v, a body of %d", r.header, len(r.body))
		}
		if got := binary.LittleEndian.Uint64([]byte(r.body[n+8:])); got > 2 {
			t.Errorf("the class is %d", got)
		}
	}},
	{"shared memory, which is not offered, is an error", func(t *testing.T, s *served) {
		ask(t, "POST", s.inferAt(), inputOf("x", "FP32", "[1,16]", `"parameters":{"shared_memory_region":"r","shared_memory_byte_size":64}`)).fails(t, 400, `input "x"`, "shared memory")
		ask(t, "POST", s.inferAt(), withOne(`"outputs":[{"name":"predicted","parameters":{"shared_memory_region":"r","shared_memory_byte_size":8}}]`)).fails(t, 400, "shared memory")
	}},
	{"parameters that are not known are left alone, and those that are have a kind", func(t *testing.T, s *served) {
		ask(t, "POST", s.inferAt(), withOne(`"parameters":{"priority":3,"headers":{"a":[1]},"sequence_id":0,"content_type":"np","samples":null}`)).answers(t)
		a := ask(t, "POST", s.inferAt(), withOne(`"parameters":{"samples":2}`)).answers(t)
		if fmt.Sprint(a.Parameters) != "map[samples:2]" {
			t.Errorf("parameters %v", a.Parameters)
		}
		ask(t, "POST", s.inferAt(), withOne(`"parameters":{"samples":"2"}`)).fails(t, 400, `parameter "samples" is 2, want a whole number`)
		ask(t, "POST", s.inferAt(), withOne(`"parameters":{"samples":-2}`)).fails(t, 400, `parameter "samples" is -2`)
		ask(t, "POST", s.inferAt(), withOne(`"parameters":{"timeout":-1}`)).fails(t, 400, `parameter "timeout" is -1`)
		ask(t, "POST", s.inferAt(), withOne(`"parameters":[]`)).fails(t, 400, "is a array")
	}},
	{"compression: bodies may be gzip or deflate, and what they become is bounded", func(t *testing.T, s *served) {
		want := ask(t, "POST", s.inferAt(), oneRow)
		for coding, to := range map[string][]func(io.Writer) io.WriteCloser{"gzip": {asGzip}, "deflate": {asZlib, asFlate}, "identity": {}} {
			for _, z := range to {
				if got := ask(t, "POST", s.inferAt(), squeeze(t, oneRow, z), "Content-Encoding: "+coding); got.status != 200 || got.body != want.body {
					t.Errorf("%s: %d %s", coding, got.status, got.body)
				}
				ask(t, "POST", s.inferAt(), squeeze(t, oneRow, z)[:40], "Content-Encoding: "+coding).fails(t, 400, "the body ends early")
				bomb := squeeze(t, strings.Repeat(" ", 9<<20), z)
				ask(t, "POST", s.inferAt(), bomb, "Content-Encoding: "+coding).fails(t, 413, "more than 8388608 bytes")
			}
		}
		ask(t, "POST", s.inferAt(), oneRow, "Content-Encoding: gzip").fails(t, 400, "not what its headers say")
		ask(t, "POST", s.inferAt(), oneRow, "Content-Encoding: br").fails(t, 415, `content coding "br"`)
		ask(t, "POST", s.inferAt(), strings.Repeat(" ", 9<<20)).fails(t, 413, "more than 8388608 bytes")
	}},
	{"compression: answers are compressed as Accept-Encoding likes", func(t *testing.T, s *served) {
		body := inputOf("x", "FP32", "[64,16]", `"data":[`+strings.TrimSuffix(strings.Repeat(sixteen+",", 64), ",")+`]`)
		want := ask(t, "POST", s.inferAt(), body)
		for accept, coding := range map[string]string{
			"": "", "identity": "", "br": "", "gzip": "gzip", "deflate": "deflate", "gzip, deflate, br": "gzip", "deflate;q=0.9, gzip;q=0.5": "deflate",
			"gzip;q=0": "", "*": "gzip", "GZIP; q=1.0": "gzip", "gzip;q=x": "",
		} {
			r := ask(t, "POST", s.inferAt(), body, "Accept-Encoding: "+accept)
			if r.header.Get("Content-Encoding") != coding || r.header.Get("Vary") != "Accept-Encoding" {
				t.Errorf("%q: %v", accept, r.header)
				continue
			}
			var from io.Reader = strings.NewReader(r.body)
			var err error
			switch coding {
			case "gzip":
				from, err = gzip.NewReader(from)
			case "deflate":
				from, err = zlib.NewReader(from)
			}
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(from); err != nil || string(got) != want.body {
				t.Errorf("%q: %.100s, error %v", accept, got, err)
			}
		}
		if r := ask(t, "POST", s.inferAt(), oneRow, "Accept-Encoding: gzip"); r.header.Get("Content-Encoding") != "" {
			t.Error("a small answer is compressed")
		}
	}},
}
