package main

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/vaeguard/vaeguard/sdk/proto"
)

// hugeBeasts claim or answer more than anybody asked.
func hugeBeasts() []*beast {
	const kind = "too much"
	return []*beast{
		{kind: kind, what: "2^29 classes", want: "num_classes is 536870912, want at most", describe: func(_ int, d *proto.DescribeResponse) { d.NumClasses = 1 << 29 }},
		{kind: kind, what: "a row of 2^40 numbers", want: "input shape: shape 1048576×1048576: more than", describe: func(_ int, d *proto.DescribeResponse) { d.InputShape = []int64{1 << 20, 1 << 20} }},
		{kind: kind, what: "shapes whose sizes overflow", want: "dimension 0 is 4294967296", describe: func(_ int, d *proto.DescribeResponse) {
			d.InputShape = []int64{1 << 32, 1 << 32, 1 << 32}
		}},
		{kind: kind, what: "200,000 hidden layers", want: "hidden", describe: func(_ int, d *proto.DescribeResponse) {
			for i := range 200_000 {
				d.Hidden = append(d.Hidden, &proto.HiddenLayer{Name: strconv.Itoa(i), Shape: []int64{1}})
			}
		}},
		{kind: kind, what: "a schema of 64 MiB", want: "larger than max", describe: func(_ int, d *proto.DescribeResponse) {
			d.ConfigSchema = []byte(`{"description": "` + strings.Repeat("x", 64<<20) + `"}`)
		}},
		{kind: kind, what: "a schema of 100,000 levels", args: []string{"train", "zoo.yaml", "--out", "guard", "--quiet"}, want: "the plugin's schema: not a JSON Schema", describe: func(_ int, d *proto.DescribeResponse) {
			d.ConfigSchema = []byte(strings.Repeat(`{"not":`, 100_000) + "{}" + strings.Repeat("}", 100_000))
		}},
		{kind: kind, what: "a schema that is its own definition", want: "", describe: func(_ int, d *proto.DescribeResponse) {
			d.ConfigSchema = []byte(`{"$ref": "#/definitions/a", "definitions": {"a": {"allOf": [{"$ref": "#/definitions/b"}]}, "b": {"type": "object"}}}`)
		}},
		{kind: kind, what: "a schema that names files and hosts", args: []string{"train", "zoo.yaml", "--out", "guard", "--quiet"}, want: "schema", describe: func(_ int, d *proto.DescribeResponse) {
			d.ConfigSchema = []byte(`{"allOf": [{"$ref": "file:///etc/passwd"}, {"$ref": "http://198.51.100.7/"}]}`)
		}},
		{kind: kind, what: "300,000 diagnostics", want: "and 299900 more", mib: 320, configure: func(m *proto.ConfigureResponse) error {
			for range 300_000 {
				m.Diagnostics = append(m.Diagnostics, &proto.Diagnostic{Pointer: "/a", Message: strings.Repeat("b", 20)})
			}
			return nil
		}},
		{kind: kind, what: "an answer of 200 MiB to 16 rows", want: "larger than max", predict: func(_ int, y *proto.Tensor, _ *proto.PredictResponse) error {
			y.Shape, y.Data = []int64{zooRows, 1 << 24}, make([]byte, 200<<20)
			return nil
		}},
		{kind: kind, what: "100,000 outputs that nobody asked for", want: "larger than max", predict: func(_ int, y *proto.Tensor, m *proto.PredictResponse) error {
			for i := range 100_000 {
				m.Outputs[strconv.Itoa(i)] = &proto.Tensor{}
			}
			return nil
		}},
		{kind: kind, what: "outputs that it has, and nobody asked for", want: "larger than max", describe: func(_ int, d *proto.DescribeResponse) {
			for i := range 128 {
				d.Hidden = append(d.Hidden, &proto.HiddenLayer{Name: strconv.Itoa(i), Shape: []int64{1 << 24}})
			}
		}, predict: func(_ int, _ *proto.Tensor, m *proto.PredictResponse) error {
			m.Outputs["hidden/0"] = &proto.Tensor{Dtype: proto.DType_F32, Shape: []int64{zooRows, 1 << 22}, Data: make([]byte, 4*zooRows<<22)}
			return nil
		}},
		{kind: kind, what: "a million layers of two bytes", want: "has so many parts that they would take more than 64 MiB", describe: func(_ int, d *proto.DescribeResponse) {
			d.Hidden = make([]*proto.HiddenLayer, 1<<20)
			for i := range d.Hidden {
				d.Hidden[i] = &proto.HiddenLayer{}
			}
		}},
		{kind: kind, what: "2 GiB of connections announced to go-plugin's broker", want: "", broker: true},
		{kind: kind, what: "200 MB of log", want: "", predict: func(int, *proto.Tensor, *proto.PredictResponse) error {
			block := []byte(strings.Repeat(strings.Repeat("all is well ", 100)+"\n", 1000))
			for range 60 { // of 1.2 MB, three times
				if _, err := os.Stderr.Write(block); err != nil {
					return err
				}
			}
			return nil
		}},
	}
}

