package network

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"

	"github.com/vaeguard/vaeguard/builtin/optimizers"
	"github.com/vaeguard/vaeguard/host/artifact/safetensors"
	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/spec"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Training are the options of a Fit: the spec's classifier.train.
type Training struct {
	Epochs               int            `yaml:"epochs" doc:"passes over the data" check:">= 1"`
	BatchSize            int            `yaml:"batch_size" doc:"rows per step" check:">= 1, <= 1048576"`
	Optimizer            nn.Optimizer   `yaml:"optimizer" doc:"update rule; default: adam"`
	LearningRate         float64        `yaml:"learning_rate" doc:"0: the optimizer's own" check:">= 0"`
	LearningRateSchedule nn.Schedule    `yaml:"learning_rate_schedule" doc:"learning rate over time"`
	ClipNorm             float64        `yaml:"clip_norm" doc:"largest L2 norm of a weight's gradient; 0: no limit" check:">= 0"`
	EarlyStopping        *EarlyStopping `yaml:"early_stopping" doc:"stop when nothing improves, and keep the best weights"`
}

// EarlyStopping ends a training without improvement.
type EarlyStopping struct {
	Monitor  string  `yaml:"monitor" enum:"val_loss|val_accuracy|loss|accuracy" default:"val_loss" doc:"what should improve"`
	Patience int     `yaml:"patience" check:">= 0" default:"3" doc:"epochs without improvement"`
	MinDelta float64 `yaml:"min_delta" check:">= 0" doc:"smallest improvement that counts"`
}

// DefaultTraining are the options that a spec leaves out: 5 epochs of Adam, 128
// rows per step.
func DefaultTraining() Training {
	adam, err := optimizers.Table().Lookup("adam")
	if err != nil {
		panic("network: the optimizers that ship have no adam")
	}
	return Training{Epochs: 5, BatchSize: 128, Optimizer: adam}
}

// weightsFile is what a Fit writes.
const weightsFile = "weights.safetensors"

