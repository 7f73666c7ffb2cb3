package main

import (
	"archive/zip"
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/vaeguard/vaeguard/host/artifact"
)

// hostileNames are names that would be lines of the program's own, or orders to a
// terminal, wherever a file has them.
func hostileNames(t *testing.T, guards map[string]string) []hostile {
	t.Helper()
	pixel := pngOf(8, 8, 8, 0, pngChunk("IDAT", deflated(t, 72)))
	network, err := os.ReadFile("../../../builtin/classifiers/onnx/testdata/mlp.onnx")
	if err != nil {
		t.Fatal(err)
	}
	folder := func(all map[string][]byte) met {
		m := files(all, 1, "detect", "PHOTOS", "--data", "photos", "--quiet")
		put := m.put
		m.put = func(t *testing.T, dir string) {
			if runtime.GOOS == "windows" {
				t.Skip("files have no such names")
			}
			put(t, dir)
		}
		return m
	}
	classes := met{code: 1, args: []string{"inspect", "forged"}, put: func(t *testing.T, dir string) {
		saved, err := artifact.Load(guards["GUARD"])
		if err != nil {
			t.Fatal(err)
		}
		saved.Meta.Classifier.Name = forged
		for i := range saved.Meta.Classifier.Labels {
			saved.Meta.Classifier.Labels[i] = forged
		}
		if err := artifact.Save(filepath.Join(dir, "forged"), saved, false); err != nil {
			t.Fatal(err)
		}
	}}
	json := strings.NewReplacer("\n", `\n`, "\r", `\r`, "\x1b", `\u001b`, "\a", `\u0007`).Replace(forged)
	header := `"` + forged + `",b,c,d` + "\n1,2,3,4\n"
	detect := func(name string, data []byte) met {
		return file(name, data, 1, "detect", "GUARD", "--data", name, "--quiet")
	}
	return []hostile{
		{"name", "of a picture", folder(map[string][]byte{"photos/a.png": pixel, "photos/" + forged + ".png": []byte("MZ")}), "not an image"},
		{"name", "of a picture, the only one", folder(map[string][]byte{"photos/" + forged + ".png": []byte("MZ")}), "not an image"},
		{"name", "of a file beside pictures", folder(map[string][]byte{"photos/a.png": pixel, "photos/" + forged: nil}), ""},
		{"name", "of a class of pictures", folder(map[string][]byte{"photos/" + forged + "/a.png": pixel, "photos/b/a.png": pixel}), ""},
		{"name", "of an array", file("x.npz", zipOf(zip.FileHeader{Name: forged + ".npy"}, npyOf(sound, 16)), 1, "read", "rows", "x.npz:y"), `no array "y"`},
		{"name", "of a column of CSV", detect("x.csv", []byte(header)), "no column"},
		{"name", "of a column of CSV with a word", file("x.csv", []byte(`"`+forged+`",b`+"\nlow,2\n"), 1, "read", "rows", "x.csv"), "is not a number"},
		{"name", "of a key of JSON", detect("x.jsonl", []byte(`{"`+json+`": 1}`+"\n")), "the object has no such key"},
		{"name", "of a column of Arrow", detect("x.arrows", arrowStream(t, []arrow.Field{{Name: forged, Type: arrow.PrimitiveTypes.Float64}})), "no column"},
		{"name", "of a column of Arrow of dates", file("x.arrows", arrowStream(t, []arrow.Field{{Name: forged, Type: arrow.FixedWidthTypes.Date32}}), 1, "read", "rows", "x.arrows"), "is of type date32"},
		{"name", "of an operator", files(map[string][]byte{"m.onnx": bytes.ReplaceAll(network, []byte("Gemm"), []byte("\x1b[2J")), "m.json": []byte(`{"model": "m.onnx"}`)}, 4, "plugin", "check", "onnx", "--config", "m.json"), "operator"},
		{"name", "of a key of a spec", file("x.yaml", []byte("api_version: vaeguard/v1\nkind: Experiment\nname: x\n\""+json+"\": 1\n"), 2, "lint", "x.yaml"), "unknown"},
		{"name", "of a plugin", files(map[string][]byte{"p/plugin.yaml": []byte("name: \"" + json + "\"\nversion: 1.0.0\nsummary: x\ncommand: [./x]\n")}, 4, "plugin", "check", "./p"), "name"},
		{"name", "of a classifier and its classes", classes, "is no name"},
	}
}
