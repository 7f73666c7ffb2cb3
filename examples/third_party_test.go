package examples

import (
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/vaeguard/vaeguard/host/cli/clitest"
)

// TestThirdParty holds the specs of third-party against stand-ins for the
// packages' files: models with their inputs and classes, and a few rows of their
// shapes. What it cannot hold are the packages themselves: run.sh does.
func TestThirdParty(t *testing.T) {
	clitest.Run(t, "testdata/third-party", nil, func(e *testscript.Env) error {
		if err := os.CopyFS(e.WorkDir, os.DirFS("third-party")); err != nil {
			return err
		}
		for _, m := range []struct {
			file, variable string
			model          []byte
		}{
			{"opennsfw.onnx", "OPENNSFW", pooled([]int64{-1, 224, 224, 3}, []int64{1, 2}, 2)},
			{"rapidocr.onnx", "RAPIDOCR", pooled([]int64{-1, 3, -1, -1}, []int64{2, 3}, 2)},
			{"cifar.onnx", "CIFAR10_ONNX", pooled([]int64{-1, 32, 32, 3}, []int64{1, 2}, 10)},
			{"magika.onnx", "MAGIKA", tokens(2048, 214)},
			{"silero.onnx", "SILERO", recurrent()},
		} {
			path := filepath.Join(e.WorkDir, m.file)
			if err := os.WriteFile(path, m.model, 0o666); err != nil {
				return err
			}
			e.Setenv(m.variable, path)
		}
		e.Setenv("CIFAR10_H5", "cnn_model.h5")
		e.Setenv("CIFAR10_JPEG", "cifar")
		e.Setenv("THYROID", "raw.csv")
		return rowsOf(e.WorkDir)
	})
}

// rowsOf makes a few images for each folder that the specs name, of different
// sizes but for those of 32×32.
func rowsOf(dir string) error {
	for role, s := range []struct {
		folder, classes string
		n, w, h         int
	}{
		{"photos/train", "sfw", 4, 240, 260}, {"photos/calibration", "sfw", 10, 300, 200}, {"photos/test", "sfw", 2, 256, 256},
		{"lines/train", "0 180", 4, 200, 50}, {"lines/calibration", "0 180", 5, 192, 48}, {"lines/test", "0 180", 2, 96, 24},
		{"cifar/train", "a b c d e f g h i j", 20, 32, 32}, {"cifar/test", "a b c d e f g h i j", 1, 32, 32},
	} {
		for c, class := range strings.Fields(s.classes) {
			folder := filepath.Join(dir, s.folder, class)
			if err := os.MkdirAll(folder, 0o777); err != nil {
				return err
			}
			for i := range s.n {
				m := image.NewRGBA(image.Rect(0, 0, s.w+i*(s.w/100), s.h))
				for p := range m.Pix {
					m.Pix[p] = byte(p*(i+3)/7 + 40*c + 11*role)
				}
				m.Set(i, 0, color.RGBA{byte(c), byte(i), 99, 255})
				f, err := os.Create(filepath.Join(folder, fmt.Sprintf("%02d.jpg", i)))
				if err != nil {
					return err
				}
				if err := jpeg.Encode(f, m, nil); err != nil {
					return err
				}
				if err := f.Close(); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// The ONNX files below are ModelProtos, written by hand: what is not said here
// is what onnx.proto numbers.

// pooled is the mean over some axes and a matrix with softmax after it, as of
// opset 11.
func pooled(shape, axes []int64, classes int64) []byte {
	return onnxFile(11, [][]byte{
		node("ReduceMean", []string{"x"}, "m", "axes", axes, "keepdims", []int64{0}),
		node("MatMul", []string{"m", "w"}, "z"),
		node("Softmax", []string{"z"}, "y"),
	}, [][]byte{weights("w", 3, classes)}, [][]byte{port("x", 1, shape)}, classes)
}

// tokens is an embedding of 257 integers, which has no gradient, and a matrix.
func tokens(width, classes int64) []byte {
	return onnxFile(11, [][]byte{
		node("Gather", []string{"e", "x"}, "f"),
		node("MatMul", []string{"f", "w"}, "z"),
		node("Softmax", []string{"z"}, "y"),
	}, [][]byte{weights("e", 257), weights("w", width, classes)}, [][]byte{port("x", 6, []int64{-1, width})}, classes)
}

// recurrent has a state beside its input, as of silero-vad.
func recurrent() []byte {
	return onnxFile(16, [][]byte{node("LSTM", []string{"x", "h"}, "y")}, nil,
		[][]byte{port("x", 1, []int64{-1, 576}), port("h", 1, []int64{1, 1, 128})}, -1)
}

func onnxFile(opset uint64, nodes, constants, inputs [][]byte, classes int64) []byte {
	var graph []byte
	for _, n := range nodes {
		graph = field(graph, 1, n)
	}
	for _, c := range constants {
		graph = field(graph, 5, c)
	}
	for _, p := range inputs {
		graph = field(graph, 11, p)
	}
	graph = field(graph, 12, port("y", 1, []int64{-1, classes}))
	return field(field(nil, 7, graph), 8, number(nil, 2, opset))
}

func field(b []byte, num protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), v)
}

func number(b []byte, num protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), v)
}

// node has attributes by pairs: a name, and a list of integers or one.
func node(op string, in []string, out string, attributes ...any) []byte {
	var b []byte
	for _, s := range in {
		b = field(b, 1, []byte(s))
	}
	b = field(field(b, 2, []byte(out)), 4, []byte(op))
	for i := 0; i < len(attributes); i += 2 {
		name := attributes[i].(string)
		a := field(nil, 1, []byte(name))
		for _, v := range attributes[i+1].([]int64) {
			a = number(a, map[bool]protowire.Number{true: 8, false: 3}[name == "axes"], uint64(v))
		}
		b = field(b, 5, a)
	}
	return b
}

// port is a ValueInfoProto; −1 is free.
func port(name string, element uint64, shape []int64) []byte {
	var dims []byte
	for _, d := range shape {
		dim := field(nil, 2, []byte("n"))
		if d >= 0 {
			dim = number(nil, 1, uint64(d))
		}
		dims = field(dims, 1, dim)
	}
	tensor := field(number(nil, 1, element), 2, dims)
	return field(field(nil, 1, []byte(name)), 2, field(nil, 1, tensor))
}

// weights is an initializer of small floats.
func weights(name string, dims ...int64) []byte {
	var b, raw []byte
	n := int64(1)
	for _, d := range dims {
		b, n = number(b, 1, uint64(d)), n*d
	}
	for i := range n {
		raw = append(raw, 0, 0, byte(i*37), 0x3c|byte(i*53)&0x80) // ±0.008 to 0.03
	}
	return field(field(number(b, 2, 1), 8, []byte(name)), 9, raw)
}