// Fit implements sdk.Trainable: cross-entropy on logits, the rows shuffled
// again each epoch. It starts from the config's weights, or afresh from the
// seed.
func (c *Classifier) Fit(ctx context.Context, data sdk.TrainingData, o sdk.FitOptions) (sdk.FitDone, error) {
	t := DefaultTraining()
	if err := spec.DecodeJSON(o.JSON, &t, optimizers.Table(), optimizers.Schedules()); err != nil {
		return sdk.FitDone{}, diagnostics(err)
	}
	c.mu.RLock()
	arch, config, shape, classes := c.arch, c.config, c.shape, c.classes
	c.mu.RUnlock()
	if arch == nil {
		return sdk.FitDone{}, sdk.Errorf(sdk.FailedPrecondition, "%s: not configured", c.name)
	}
	if err := checkData(data, shape, classes, t.EarlyStopping); err != nil {
		return sdk.FitDone{}, err
	}
	n, err := build(arch, shape, classes, o.Seed)
	if err != nil {
		return sdk.FitDone{}, err
	}
	shared := arch.Shared()
	if shared.Weights != "" {
		if err := n.load(config.Path(shared.Weights), shared.Scale == "standard"); err != nil {
			return sdk.FitDone{}, sdk.Diagnostics{{Pointer: "/weights", Message: err.Error()}}
		}
	} else if shared.Scale == "standard" {
		n.standardize(data.X)
	}
	k, err := kernel.New(kernel.Options{})
	if err != nil {
		return sdk.FitDone{}, err
	}
	defer k.Close()
	f := &fit{Training: t, net: n, k: k, data: data, seed: o.Seed, progress: o.Progress}
	if err := f.run(ctx); err != nil {
		return sdk.FitDone{}, err
	}
	if err := n.sealFor(config.JSON); err != nil {
		return sdk.FitDone{}, err
	}
	done, err := n.save(o.OutputDir, config.JSON)
	if err != nil {
		return sdk.FitDone{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.replace(n)
	return done, nil
}

func checkData(data sdk.TrainingData, shape tensor.Shape, classes int, stop *EarlyStopping) error {
	rows := func(what string, x *tensor.Tensor, labels []int) error {
		if x.N() != len(labels) {
			return sdk.Errorf(sdk.InvalidArgument, "%s: %d rows and %d labels", what, x.N(), len(labels))
		}
		if !x.Example().Equal(shape) {
			return sdk.Errorf(sdk.InvalidArgument, "%s: rows are %v, want %v", what, x.Example(), shape)
		}
		for i, l := range labels {
			if l < 0 || l >= classes {
				return sdk.Errorf(sdk.InvalidArgument, "%s: label %d of row %d, want 0 … %d", what, l, i, classes-1)
			}
		}
		return nil
	}
	if data.X == nil || data.X.N() == 0 {
		return sdk.Errorf(sdk.InvalidArgument, "no training rows")
	}
	if err := rows("training data", data.X, data.Labels); err != nil {
		return err
	}
	if data.ValX != nil && data.ValX.N() > 0 {
		return rows("validation data", data.ValX, data.ValLabels)
	}
	if stop != nil && (stop.Monitor == "val_loss" || stop.Monitor == "val_accuracy") {
		return sdk.Diagnostics{{Pointer: "/early_stopping", Message: "monitors " + stop.Monitor + ", and there are no validation rows"}}
	}
	return nil
}

// save writes the weights and says how to have them again.
func (n *net) save(dir string, config []byte) (sdk.FitDone, error) {
	path := filepath.Join(dir, weightsFile)
	if err := safetensors.Write(path, n.tensors(), nil); err != nil {
		return sdk.FitDone{}, err
	}
	sum, err := fileSum(path)
	if err != nil {
		return sdk.FitDone{}, err
	}
	m, err := settings(config)
	if err != nil {
		return sdk.FitDone{}, err
	}
	m["weights"], m["input_shape"], m["classes"] = weightsFile, n.in, n.Out().Size()
	data, err := json.Marshal(m)
	if err != nil {
		return sdk.FitDone{}, err
	}
	return sdk.FitDone{ConfigJSON: data, Files: []sdk.FitFile{{Name: weightsFile, SHA256: sum}}, Digest: n.digest}, nil
}

func fileSum(path string) (sum string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }() // read only
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// fit is a running training.
type fit struct {
	Training
	net      *net
	k        *kernel.Engine
	data     sdk.TrainingData
	seed     uint64
	progress func(sdk.FitProgress)

	work    *nn.Workspace
	grads   *nn.Grads
	state   *nn.OptimizerState
	x, dy   *tensor.Tensor // of one batch
	labels  []int
	numbers []uint64 // of a batch's rows

	best  float64
	saved [][]float32 // weights of the best epoch
	worse int         // epochs since
}

// reports is how often an epoch reports.
const reports = 20

func (f *fit) run(ctx context.Context) error {
	n := f.data.X.N()
	size := min(f.BatchSize, n)
	params := f.net.Params()
	f.work = nn.NewWorkspace(f.k, f.net, size, nn.Training)
	f.work.ParamsOnly = true
	f.grads, f.state = nn.NewGrads(params), nn.NewOptimizerState(f.Optimizer, params)
	f.x, f.dy = tensor.Batch(size, f.net.in), tensor.Batch(size, f.net.Out())
	f.labels, f.numbers = make([]int, size), make([]uint64, size)
	rate := f.LearningRate
	if rate == 0 {
		rate = f.Optimizer.Rate()
	}
	steps := (n + size - 1) / size
	every := max(1, steps/reports)
	for epoch := 1; epoch <= f.Epochs; epoch++ {
		order := rand.New(rand.NewPCG(f.seed, uint64(epoch))).Perm(n)
		loss, right, seen := 0.0, 0, 0
		for step := range steps {
			if err := ctx.Err(); err != nil {
				return err
			}
			rows := order[step*size : min((step+1)*size, n)]
			done := (epoch-1)*steps + step
			lr := rate
			if f.LearningRateSchedule != nil {
				lr = f.LearningRateSchedule.At(rate, done, f.Epochs*steps)
			}
			l, correct := f.step(rows, uint64(done), lr)
			if math.IsNaN(l) || math.IsInf(l, 0) {
				return sdk.Errorf(sdk.Internal, "training diverged: the loss is %v at step %d of epoch %d; a lower learning_rate may help", l, step+1, epoch)
			}
			loss += float64(l * float64(len(rows)))
			right += correct
			seen += len(rows)
			if (step+1)%every == 0 && step+1 < steps {
				f.report(epoch, step+1, steps, metrics(loss, right, seen))
			}
		}
		m := metrics(loss, right, seen)
		if f.data.ValX != nil && f.data.ValX.N() > 0 {
			val, err := f.validate(ctx)
			if err != nil {
				return err
			}
			m["val_loss"], m["val_accuracy"] = val["loss"], val["accuracy"]
		}
		f.report(epoch, steps, steps, m)
		if f.stop(m) {
			break
		}
	}
	for i, v := range f.saved {
		copy(params[i].Value.Data, v)
	}
	return nil
}

func (f *fit) report(epoch, step, steps int, m map[string]float64) {
	if f.progress != nil {
		f.progress(sdk.FitProgress{Epoch: epoch, Step: step, Steps: steps, Metrics: m})
	}
}

func metrics(loss float64, right, n int) map[string]float64 {
	return map[string]float64{"loss": loss / float64(n), "accuracy": float64(right) / float64(n)}
}

// step learns from some rows and returns their loss, regularisers included,
// and how many were right.
func (f *fit) step(rows []int, number uint64, lr float64) (float64, int) {
	n := len(rows)
	x, dy := f.x.Rows(0, n), f.dy.Rows(0, n)
	for i, r := range rows {
		copy(x.Row(i), f.data.X.Row(r))
		f.labels[i], f.numbers[i] = f.data.Labels[r], uint64(r)
	}
	f.work.Draw = nn.Draw{Seed: f.seed, Step: number, Examples: f.numbers[:n]}
	f.grads.Zero()
	loss, right := nn.CrossEntropy(f.k, dy, f.net.Forward(f.work, x), f.labels[:n])
	f.net.Backward(f.work, dy, f.grads)
	loss += f.grads.Penalty(f.k)
	if f.ClipNorm > 0 {
		f.grads.ClipNorm(f.k, f.ClipNorm)
	}
	f.state.Step(f.k, f.grads, lr)
	return loss, right
}

// validate is the loss and accuracy on the validation rows.
func (f *fit) validate(ctx context.Context) (map[string]float64, error) {
	y, err := f.net.logits(ctx, f.data.ValX)
	if err != nil {
		return nil, err
	}
	loss, right := nn.CrossEntropy(f.k, y, y, f.data.ValLabels)
	return metrics(loss*float64(y.N()), right, y.N()), nil
}

// stop keeps the best weights and says whether to end.
func (f *fit) stop(m map[string]float64) bool {
	if f.EarlyStopping == nil {
		return false
	}
	value := m[f.EarlyStopping.Monitor]
	if f.EarlyStopping.Monitor == "accuracy" || f.EarlyStopping.Monitor == "val_accuracy" {
		value = -value
	}
	if f.saved == nil || value < f.best-f.EarlyStopping.MinDelta {
		f.best, f.worse, f.saved = value, 0, f.saved[:0]
		for _, p := range f.net.Params() {
			f.saved = append(f.saved, slices.Clone(p.Value.Data))
		}
		return false
	}
	f.worse++
	return f.worse > f.EarlyStopping.Patience
}
