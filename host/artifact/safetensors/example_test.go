package safetensors_test

import (
	"bytes"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/vaeguard/vaeguard/host/artifact/safetensors"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Named tensors to a file that PyTorch and others read, and back.
func ExampleWrite() {
	dir, err := os.MkdirTemp("", "safetensors")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "weights.safetensors")
	err = safetensors.Write(path, []safetensors.Named{
		{Name: "0.kernel", Tensor: tensor.From([]float32{1, 2, 3, 4}, 2, 2)},
		{Name: "0.bias", Tensor: tensor.New(2)},
	}, map[string]string{"made by": "an example"})
	if err != nil {
		log.Fatal(err)
	}
	f, err := safetensors.Read(path)
	if err != nil {
		log.Fatal(err)
	}
	for _, t := range f.Tensors {
		fmt.Println(t.Name, t.Tensor.Shape)
	}
	kernel, ok := f.Get("0.kernel")
	if !ok {
		log.Fatal("no kernel")
	}
	fmt.Println(kernel.Data, f.Metadata)
	// Output:
	// 0.kernel 2×2
	// 0.bias 2
	// [1 2 3 4] map[made by:an example]
}

// What is cut short is refused.
func ExampleDecode() {
	var file bytes.Buffer
	if err := safetensors.Encode(&file, []safetensors.Named{{Name: "x", Tensor: tensor.New(3)}}, nil); err != nil {
		log.Fatal(err)
	}
	whole := file.Bytes()
	f, err := safetensors.Decode(bytes.NewReader(whole), int64(len(whole)))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(f.Tensors[0].Tensor.Data)
	cut := whole[:len(whole)-4]
	_, err = safetensors.Decode(bytes.NewReader(cut), int64(len(cut)))
	fmt.Println(err)
	// Output:
	// [0 0 0]
	// safetensors: tensor "x" spans bytes 0 to 12 of 8: truncated or wrong
}
