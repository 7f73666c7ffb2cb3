package results

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/detect"
)

// csvResults writes a line a row, empty where nothing is known. The columns are
// settled with the first row: id and file are there if it has them.
type csvResults struct {
	o      Options
	w      *csv.Writer
	fields []csvField // nil before the first row
}

// csvField is one column.
type csvField struct {
	name string
	text func(*row) string
}

func newCSV(w io.Writer, o Options) Writer { return &csvResults{o: o, w: csv.NewWriter(w)} }

func (c *csvResults) settle(first *row) error {
	add := func(exists bool, name string, text func(*row) string) {
		if exists {
			c.fields = append(c.fields, csvField{name, text})
		}
	}
	labels := len(c.o.Classes) > 0
	add(true, "index", func(r *row) string { return strconv.Itoa(r.Index) })
	add(c.o.hasID(first), "id", func(r *row) string { return r.ID })
	add(first.File != "", "file", func(r *row) string { return r.File })
	add(true, "is_adversarial", func(r *row) string { return text(r.Adversarial) })
	add(true, "instance_score", func(r *row) string { return text(r.Score) })
	add(true, "p_value", func(r *row) string { return text(r.PValue) })
	add(true, "predicted", func(r *row) string { return text(r.Predicted) })
	add(labels, "predicted_label", func(r *row) string { return r.PredictedLabel })
	add(true, "reconstructed", func(r *row) string { return text(r.Reconstructed) })
	add(labels, "reconstructed_label", func(r *row) string { return r.ReconstructedLabel })
	add(true, "corrected", func(r *row) string { return text(r.Corrected) })
	add(labels, "corrected_label", func(r *row) string { return r.CorrectedLabel })
	add(c.o.Include.CertifiedRadius, "certified_radius", func(r *row) string { return text(r.CertifiedRadius) })
	add(true, "error", func(r *row) string { return r.Error })
	for j, name := range c.o.Keep {
		add(true, name, func(r *row) string { return cellText(r.cell(j)) })
	}
	header := make([]string, len(c.fields))
	for i, f := range c.fields {
		header[i] = f.name
	}
	return c.w.Write(header)
}

func (c *csvResults) line(r row) error {
	if c.fields == nil {
		if err := c.settle(&r); err != nil {
			return err
		}
	}
	values := make([]string, len(c.fields))
	for i, f := range c.fields {
		values[i] = f.text(&r)
	}
	return c.w.Write(values)
}

func text[T any](v *T) string {
	if v == nil {
		return ""
	}
	return fmt.Sprint(*v)
}

func (c *csvResults) Batch(first int, r *detect.Result, traces []dataset.Trace) error {
	for _, row := range c.o.rowsOf(first, r, traces) {
		if err := c.line(row); err != nil {
			return err
		}
	}
	c.w.Flush()
	return c.w.Error()
}

func (c *csvResults) Bad(index int, trace dataset.Trace, bad error) error {
	if err := c.line(c.o.badRow(index, trace, bad)); err != nil {
		return err
	}
	c.w.Flush()
	return c.w.Error()
}

// Close writes the header where there was no row.
func (c *csvResults) Close() error {
	if c.fields == nil {
		if err := c.settle(&row{}); err != nil {
			return err
		}
	}
	c.w.Flush()
	return c.w.Error()
}
