package remote

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/proto"
	"github.com/vaeguard/vaeguard/sdk/tensor"
	"github.com/vaeguard/vaeguard/sdk/wire"
)

// Fit sends the rows and reports progress until the plugin is done.
func (c *Client) Fit(ctx context.Context, data sdk.TrainingData, o sdk.FitOptions) (sdk.FitDone, error) {
	if err := sendable("the folder of its training", o.OutputDir); err != nil {
		return sdk.FitDone{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.rpc.Fit(ctx)
	if err != nil {
		return sdk.FitDone{}, c.fromStatus(err)
	}
	sent := make(chan error, 1)
	go func() { sent <- sendFit(stream, data, o) }()
	for {
		e, err := stream.Recv()
		if err != nil {
			select {
			case failed := <-sent: // an EOF of Send: Recv has the cause
				if failed != nil && !errors.Is(failed, io.EOF) {
					return sdk.FitDone{}, c.fromStatus(failed)
				}
			default:
			}
			if errors.Is(err, io.EOF) {
				return sdk.FitDone{}, sdk.Errorf(sdk.Internal, "fit: the plugin ended the stream before it was done")
			}
			return sdk.FitDone{}, c.fromStatus(err)
		}
		if p := e.GetProgress(); p != nil && o.Progress != nil {
			o.Progress(sdk.FitProgress{Epoch: int(p.Epoch), Step: int(p.Step), Steps: int(p.Steps), Metrics: c.metrics(p.Metrics)})
		}
		if m := e.GetDone(); m != nil {
			if len(m.Files) > wire.MaxFiles || len(m.Digest) > wire.MaxName || !wire.Plain(m.Digest) {
				return sdk.FitDone{}, sdk.Errorf(sdk.Internal, "fit: %d files, want at most %d, and the digest %q", len(m.Files), wire.MaxFiles, wire.Text(c.shown(m.Digest), wire.MaxName))
			}
			if values(m.ConfigJson) > maxValues {
				return sdk.FitDone{}, sdk.Errorf(sdk.Internal, "fit: the config that it ends with has more than %d values", maxValues)
			}
			done := sdk.FitDone{ConfigJSON: m.ConfigJson, Digest: m.Digest}
			for _, f := range m.Files {
				done.Files = append(done.Files, sdk.FitFile{Name: f.Name, SHA256: f.Sha256})
			}
			return done, nil
		}
	}
}

// metrics are those of an event by names that may stand in a line, the first of
// too many.
func (c *Client) metrics(m map[string]float64) map[string]float64 {
	out := make(map[string]float64, min(len(m), wire.MaxMetrics))
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if len(out) == wire.MaxMetrics {
			break
		}
		out[wire.Text(c.shown(name), wire.MaxName)] = m[name]
	}
	return out
}

func sendFit(stream proto.Classifier_FitClient, data sdk.TrainingData, o sdk.FitOptions) error {
	m := &proto.FitOptions{OptionsJson: o.JSON, Seed: o.Seed, OutputDir: o.OutputDir, NTrain: int64(data.X.N())}
	if data.ValX != nil {
		m.NValidation = int64(data.ValX.N())
	}
	if err := stream.Send(&proto.FitRequest{Step: &proto.FitRequest_Options{Options: m}}); err != nil {
		return err
	}
	if err := sendRows(stream, data.X, data.Labels, proto.Split_TRAIN); err != nil {
		return err
	}
	if data.ValX != nil {
		if err := sendRows(stream, data.ValX, data.ValLabels, proto.Split_VALIDATION); err != nil {
			return err
		}
	}
	return stream.CloseSend()
}

func sendRows(stream proto.Classifier_FitClient, x *tensor.Tensor, labels []int, split proto.Split) error {
	const overhead = 1 << 12 // shape, tags and lengths
	step := max(1, (wire.FitMessage-overhead)/max(1, 4*x.Stride()+8))
	for lo := 0; lo < x.N(); lo += step {
		hi := min(lo+step, x.N())
		m := &proto.FitRows{X: wire.Encode(x.Rows(lo, hi)), Labels: wire.EncodeLabels(labels[lo:hi]), Split: split}
		if err := stream.Send(&proto.FitRequest{Step: &proto.FitRequest_Rows{Rows: m}}); err != nil {
			return err
		}
	}
	return nil
}
