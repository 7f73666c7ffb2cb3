package sdk

import (
	"math"
	"testing"

	"google.golang.org/protobuf/proto"

	wire "github.com/vaeguard/vaeguard/sdk/proto"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// FuzzFromWire decodes whatever a plugin may send. What it accepts has as many
// numbers as its shape says, and survives the way back.
func FuzzFromWire(f *testing.F) {
	for _, m := range []*wire.Tensor{
		toWire(tensor.From([]float32{1, 2, 3, 4, 5, float32(math.Inf(1))}, 2, 3)),
		toWire(tensor.New(0, 3)),
		{Dtype: wire.DType_F32, Shape: []int64{1 << 62, 4}, Data: []byte{1, 2, 3, 4}},
		{Dtype: wire.DType_F32, Shape: []int64{-1, -4}, Data: make([]byte, 16)},
		{Dtype: wire.DType_I64, Shape: []int64{1}, Data: make([]byte, 8)},
		{Dtype: wire.DType_F32, Shape: []int64{3}, Data: make([]byte, 11)},
	} {
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var m wire.Tensor
		if proto.Unmarshal(b, &m) != nil {
			return
		}
		x, err := fromWire("x", &m)
		if err != nil {
			if KindOf(err) != InvalidArgument {
				t.Errorf("%v is of kind %v", err, KindOf(err))
			}
			return
		}
		if x.Shape.Size() != len(x.Data) {
			t.Fatalf("%d numbers for shape %v", len(x.Data), x.Shape)
		}
		again, err := fromWire("x", toWire(x))
		if err != nil || !again.Shape.Equal(x.Shape) {
			t.Fatalf("%v came back as %v, %v", x.Shape, again, err)
		}
		for i, v := range x.Data {
			if math.Float32bits(v) != math.Float32bits(again.Data[i]) {
				t.Fatalf("element %d changed", i)
			}
		}
	})
}

// FuzzInfoFromWire describes whatever a plugin may claim.
func FuzzInfoFromWire(f *testing.F) {
	b, err := proto.Marshal(infoToWire(Info{Name: "a", InputShape: tensor.Shape{2, 3}, Lo: []float32{0}, Hi: []float32{1}, NumClasses: 2,
		Hidden: []HiddenLayer{{Name: "h", Shape: tensor.Shape{4}}}}))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(_ *testing.T, b []byte) {
		var m wire.DescribeResponse
		if proto.Unmarshal(b, &m) != nil {
			return
		}
		if i, err := infoFromWire(&m); err == nil && i.Validate() == nil {
			_, _ = i.OutputShape("hidden/h")
		}
	})
}

// FuzzCheckConfig checks any config against any schema.
func FuzzCheckConfig(f *testing.F) {
	f.Add([]byte(`{"type": "object", "properties": {"a": {"type": "integer"}}}`), []byte(`{"a": "b"}`))
	f.Add([]byte(`{"$ref": "file:///etc/passwd"}`), []byte(`{}`))
	f.Add([]byte(``), []byte(`{"a": 1}`))
	f.Fuzz(func(t *testing.T, schema, config []byte) {
		if len(schema)+len(config) > 1<<12 {
			return
		}
		if err := CheckConfig(schema, config); err != nil && err.Error() == "" {
			t.Error("an error without a message")
		}
	})
}
