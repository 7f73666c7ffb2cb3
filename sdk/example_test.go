package sdk_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// The least that a classifier does, called as the SDK calls it.
func ExampleClassifier() {
	ctx := context.Background()
	var c sdk.Classifier = threshold{}
	y, err := c.Predict(ctx, tensor.From([]float32{0.25, 1}, 2, 1))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(y.Row(0), y.Row(1))
	// Output: [2.5 -2.5] [-5 5]
}

// A gradient pulls the weights dy of the outputs back to the input: here the
// margin of class 1, whose slope is 2·10. Package check compares gradients with
// differences of Predict, as the host does before it relies on one.
func ExampleDifferentiable() {
	var c sdk.Differentiable = threshold{}
	dx, err := c.Gradient(context.Background(), tensor.From([]float32{0.25}, 1, 1), tensor.From([]float32{-1, 1}, 1, 2))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(dx.Row(0))
	// Output: [20]
}

// square is a Forwarder: class 1 wins outside the unit circle. Its hidden
// layer is the squared norm.
type square struct{}

func (square) Info(context.Context) (sdk.Info, error) {
	return sdk.Info{
		Name: "square", Version: "1.0.0", InputShape: tensor.Shape{2}, NumClasses: 2, Output: sdk.Logits,
		Hidden: []sdk.HiddenLayer{{Name: "norm", Shape: tensor.Shape{1}}},
	}, nil
}

func (s square) Predict(ctx context.Context, x *tensor.Tensor) (*tensor.Tensor, error) {
	outs, _, err := s.Forward(ctx, x, sdk.Output)
	return outs[sdk.Output], err
}

func (square) Forward(_ context.Context, x *tensor.Tensor, _ ...string) (map[string]*tensor.Tensor, sdk.Pullback, error) {
	norm, y := tensor.New(x.N(), 1), tensor.New(x.N(), 2)
	for i := range x.N() {
		a, b := x.Row(i)[0], x.Row(i)[1]
		norm.Row(i)[0] = a*a + b*b
		y.Row(i)[0], y.Row(i)[1] = 1, a*a+b*b
	}
	pull := func(_ context.Context, cotangents map[string]*tensor.Tensor) (*tensor.Tensor, error) {
		dx := tensor.New(x.Shape...)
		for i := range x.N() {
			var d float32 // of the squared norm, from all outputs that are named
			if dy := cotangents[sdk.Output]; dy != nil {
				d += dy.Row(i)[1]
			}
			if dn := cotangents[sdk.HiddenPrefix+"norm"]; dn != nil {
				d += dn.Row(i)[0]
			}
			dx.Row(i)[0], dx.Row(i)[1] = 2*d*x.Row(i)[0], 2*d*x.Row(i)[1]
		}
		return dx, nil
	}
	return map[string]*tensor.Tensor{sdk.Output: y, sdk.HiddenPrefix + "norm": norm}, pull, nil
}

// A prediction and two gradients for the price of one forward pass.
func ExampleForwarder() {
	ctx := context.Background()
	x := tensor.From([]float32{3, 4}, 1, 2)
	outs, pull, err := square{}.Forward(ctx, x, sdk.Output, sdk.HiddenPrefix+"norm")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(outs[sdk.Output].Row(0), outs["hidden/norm"].Row(0))
	for _, cotangents := range []map[string]*tensor.Tensor{
		{sdk.Output: tensor.From([]float32{0, 1}, 1, 2)},
		{sdk.Output: tensor.From([]float32{0, 1}, 1, 2), "hidden/norm": tensor.From([]float32{1}, 1, 1)},
	} {
		dx, err := pull(ctx, cotangents)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(dx.Row(0))
	}
	// Output:
	// [1 25] [25]
	// [6 8]
	// [12 16]
}

// cut is a threshold that a config sets and that Fit learns.
type cut struct {
	threshold
	At float32 `json:"at"`
}

func (c *cut) Schema() []byte {
	return []byte(`{"type": "object", "additionalProperties": false, "properties": {"at": {"type": "number", "minimum": 0}}}`)
}

