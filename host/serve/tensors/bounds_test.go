package tensors_test

import (
	"bytes"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/vaeguard/vaeguard/host/serve/inference"
	"github.com/vaeguard/vaeguard/host/serve/tensors"
)

// held is the memory that tensors hold apart from the message.
func held(list []tensors.Tensor) int {
	n := 0
	for _, t := range list {
		n += cap(t.Raw) + 24*cap(t.Texts) + 200
	}
	return n
}

// perByte is the most memory that one byte of a message may become: the descriptor
// of an empty text has 24, and the text two or three.
const perByte = 20

// TestBombs: messages of which every two or three bytes stand for a tensor are
// refused before memory is claimed for all of them.
func TestBombs(t *testing.T) {
	const size = 4 << 20
	rest := func(one string) func() error {
		body := []byte(`{"inputs":[` + strings.Repeat(one+",", size/(len(one)+1)) + one + `]}`)
		return func() error {
			_, err := tensors.ParseRequest(body, -1, tensors.Limits{})
			return err
		}
	}
	grpc := func(one string) func() error {
		b := []byte(strings.Repeat(one, size/len(one)))
		return func() error { return inference.Unmarshal(b, &inference.ModelInferRequest{}, 1000) }
	}
	for name, bomb := range map[string]func() error{
		"empty tensors": rest("{}"), "numbers": rest("0"), "lists": rest("[]"), "texts": rest(`"\\"`),
		"tensors": grpc("\x2a\x00"), "outputs": grpc("\x32\x00"), "raw contents": grpc("\x3a\x00"), "parameters": grpc("\x22\x00"),
		"texts in contents": grpc("\x2a\x06\x2a\x04\x42\x00\x42\x00"),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := bomb()
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; err == nil || n > 8*size {
			t.Errorf("%s: %d bytes of memory for %d, error %v", name, n, size, err)
		}
	}
}

// FuzzREST holds requests and responses over REST to their bounds, and what was
// read to what comes of writing it.
func FuzzREST(f *testing.F) {
	for d, text := range samples() {
		f.Add(fmt.Appendf(nil, `{"id":"1","parameters":{"samples":3},"inputs":[{"name":"x","datatype":%q,"shape":[3],"data":%s}],"outputs":[{"name":"y","parameters":{"binary_data":true}}]}`, d, text), int64(-1))
	}
	f.Add([]byte(`{"inputs":[{"name":"x","datatype":"UINT8","shape":[2],"parameters":{"binary_data_size":2}}]}ab`), int64(92))
	f.Add([]byte(`{"outputs":[{"name":"x","datatype":"BYTES","shape":[1],"parameters":{"binary_data_size":5}}]}`+"\x01\x00\x00\x00a"), int64(93))
	f.Fuzz(func(t *testing.T, body []byte, header int64) {
		kept := slices.Clone(body)
		if r, err := tensors.ParseRequest(body, header, tensors.Limits{}); err == nil {
			if n := held(r.Inputs); n > perByte*len(body)+1000 {
				t.Fatalf("%d bytes of memory for a body of %d", n, len(body))
			}
			out, h := tensors.AppendRequest(nil, r, func(tensors.Tensor) bool { return true })
			again, err := tensors.ParseRequest(out, h, tensors.Limits{})
			if err != nil || len(again.Inputs) != len(r.Inputs) || again.ID != r.ID && !strings.ContainsRune(again.ID, '�') {
				t.Fatalf("%q becomes %q: %v", body, out, err)
			}
			for i, in := range r.Inputs {
				if !bytes.Equal(again.Inputs[i].AppendRaw(nil), in.AppendRaw(nil)) {
					t.Fatalf("input %d of %q becomes %q", i, body, out)
				}
			}
		}
		if r, err := tensors.ParseResponse(body, header, tensors.Limits{}); err == nil {
			out, h := tensors.AppendResponse(nil, r, nil)
			if h != -1 {
				t.Fatalf("JSON with a header of %d", h)
			}
			if _, err := tensors.ParseResponse(out, h, tensors.Limits{}); err != nil {
				t.Fatalf("%q becomes %q: %v", body, out, err)
			}
		}
		if !bytes.Equal(body, kept) {
			t.Fatal("the body was changed")
		}
	})
}

// FuzzGRPC does so for requests and responses over gRPC.
func FuzzGRPC(f *testing.F) {
	for d, text := range samples() {
		t, err := tensors.ParseData("x", d, []int64{3}, []byte(text), tensors.Limits{})
		if err != nil {
			f.Fatal(err)
		}
		m := tensors.Request{Model: "m", Inputs: []tensors.Tensor{t}, Outputs: []tensors.Output{{Name: "y"}}}.Message()
		for range 2 {
			b, err := proto.Marshal(m)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b)
			m.RawInputContents = nil
			m.Inputs[0].Contents = contents(t)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var m inference.ModelInferRequest
		if proto.Unmarshal(b, &m) == nil {
			if r, err := tensors.FromRequest(&m, tensors.Limits{}); err == nil {
				if n := held(r.Inputs); n > perByte*len(b)+1000 {
					t.Fatalf("%d bytes of memory for a message of %d", n, len(b))
				}
				again, err := tensors.FromRequest(r.Message(), tensors.Limits{})
				if err != nil || len(again.Inputs) != len(r.Inputs) {
					t.Fatalf("%v becomes %v: %v", &m, again, err)
				}
			}
		}
		var response inference.ModelInferResponse
		if proto.Unmarshal(b, &response) == nil {
			_, _ = tensors.FromResponse(&response, tensors.Limits{}) // it is enough that it returns
		}
	})
}

// TestV1IsBounded: bodies of V1 of which two or three bytes stand for a number, a text, a row or a member take some times their length.
func TestV1IsBounded(t *testing.T) {
	const size = 1 << 20
	many := func(one string) string { return strings.Repeat(one+",", size/(len(one)+1)) + one }
	members := func() string {
		var b strings.Builder
		for i := 0; b.Len() < size; i++ {
			fmt.Fprintf(&b, `"%d":0,`, i)
		}
		return strings.TrimSuffix(b.String(), ",")
	}()
	for name, body := range map[string]string{
		"numbers": `{"instances":[` + many("1") + `]}`, "a row": `{"instances":[[` + many("1") + `]]}`, "rows": `{"instances":[` + many("[1]") + `]}`,
		"a member": `{"instances":[{"a":[` + many("1") + `]}]}`, "no rows": `{"instances":[{"a":1},` + many("1") + `]}`,
		"members": `{"instances":[{` + members + `}]}`, "members of the body": `{` + members + `}`,
	} {
		text := []byte(body)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := tensors.ParseRequestV1(text, tensors.Limits{})
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 12*size {
			t.Errorf("%s: %d bytes of memory for %d, error %v", name, n, len(text), err)
		}
	}
}
