package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/atomicfile"
)

// exportFormat is what export writes.
const exportFormat = "onnx"

func (a *app) exportCommand() *cobra.Command {
	var open openFlags
	var out, format string
	var o host.ExportOptions
	c := &cobra.Command{
		Use:   "export DETECTOR --out X.onnx",
		Short: "Write a detector as ONNX, to be run without vaeguard",
		Long: "export writes a detector as ONNX graphs, opset 17 or the classifier's, which ONNX Runtime, Triton or TensorRT run.\n" +
			"With --with-classifier it is one graph, X.onnx: raw rows x (n, …), float32, in; is_adversarial, instance_score,\n" +
			"p_value, predicted, reconstructed and corrected out, each (n). That takes a shipped classifier: mlp, cnn, or onnx\n" +
			"with a free batch. Without it there are two: X.before.onnx makes of x the tensor rows, which the classifier answers;\n" +
			"X.after.onnx makes the verdict of the other outputs of the first and those answers, output. The preparation of\n" +
			"rows, the noise, the scores and the threshold are inside. Numbers differ from detect's by rounding alone.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if format != exportFormat {
				return usagef("--format is %q, want %s", format, exportFormat)
			}
			if filepath.Ext(out) != ".onnx" {
				return usagef("export needs --out X.onnx")
			}
			d, err := host.OpenContext(cmd.Context(), args[0], a.c, open.options(a))
			if err != nil {
				return err
			}
			defer func() { _ = d.Close() }()
			e, err := d.Export(cmd.Context(), o)
			if err != nil {
				return err
			}
			a.progress().Wait()
			return a.writeExported(e, out)
		},
	}
	c.Flags().StringVar(&out, "out", "", "file to write, X.onnx")
	c.Flags().StringVar(&format, "format", exportFormat, exportFormat)
	c.Flags().BoolVar(&o.Classifier, "with-classifier", false, "one graph with the classifier in it")
	open.add(c)
	return c
}

func (a *app) writeExported(e *host.Exported, out string) error {
	base := strings.TrimSuffix(out, ".onnx")
	files := []struct {
		path string
		data []byte
	}{{out, e.Guard}, {base + ".before.onnx", e.Before}, {base + ".after.onnx", e.After}}
	var written []map[string]any
	for _, f := range files {
		if f.data == nil {
			continue
		}
		if err := atomicfile.Write(f.path, func(w *os.File) error { _, err := w.Write(f.data); return err }); err != nil {
			return err
		}
		written = append(written, map[string]any{"file": f.path, "bytes": len(f.data)})
		if !a.json {
			fmt.Fprintf(a.stdout, "%s  %d bytes\n", f.path, len(f.data))
		}
	}
	if a.json {
		return json.NewEncoder(a.stdout).Encode(map[string]any{"files": written})
	}
	return nil
}
