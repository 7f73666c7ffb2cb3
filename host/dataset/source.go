package dataset

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// opened is a source of rows and where their labels are, if anywhere.
type opened struct {
	rows
	y        *Array // labels beside the rows
	yName    string // of the file that y was read from
	features []string
	closer   io.Closer // besides the rows
}

func (o *opened) close() error {
	err := o.rows.close()
	if o.closer != nil {
		err = errors.Join(err, o.closer.Close())
	}
	return err
}

// splitKey parts x.npz:KEY into file and key.
func splitKey(path string) (file, key string) {
	if i := strings.LastIndex(path, ".npz:"); i >= 0 {
		return path[:i+4], path[i+5:]
	}
	return path, ""
}

// formatOf is the format of the file or folder at path, by its extension or
// else its first bytes: npy, npz, csv, parquet, jsonl, idx, folder, cifar10.
func formatOf(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if info.IsDir() {
		for _, f := range []string{"test_batch.bin", "data_batch_1.bin", "cifar-10-batches-bin"} {
			if _, err := os.Stat(filepath.Join(path, f)); err == nil {
				return "cifar10", nil
			}
		}
		return "folder", nil
	}
	ext := strings.ToLower(filepath.Ext(strings.TrimSuffix(path, ".gz")))
	switch ext {
	case ".npy", ".npz", ".csv", ".parquet", ".jsonl":
		return ext[1:], nil
	case ".tsv":
		return "csv", nil
	case ".json", ".ndjson":
		return "jsonl", nil
	}
	f, err := openRegular(path)
	if err != nil {
		return "", err
	}
	head := make([]byte, 4)
	n, err := io.ReadFull(f, head)
	if err := errors.Join(f.Close()); err != nil {
		return "", err
	}
	if err != nil {
		head = head[:n]
	}
	switch {
	case bytes.HasPrefix(head, []byte(npyMagic[:4])):
		return "npy", nil
	case bytes.HasPrefix(head, []byte("PK")):
		return "npz", nil
	case string(head) == "PAR1":
		return "parquet", nil
	case bytes.HasPrefix(head, []byte{0, 0}), bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		return "idx", nil
	}
	return "", fmt.Errorf("%s: unknown format, want .npy, .npz, .csv, .parquet, .jsonl, IDX or a folder of images", path)
}

// openSource opens the rows of a source that is no named set. split matters
// to CIFAR-10 alone.
func openSource(src Source, baseDir string) (*opened, error) {
	at := func(path string) string {
		if filepath.IsAbs(path) {
			return path
		}
		return filepath.Join(baseDir, path)
	}
	if src.Labels == "" {
		src.Labels = src.Y
	} else if src.Y != "" {
		return nil, errors.New("want either labels or y")
	}
	var o *opened
	var err error
	switch {
	case src.Folder != "":
		o, err = openFormat("folder", at(src.Folder), "", src)
	case src.CIFAR10 != "":
		o, err = openFormat("cifar10", at(src.CIFAR10), "", src)
	case src.IDX != "":
		o, err = openFormat("idx", at(src.IDX), "", src)
	default:
		file, key := splitKey(src.File)
		if src.X != "" {
			key = src.X
		}
		var format string
		if format, err = formatOf(at(file)); err == nil {
			o, err = openFormat(format, at(file), key, src)
		}
	}
	if err != nil {
		return nil, err
	}
	if src.Labels == "" || o.y != nil {
		return o, nil
	}
	labels, classes, err := ReadLabels(at(src.Labels), o.count())
	if err != nil {
		return nil, errors.Join(err, o.close())
	}
	o.setLabels(at(src.Labels), labels, classes)
	return o, nil
}

// setLabels keeps labels already read as an array again: text if they had
// names.
func (o *opened) setLabels(name string, labels []int, classes []string) {
	o.yName = name
	if classes == nil {
		data := make([]int64, len(labels))
		for i, y := range labels {
			data[i] = int64(y)
		}
		o.y = &Array{Shape: []int{len(labels)}, Data: data}
		return
	}
	data := make([]string, len(labels))
	for i, y := range labels {
		data[i] = classes[y]
	}
	o.y = &Array{Shape: []int{len(labels)}, Data: data}
}

// openFormat opens the rows of one file or folder.
func openFormat(format, path, key string, src Source) (*opened, error) {
	switch format {
	case "npz":
		return openNPZRows(path, key, src.Labels)
	case "folder":
		r, err := openFolder(path)
		return wrap(r, nil, err)
	case "cifar10":
		r, err := openCIFAR10(path, src.Split)
		return wrap(r, nil, err)
	case "parquet":
		return openParquet(path, src.Label)
	}
	c, err := openContent(path)
	if err != nil {
		return nil, err
	}
	o, err := contentRows(format, c, src.Label)
	if err != nil {
		return nil, errors.Join(err, c.close())
	}
	return o, nil
}

// contentRows reads one of the formats that stream.
func contentRows(format string, c *content, label string) (*opened, error) {
	switch format {
	case "npy":
		r, err := newNPYRows(c)
		return wrap(r, nil, err)
	case "idx":
		r, err := newIDXRows(c)
		return wrap(r, nil, err)
	case "jsonl":
		r, err := newJSONRows(c, nil)
		return wrap(r, nil, err)
	case "csv":
		r, err := newCSVRows(c, label)
		if err != nil {
			return nil, err
		}
		return wrap(r, r.features(), nil)
	}
	return nil, fmt.Errorf("%s: unknown format %q, want npy, csv, jsonl or idx", c.name, format)
}

func wrap(r rows, features []string, err error) (*opened, error) {
	if err != nil {
		return nil, err
	}
	return &opened{rows: r, features: features}, nil
}

// openNPZRows opens the inputs called key; labels may name an array of the
// same file.
func openNPZRows(path, key, labels string) (*opened, error) {
	z, err := openNPZ(path)
	if err != nil {
		return nil, err
	}
	o, err := func() (*opened, error) {
		key, err := z.only(key)
		if err != nil {
			return nil, err
		}
		c, err := z.open(key)
		if err != nil {
			return nil, err
		}
		r, err := newNPYRows(c)
		if err != nil {
			return nil, errors.Join(err, c.close())
		}
		o := &opened{rows: r, closer: z}
		if slices.Contains(z.keys(), labels) {
			y, err := z.array(labels)
			if err != nil {
				return nil, errors.Join(err, c.close())
			}
			o.y, o.yName = &y, path+":"+labels
		}
		return o, nil
	}()
	if err != nil {
		return nil, errors.Join(err, z.Close())
	}
	return o, nil
}
