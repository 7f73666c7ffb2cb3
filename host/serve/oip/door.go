package oip

import (
	"bytes"
	"fmt"
	"io"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/serve/tensors"
)

// Rows brings the inputs of a request through the detector's door, as an inference
// does, for other ways in: x, or columns by their names. Errors are *judge.InputErrors.
func Rows(d *host.Detector, inputs []tensors.Tensor) (*dataset.Data, error) {
	rows, _, err := readRows(d, inputs)
	return rows, err
}

// Plain undoes the content coding of a body over REST: "", gzip or deflate. A body of
// more than most bytes is an error.
func Plain(coding string, body []byte, most int64) ([]byte, error) {
	from, err := decompress(coding, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if coding == "" {
		return body, nil
	}
	out, err := io.ReadAll(io.LimitReader(from, most+1))
	if err == nil && int64(len(out)) > most {
		err = fmt.Errorf("the body has more than %d bytes", most)
	}
	return out, err
}
