package results

import (
	"bufio"
	"encoding/json"
	"io"
	"slices"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/detect"
)

// jsonlResults writes an object a row, kept columns last, and answers a live
// stream batch by batch.
type jsonlResults struct {
	o Options
	w *bufio.Writer
}

func newJSONL(w io.Writer, o Options) Writer { return &jsonlResults{o, bufio.NewWriter(w)} }

func (j *jsonlResults) line(r row) error {
	// A kept column of the name is the user's own, and leaves no room for another.
	if slices.Contains(j.o.Keep, "note") {
		r.Note = ""
	}
	if slices.Contains(j.o.Keep, "retry") {
		r.Retry = false
	}
	b, err := json.Marshal(r.inJSON())
	if err != nil {
		return err
	}
	for i, name := range j.o.Keep {
		key, err := json.Marshal(name)
		if err != nil {
			return err
		}
		value, err := json.Marshal(jsonCell(r.cell(i)))
		if err != nil {
			return err
		}
		b = append(append(b[:len(b)-1], ','), key...)
		b = append(append(append(b, ':'), value...), '}')
	}
	_, err = j.w.Write(append(b, '\n'))
	return err
}

func (j *jsonlResults) Batch(first int, r *detect.Result, traces []dataset.Trace) error {
	for _, row := range j.o.rowsOf(first, r, traces) {
		if err := j.line(row); err != nil {
			return err
		}
	}
	return j.w.Flush()
}

func (j *jsonlResults) Bad(index int, trace dataset.Trace, bad error) error {
	if err := j.line(j.o.badRow(index, trace, bad)); err != nil {
		return err
	}
	return j.w.Flush()
}

func (j *jsonlResults) Close() error { return j.w.Flush() }
