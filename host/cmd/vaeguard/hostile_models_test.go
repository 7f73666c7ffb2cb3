package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	goproto "google.golang.org/protobuf/proto"

	"github.com/vaeguard/vaeguard/host/artifact"
	"github.com/vaeguard/vaeguard/sdk/proto"
)

// hostileModels are weights and networks.
func hostileModels(t *testing.T) []hostile {
	weights := func(header string, size int) met {
		b := append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header...)
		return file("w.safetensors", append(b, make([]byte, size)...), 1, "read", "weights", "w.safetensors")
	}
	one := func(shape, offsets string) string {
		return fmt.Sprintf(`{"w":{"dtype":"F32","shape":%s,"data_offsets":%s}}`, shape, offsets)
	}
	load := func(model []byte) met {
		return files(map[string][]byte{"m.onnx": model, "m.json": []byte(`{"model": "m.onnx"}`)}, 4, "plugin", "check", "onnx", "--config", "m.json")
	}
	good, err := os.ReadFile("../../../builtin/classifiers/onnx/testdata/mlp.onnx")
	if err != nil {
		t.Fatal(err)
	}
	return []hostile{
		{"safetensors", "empty", file("w.safetensors", nil, 1, "read", "weights", "w.safetensors"), "truncated"},
		{"safetensors", "header of 2^60 bytes", file("w.safetensors", binary.LittleEndian.AppendUint64(nil, 1<<60), 1, "read", "weights", "w.safetensors"), "want at most"},
		{"safetensors", "header of 100,000 lists in each other", weights(strings.Repeat("[", 100_000), 0), "header"},
		{"safetensors", "shape of minus one", weights(one("[-1]", "[0,4]"), 4), "-1"},
		{"safetensors", "truncated", weights(one("[2]", "[0,8]"), 7), "truncated or wrong"},
		{"safetensors", "trailing bytes", weights(one("[2]", "[0,8]"), 9), "1 trailing bytes"},
		{"safetensors", "shape whose size overflows", weights(one("[4294967296,4294967296]", "[0,0]"), 0), "does not fit its 0 bytes"},
		{"safetensors", "tensors that overlap", weights(`{"v":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"w":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, 8), "overlaps"},
		{"safetensors", "hole between tensors", weights(one("[1]", "[4,8]"), 8), "hole of 4 bytes"},
		{"safetensors", "offsets in reverse", weights(one("[1]", "[4,0]"), 4), "spans bytes 4 to 0"},
		{"safetensors", "name twice", weights(`{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"w":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, 8), "appears twice"},
		{"onnx", "empty", load(nil), "no graph"},
		{"onnx", "a web page", load([]byte("<html>not found</html>")), "not an ONNX"},
		{"onnx", "truncated", load(good[:len(good)-9]), "damaged"},
		{"onnx", "unknown operator", load(bytes.ReplaceAll(good, []byte("Gemm"), []byte("Evil"))), "operator Evil"},
		{"onnx", "weights that claim 2^80 numbers", load(network(constant("w", []int64{1 << 40, 1 << 40}, ""))), "at most"},
		{"onnx", "weights of a negative shape", load(network(constant("w", []int64{-5}, ""))), "no negative"},
		{"onnx", "weights made of a shape, 1 GiB of them", load(network(shape("s", 1<<14, 1<<14), operator("ConstantOfShape", "w", "s"))), "wants 1 GiB of memory"},
		{"onnx", "external weights in ../", load(network(constant("w", []int64{3, 2}, "../w.bin"))), "inside the model's folder"},
		{"onnx", "external weights in /etc/passwd", load(network(constant("w", []int64{3, 2}, "/etc/passwd"))), "inside the model's folder"},
	}
}

// constant is an ONNX TensorProto of floats whose bytes are elsewhere, or
// nowhere.
func constant(name string, dims []int64, location string) []byte {
	var b []byte
	for _, d := range dims {
		b = protowire.AppendVarint(protowire.AppendTag(b, 1, protowire.VarintType), uint64(d))
	}
	b = protowire.AppendVarint(protowire.AppendTag(b, 2, protowire.VarintType), 1)
	b = field(b, 8, []byte(name))
	if location != "" {
		b = field(b, 13, field(field(nil, 1, []byte("location")), 2, []byte(location)))
		b = protowire.AppendVarint(protowire.AppendTag(b, 14, protowire.VarintType), 1)
	}
	return b
}

// shape is an ONNX TensorProto of integers.
func shape(name string, dims ...int64) []byte {
	b := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), uint64(len(dims)))
	b = protowire.AppendVarint(protowire.AppendTag(b, 2, protowire.VarintType), 7)
	for _, d := range dims {
		b = protowire.AppendVarint(protowire.AppendTag(b, 7, protowire.VarintType), uint64(d))
	}
	return field(b, 8, []byte(name))
}

// operator is an ONNX NodeProto.
func operator(op, out string, in ...string) []byte {
	var b []byte
	for _, name := range in {
		b = field(b, 1, []byte(name))
	}
	return field(field(b, 2, []byte(out)), 4, []byte(op))
}

func field(b []byte, n protowire.Number, content []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, n, protowire.BytesType), content)
}