// Configure says what a schema cannot say.
func (c *cut) Configure(_ context.Context, config sdk.Config) error {
	if err := json.Unmarshal(config.JSON, c); err != nil {
		return sdk.Diagnostics{{Message: err.Error()}}
	}
	if c.At == 0 {
		return sdk.Diagnostics{{Pointer: "/at", Message: "nothing would be below it"}}
	}
	return nil
}

// Fit puts the cut halfway between the means of the two classes.
func (c *cut) Fit(_ context.Context, data sdk.TrainingData, o sdk.FitOptions) (sdk.FitDone, error) {
	var sum, n [2]float32
	for i, label := range data.Labels {
		sum[label] += data.X.Row(i)[0]
		n[label]++
	}
	c.At = (sum[0]/n[0] + sum[1]/n[1]) / 2
	o.Progress(sdk.FitProgress{Epoch: 1, Step: 1, Steps: 1, Metrics: map[string]float64{"at": float64(c.At)}})
	config, err := json.Marshal(c)
	if err != nil {
		return sdk.FitDone{}, err
	}
	err = os.WriteFile(filepath.Join(o.OutputDir, "cut.json"), config, 0o600)
	return sdk.FitDone{ConfigJSON: config, Files: []sdk.FitFile{{Name: "cut.json"}}}, err
}

// A config is checked against the schema before Configure sees it; both answer
// with the place of each fault.
func ExampleConfigurable() {
	c := &cut{}
	for _, text := range []string{`{"at": -1}`, `{"at": 0}`, `{"at": 0.75}`} {
		config := sdk.Config{JSON: []byte(text)}
		err := sdk.CheckConfig(c.Schema(), config.JSON) // the SDK does this before Configure
		if err == nil {
			err = c.Configure(context.Background(), config)
		}
		fmt.Printf("%s: %v\n", text, err)
	}
	// Output:
	// {"at": -1}: /at: minimum: got -1, want 0
	// {"at": 0}: /at: nothing would be below it
	// {"at": 0.75}: <nil>
}

// Fit trains, reports, and gives back the config of the trained classifier.
func ExampleTrainable() {
	dir, err := os.MkdirTemp("", "cut")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	rows := sdk.TrainingData{X: tensor.From([]float32{0, 0.25, 0.5, 0.75}, 4, 1), Labels: []int{0, 0, 1, 1}}
	done, err := (&cut{}).Fit(context.Background(), rows, sdk.FitOptions{
		OutputDir: dir,
		Progress:  func(p sdk.FitProgress) { fmt.Println("epoch", p.Epoch, p.Metrics) },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(string(done.ConfigJSON), done.Files[0].Name)
	// Output:
	// epoch 1 map[at:0.375]
	// {"at":0.375} cut.json
}

// An error keeps its kind on the way to the host, which acts on it: a batch
// that is too large is halved and tried again.
func ExampleErrorf() {
	err := fmt.Errorf("layer 3: %w", sdk.Errorf(sdk.ResourceExhausted, "no memory for %d rows", 4096))
	fmt.Println(err)
	fmt.Println(errors.Is(err, sdk.ResourceExhausted), sdk.KindOf(err))
	// Output:
	// layer 3: no memory for 4096 rows
	// true resource exhausted
}

// What an author forgot is said in words.
func ExampleInfo_Validate() {
	i, err := threshold{}.Info(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	i.Layout, i.Gradient = sdk.Flat, sdk.ExactGradient // the SDK fills these in
	fmt.Println(i.Validate())
	i.Classes = []string{"low", "middle", "high"}
	fmt.Println(i.Validate())
	// Output:
	// <nil>
	// 3 class names for 2 classes
}

// Paths in a config are relative to the folder of the file that names them.
func ExampleConfig_Path() {
	c := sdk.Config{BaseDir: filepath.FromSlash("specs/mnist")}
	fmt.Println(filepath.ToSlash(c.Path("weights/w.bin")))
	// Output: specs/mnist/weights/w.bin
}