// wrongBeasts answer what is no answer.
func wrongBeasts() []*beast {
	const kind = "numbers"
	put := func(v float32) func(int, *proto.Tensor, *proto.PredictResponse) error {
		return func(_ int, y *proto.Tensor, _ *proto.PredictResponse) error {
			binary.LittleEndian.PutUint32(y.Data[len(y.Data)-4:], math.Float32bits(v))
			return nil
		}
	}
	return []*beast{
		{kind: kind, what: "NaN in the last row", want: "has NaN in row 15", predict: put(float32(math.NaN()))},
		{kind: kind, what: "infinity", want: "has +Inf in row 15", predict: put(float32(math.Inf(1)))},
		{kind: kind, what: "a shape of 2^62 numbers", want: "dimension 1 is", predict: func(_ int, y *proto.Tensor, _ *proto.PredictResponse) error {
			y.Shape = []int64{zooRows, 1 << 58}
			return nil
		}},
		{kind: kind, what: "a negative dimension", want: "dimension 1 is -10", predict: func(_ int, y *proto.Tensor, _ *proto.PredictResponse) error {
			y.Shape[1] = -10
			return nil
		}},
		{kind: kind, what: "one row less", want: `has no "output" of 16 rows`, predict: func(_ int, y *proto.Tensor, _ *proto.PredictResponse) error {
			y.Shape[0], y.Data = zooRows-1, y.Data[40:]
			return nil
		}},
		{kind: kind, what: "more classes than it said", want: "its output \"output\" has shape 20, it declared 10", predict: func(_ int, y *proto.Tensor, _ *proto.PredictResponse) error {
			y.Shape[1], y.Data = 20, append(y.Data, y.Data...)
			return nil
		}},
		{kind: kind, what: "bytes that are no whole numbers", want: "639 bytes for shape", predict: func(_ int, y *proto.Tensor, _ *proto.PredictResponse) error {
			y.Data = y.Data[1:]
			return nil
		}},
		{kind: kind, what: "a type that does not exist", want: "dtype 99", predict: func(_ int, y *proto.Tensor, _ *proto.PredictResponse) error {
			y.Dtype = 99
			return nil
		}},
		{kind: kind, what: "nothing at all", want: `has no "output" of 16 rows`, predict: func(_ int, _ *proto.Tensor, m *proto.PredictResponse) error {
			m.Outputs = nil
			return nil
		}},
		{kind: kind, what: "an upside-down range", want: "range", describe: func(_ int, d *proto.DescribeResponse) { d.Lo, d.Hi = []float32{1}, []float32{0} }},
		{kind: kind, what: "a range of NaN", want: "range", describe: func(_ int, d *proto.DescribeResponse) {
			d.Lo, d.Hi = []float32{float32(math.NaN())}, []float32{1}
		}},
	}
}

// changingBeasts are another model at each look.
func changingBeasts() []*beast {
	const kind = "identity"
	crashAt := func(n int) func(int, *proto.Tensor, *proto.PredictResponse) error {
		return func(call int, _ *proto.Tensor, _ *proto.PredictResponse) error {
			if call == n {
				os.Exit(9)
			}
			return nil
		}
	}
	classes := int64(10)
	return []*beast{
		{kind: kind, what: "another digest after a restart", want: "it came back as another model", predict: crashAt(2), describe: func(_ int, d *proto.DescribeResponse) {
			d.Digest = strconv.Itoa(os.Getpid())
		}},
		{kind: kind, what: "other classes after a restart", want: "it came back as another model", predict: func(call int, _ *proto.Tensor, _ *proto.PredictResponse) error {
			if call == 2 {
				_ = os.WriteFile(filepath.Join(os.TempDir(), "started"), nil, 0o600)
				os.Exit(9)
			}
			return nil
		}, describe: func(call int, d *proto.DescribeResponse) {
			mark := filepath.Join(os.TempDir(), "started")
			if _, err := os.Stat(mark); err == nil && call == 1 {
				_ = os.Remove(mark)
				classes = 11
			}
			d.NumClasses = classes
		}},
		{kind: kind, what: "another shape after Configure", want: `its output "output" has shape`, describe: func(call int, d *proto.DescribeResponse) {
			d.NumClasses = 10 * int64(call)
		}},
		{kind: kind, what: "rows in an order of its own", args: []string{"plugin", "check", "./zoo"}, want: "fail  order: rows in another order differ by", predict: func(_ int, y *proto.Tensor, _ *proto.PredictResponse) error {
			for i, j := 0, len(y.Data)/40-1; i < j; i, j = i+1, j-1 {
				for k := range 40 {
					y.Data[40*i+k], y.Data[40*j+k] = y.Data[40*j+k], y.Data[40*i+k]
				}
			}
			return nil
		}},
		{kind: kind, what: "other answers at each call", args: []string{"plugin", "check", "./zoo"}, want: "fail  repeat: the same call twice differ by", predict: func(call int, y *proto.Tensor, _ *proto.PredictResponse) error {
			binary.LittleEndian.PutUint32(y.Data, math.Float32bits(float32(call)))
			return nil
		}},
		{kind: kind, what: "other answers to calls at the same time", args: []string{"plugin", "check", "./zoo"}, want: "fail  concurrent: a call alone and among others differ by", predict: overlapping()},
	}
}

// overlapping answers otherwise when a call comes while another is under way.
func overlapping() func(int, *proto.Tensor, *proto.PredictResponse) error {
	busy := make(chan struct{}, 1)
	return func(_ int, y *proto.Tensor, _ *proto.PredictResponse) error {
		select {
		case busy <- struct{}{}:
			time.Sleep(100 * time.Millisecond)
			<-busy
		default:
			y.Data[3] = 0x42
		}
		return nil
	}
}