// network is an ONNX ModelProto of one product with a constant.
func network(w []byte, before ...[]byte) []byte {
	port := func(name string) []byte { // of floats, one free dimension and one of 3
		shape := field(nil, 1, field(nil, 2, []byte("n")))
		shape = field(shape, 1, protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 3))
		kind := field(protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 1), 2, shape)
		return field(field(nil, 1, []byte(name)), 2, field(nil, 1, kind))
	}
	var graph []byte
	for _, node := range append(before, operator("MatMul", "y", "x", "w")) {
		graph = field(graph, 1, node)
	}
	graph = field(field(field(graph, 5, w), 11, port("x")), 12, port("y"))
	opset := protowire.AppendVarint(protowire.AppendTag(nil, 2, protowire.VarintType), 13)
	b := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 8)
	return field(field(b, 7, graph), 8, opset)
}

// hostileDetectors are a detector's folder, harmed.
func hostileDetectors(guards map[string]string) []hostile {
	harmed := func(harm func(t *testing.T, dir string)) met {
		return met{code: 1, args: []string{"inspect", "tiny"}, put: func(t *testing.T, dir string) {
			if err := os.CopyFS(filepath.Join(dir, "tiny"), os.DirFS(guards["GUARD"])); err != nil {
				t.Fatal(err)
			}
			harm(t, filepath.Join(dir, "tiny"))
		}}
	}
	file := func(name string, change func([]byte) []byte) met {
		return harmed(func(t *testing.T, dir string) {
			path := filepath.Join(dir, name)
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, change(b), 0o644); err != nil {
				t.Fatal(err)
			}
		})
	}
	flip := func(b []byte) []byte { b[len(b)-1] ^= 1; return b }
	cut := func(b []byte) []byte { return b[:len(b)-3] }
	longer := func(b []byte) []byte { return append(b, ' ') }
	text := func(from, to string) func([]byte) []byte {
		return func(b []byte) []byte { return bytes.Replace(b, []byte(from), []byte(to), 1) }
	}
	return []hostile{
		{"detector", "weights truncated", file(artifact.WeightsFile, cut), "weights.safetensors is truncated"},
		{"detector", "weights with trailing bytes", file(artifact.WeightsFile, longer), "weights.safetensors was edited"},
		{"detector", "weights of 64 GiB", harmed(func(t *testing.T, dir string) {
			if err := os.Truncate(filepath.Join(dir, artifact.WeightsFile), 64<<30); err != nil {
				t.Fatal(err)
			}
		}), "weights.safetensors was edited"},
		{"detector", "calibration truncated", file(artifact.CalibrationFile, cut), "calibration.npy is truncated"},
		{"detector", "spec edited", file(artifact.SpecFile, text("latent_dim: 2", "latent_dim: 3")), "detector.yaml was edited"},
		{"detector", "weights of the classifier edited", file("classifier/weights.safetensors", flip), "classifier/weights.safetensors was edited"},
		{"detector", "meta.json truncated", file(artifact.MetaFile, cut), "meta.json is truncated"},
		{"detector", "meta.json with trailing bytes", file(artifact.MetaFile, longer), "meta.json was edited"},
		{"detector", "another format version", file(artifact.MetaFile, text(`"format_version": 2`, `"format_version": 99`)), "format version 99, this program reads 2"},
		{"detector", "list that leads outside", file(artifact.MetaFile, text(`"detector.yaml"`, `"../../passwd"`)), "meta.json was edited"},
		{"detector", "file that is missing", harmed(func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, artifact.WeightsFile)); err != nil {
				t.Fatal(err)
			}
		}), "weights.safetensors is missing"},
		{"detector", "folder in the place of a file", harmed(func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, artifact.WeightsFile)); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(filepath.Join(dir, artifact.WeightsFile), 0o755); err != nil {
				t.Fatal(err)
			}
		}), "weights.safetensors is not a file"},
	}
}

const tinyGuard = `api_version: vaeguard/v1
kind: Experiment
name: tiny
seed: 7
data:
  train:       {dataset: iris, split: train}
  calibration: {dataset: iris, split: calibration}
classifier: {plugin: mlp, config: {hidden: [4]}, train: {epochs: 1}, checks: "off"}
vae:
  latent_dim: 2
  encoder: [{dense: {units: 4}}]
  decoder: [{dense: {units: 4}}]
train: {epochs: 1}
threshold: {fpr: 0.1}
`

// hostileAnswers are tensors on the wire, from a plugin that lies.
func hostileAnswers(t *testing.T) []hostile {
	ask := func(y *proto.Tensor) met {
		b, err := goproto.Marshal(y)
		if err != nil {
			t.Fatal(err)
		}
		return file("answer", b, 1, "read", "answer", "answer")
	}
	f32 := func(size int, shape ...int64) *proto.Tensor {
		return &proto.Tensor{Dtype: proto.DType_F32, Shape: shape, Data: make([]byte, size)}
	}
	nan := f32(8, 1, 2)
	binary.LittleEndian.PutUint32(nan.Data, math.Float32bits(float32(math.NaN())))
	return []hostile{
		{"wire", "no answer", ask(&proto.Tensor{}), `has no "output" of 1 rows`},
		{"wire", "bytes that do not fit the shape", ask(f32(7, 1, 2)), "7 bytes for shape 1×2, want 8"},
		{"wire", "shape whose size overflows", ask(f32(0, 1<<40, 1<<40)), "dimension 0 is 1099511627776, want 0 to 536870912"},
		{"wire", "negative shape", ask(f32(8, -1, -2)), "dimension 0 is -1"},
		{"wire", "other number of rows", ask(f32(16, 2, 2)), `has no "output" of 1 rows`},
		{"wire", "type that does not exist", ask(&proto.Tensor{Dtype: 99, Shape: []int64{1, 2}, Data: make([]byte, 8)}), "dtype 99, want F32"},
		{"wire", "NaN", ask(nan), "NaN in row 0"},
	}
}
