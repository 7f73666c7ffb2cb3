package cli

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/artifact"
	"github.com/vaeguard/vaeguard/host/detect"
)

func (a *app) inspectCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "inspect DETECTOR",
		Short: "Verify a detector and print what it is",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			saved, err := artifact.Load(args[0])
			if err != nil {
				return err
			}
			e, err := host.Reopen(saved, a.c)
			if err != nil {
				return err
			}
			return a.printSaved(e, saved)
		},
	}
}

// printDetector prints what a detector is, after training or calibration.
func (a *app) printDetector(_ context.Context, d *host.Detector) error {
	a.progress().Wait()
	return a.printSaved(d.Experiment, d.Saved)
}

func (a *app) printSaved(e *host.Experiment, saved *artifact.Detector) error {
	layers, err := e.DescribeFor(saved.Meta.InputShape, saved.Meta.Classifier.Classes)
	if err != nil {
		return err
	}
	if a.json {
		meta := resultMeta{Name: methodName(saved.Meta.Method), DetectorType: "adversarial", DataType: e.Spec.Detector.DataType,
			Version: host.Version(), Detector: saved.Digest}
		if saved.Meta.Threshold != nil {
			meta.Threshold = saved.Meta.Threshold.Value
		}
		return json.NewEncoder(a.stdout).Encode(map[string]any{"meta": meta, "detector": saved.Meta, "layers": layerRows(layers)})
	}
	m := saved.Meta
	fmt.Fprintf(a.stdout, "detector    %s  %s\n", saved.Dir, saved.Digest)
	fmt.Fprintf(a.stdout, "spec        %s, method %s\n", m.Name, m.Method)
	fmt.Fprintf(a.stdout, "classifier  %s %s, %d classes, %s  %s\n", m.Classifier.Name, m.Classifier.Version, m.Classifier.Classes, m.Classifier.Output, m.Classifier.Digest)
	fmt.Fprintf(a.stdout, "input       %v\n", m.InputShape)
	if m.Samples > 0 {
		fmt.Fprintf(a.stdout, "samples     %d stored noise draws of width %d\n", m.Samples, m.LatentDim)
	}
	if t := m.Threshold; t != nil {
		fmt.Fprintf(a.stdout, "threshold   %.6g%s\n", t.Value, thresholdText(t))
	} else {
		fmt.Fprintln(a.stdout, "threshold   none: set one with vaeguard calibrate")
	}
	if len(layers) > 0 {
		a.printLayers(layers)
	}
	return nil
}

func thresholdText(t *artifact.Threshold) string {
	switch {
	case t.FPR != nil && t.Confidence != nil:
		return fmt.Sprintf("  false-alarm rate at most %g with probability %g (number %d of %d calibration scores)", *t.FPR, *t.Confidence, t.Rank, t.N)
	case t.FPR != nil:
		return fmt.Sprintf("  expected false-alarm rate at most %g (number %d of %d calibration scores)", *t.FPR, t.Rank, t.N)
	case t.Percentile != nil:
		return fmt.Sprintf("  percentile %g of %d calibration scores", *t.Percentile, t.N)
	}
	return "  as given"
}

func methodName(method string) string {
	switch detect.Method(method) {
	case detect.VAE:
		return "AdversarialVAE"
	case detect.AE:
		return "AdversarialAE"
	case detect.Distillation:
		return "ModelDistillation"
	}
	return method
}
