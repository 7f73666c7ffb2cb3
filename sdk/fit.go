package sdk

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"google.golang.org/grpc"

	"github.com/vaeguard/vaeguard/sdk/proto"
	"github.com/vaeguard/vaeguard/sdk/tensor"
	"github.com/vaeguard/vaeguard/sdk/wire"
)

func (s *server) Fit(stream grpc.BidiStreamingServer[proto.FitRequest, proto.FitEvent]) error {
	trainable, ok := s.c.(Trainable)
	if !ok {
		return Errorf(Unimplemented, "this classifier cannot be trained")
	}
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	m := first.GetOptions()
	if m == nil {
		return Errorf(InvalidArgument, "fit: the first message has no options")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	data, err := gather(stream, m)
	if err != nil {
		return err
	}
	s.forget()
	var sending sync.Mutex
	var lost error
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	o := FitOptions{JSON: m.OptionsJson, Seed: m.Seed, OutputDir: m.OutputDir, Progress: func(p FitProgress) {
		sending.Lock()
		defer sending.Unlock()
		e := &proto.FitProgress{Epoch: int64(p.Epoch), Step: int64(p.Step), Steps: int64(p.Steps), Metrics: p.Metrics}
		if err := stream.Send(&proto.FitEvent{Event: &proto.FitEvent_Progress{Progress: e}}); err != nil && lost == nil {
			lost = err
			cancel() // the receiver is gone
		}
	}}
	done, err := trainable.Fit(ctx, data, o)
	if err != nil {
		return err
	}
	if err := digestFiles(o.OutputDir, done.Files); err != nil {
		return err
	}
	e := &proto.FitDone{ConfigJson: done.ConfigJSON, Digest: done.Digest}
	for _, f := range done.Files {
		e.Files = append(e.Files, &proto.FitFile{Name: f.Name, Sha256: f.SHA256})
	}
	sending.Lock()
	defer sending.Unlock()
	return stream.Send(&proto.FitEvent{Event: &proto.FitEvent_Done{Done: e}})
}

// gather collects the rows that the options announce.
func gather(stream grpc.BidiStreamingServer[proto.FitRequest, proto.FitEvent], m *proto.FitOptions) (TrainingData, error) {
	if m.NTrain < 1 || m.NValidation < 0 || m.NTrain > wire.MaxElements || m.NValidation > wire.MaxElements {
		return TrainingData{}, Errorf(InvalidArgument, "fit: %d training and %d validation rows", m.NTrain, m.NValidation)
	}
	var train, val rows
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return TrainingData{}, err
		}
		part := r.GetRows()
		if part == nil {
			return TrainingData{}, Errorf(InvalidArgument, "fit: a message without rows")
		}
		to, n := &train, m.NTrain
		switch part.Split {
		case proto.Split_TRAIN:
		case proto.Split_VALIDATION:
			to, n = &val, m.NValidation
		default:
			return TrainingData{}, Errorf(InvalidArgument, "fit: rows of split %v", part.Split)
		}
		if err := to.add(part, int(n)); err != nil {
			return TrainingData{}, err
		}
	}
	if int64(train.n()) != m.NTrain || int64(val.n()) != m.NValidation {
		return TrainingData{}, Errorf(InvalidArgument, "fit: %d + %d rows came, %d + %d were announced", train.n(), val.n(), m.NTrain, m.NValidation)
	}
	d := TrainingData{X: train.tensor(), Labels: train.labels}
	if val.n() > 0 {
		if !val.example.Equal(train.example) {
			return TrainingData{}, Errorf(InvalidArgument, "fit: validation rows of shape %v, training rows of %v", val.example, train.example)
		}
		d.ValX, d.ValLabels = val.tensor(), val.labels
	}
	return d, nil
}

// rows grow as they come: what was announced is not believed before it is there.
type rows struct {
	example tensor.Shape
	data    []float32
	labels  []int
}

func (r *rows) n() int { return len(r.labels) }

func (r *rows) tensor() *tensor.Tensor {
	return tensor.From(r.data, append([]int{r.n()}, r.example...)...)
}

func (r *rows) add(m *proto.FitRows, announced int) error {
	x, err := decode("x", m.X)
	if err != nil {
		return err
	}
	if len(x.Shape) < 2 || x.Stride() == 0 {
		return Errorf(InvalidArgument, "fit: rows of shape %v, want N×(input…)", x.Shape)
	}
	labels, err := wire.DecodeLabels(m.Labels, x.N())
	if err != nil {
		return Errorf(InvalidArgument, "%v", err)
	}
	if r.example == nil {
		r.example = x.Example().Clone()
	}
	if !r.example.Equal(x.Example()) {
		return Errorf(InvalidArgument, "fit: rows of shape %v after rows of shape %v", x.Example(), r.example)
	}
	if r.n()+x.N() > announced {
		return Errorf(InvalidArgument, "fit: more rows than the %d announced", announced)
	}
	if i := wire.NotFinite(x.Data); i >= 0 {
		return Errorf(InvalidArgument, "fit: row %d, feature %d is %v", r.n()+i/x.Stride(), i%x.Stride(), x.Data[i])
	}
	for i, l := range labels {
		if l < 0 {
			return Errorf(InvalidArgument, "fit: label %d of row %d is negative", l, r.n()+i)
		}
	}
	r.data = append(r.data, x.Data...)
	r.labels = append(r.labels, labels...)
	return nil
}

// digestFiles fills in the digests that the author left out, and refuses files
// that are not where the classifier says.
func digestFiles(dir string, files []FitFile) error {
	for i, f := range files {
		name := filepath.FromSlash(f.Name)
		if !filepath.IsLocal(name) {
			return Errorf(Internal, "fit: file %q is outside the output folder", f.Name)
		}
		sum, err := fileDigest(filepath.Join(dir, name))
		if err != nil {
			return Errorf(Internal, "fit: %w", err)
		}
		if f.SHA256 != "" && f.SHA256 != sum {
			return Errorf(Internal, "fit: file %s has sha256 %s, the classifier says %s", f.Name, sum, f.SHA256)
		}
		files[i].SHA256 = sum
	}
	return nil
}

func fileDigest(path string) (sum string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("reading %s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
