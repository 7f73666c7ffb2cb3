package results

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/parquet-go/parquet-go"
)

// table is a typed file read back.
type table struct {
	columns []string // name and type, "not null" where it is not nullable
	meta    string   // of metaKey
	rows    string   // one JSON object a line, keys sorted
	groups  []int64
}

// readBack reads a file of format arrow or parquet.
func readBack(t *testing.T, format string, data []byte) table {
	t.Helper()
	read := readParquet
	if format == "arrow" {
		read = readArrow
	}
	got, err := read(data)
	if err != nil {
		t.Fatalf("%s: %v", format, err)
	}
	return got
}

func describe(name, kind string, nullable bool) string {
	if !nullable {
		kind += " not null"
	}
	return name + " " + kind
}

func readArrow(data []byte) (got table, err error) {
	r, err := ipc.NewReader(bytes.NewReader(data))
	if err != nil {
		return got, err
	}
	defer r.Release()
	for _, f := range r.Schema().Fields() {
		kind := f.Type.String()
		if list, ok := f.Type.(*arrow.ListType); ok {
			kind = "list<" + list.Elem().String() + ">"
		}
		got.columns = append(got.columns, describe(f.Name, kind, f.Nullable))
	}
	got.meta, _ = r.Schema().Metadata().GetValue(metaKey)
	var lines strings.Builder
	for r.Next() {
		got.groups = append(got.groups, r.RecordBatch().NumRows())
		var rows []json.RawMessage
		b, err := r.RecordBatch().MarshalJSON()
		if err == nil {
			err = json.Unmarshal(b, &rows)
		}
		if err != nil {
			return got, err
		}
		for _, row := range rows {
			lines.WriteString(string(row) + "\n")
		}
	}
	got.rows = lines.String()
	return got, r.Err()
}

func readParquet(data []byte) (got table, err error) {
	f, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return got, err
	}
	columns := f.Root().Columns()
	for _, c := range columns {
		kind, err := parquetKind(c)
		if err != nil {
			return got, fmt.Errorf("column %s: %w", c.Name(), err)
		}
		got.columns = append(got.columns, describe(c.Name(), kind, c.Optional()))
	}
	got.meta, _ = f.Lookup(metaKey)
	for _, g := range f.RowGroups() {
		got.groups = append(got.groups, g.NumRows())
		lines, err := parquetLines(columns, g.Rows())
		if err != nil {
			return got, err
		}
		got.rows += lines
	}
	return got, nil
}

// parquetLines are rows as JSON.
func parquetLines(columns []*parquet.Column, rows parquet.Rows) (string, error) {
	defer rows.Close()
	var lines strings.Builder
	buf := make([]parquet.Row, 64)
	for {
		n, err := rows.ReadRows(buf)
		for _, row := range buf[:n] {
			line, err := parquetLine(columns, row)
			if err != nil {
				return "", err
			}
			lines.WriteString(string(line) + "\n")
		}
		if errors.Is(err, io.EOF) {
			return lines.String(), nil
		}
		if err != nil {
			return "", err
		}
	}
}

// parquetKind is the type of a column as Arrow names it. A list has the three
// levels that the format's specification wants.
func parquetKind(c *parquet.Column) (string, error) {
	if !c.Leaf() {
		if c.Type().LogicalType() == nil || c.Type().LogicalType().String() != "LIST" || len(c.Columns()) != 1 {
			return "", errors.New("a group that is no list")
		}
		list := c.Columns()[0]
		if list.Name() != "list" || !list.Repeated() || list.Leaf() || len(list.Columns()) != 1 {
			return "", fmt.Errorf("a list of %v", list)
		}
		element := list.Columns()[0]
		if element.Name() != "element" || !element.Optional() || !element.Leaf() {
			return "", fmt.Errorf("a list of elements %v", element)
		}
		kind, err := parquetKind(element)
		return "list<" + kind + ">", err
	}
	switch kind := c.Type().String(); kind {
	case "INT(64,true)":
		return "int64", nil
	case "INT(64,false)":
		return "uint64", nil
	case "DOUBLE":
		return "float64", nil
	case "FLOAT":
		return "float32", nil
	case "STRING":
		return "utf8", nil
	default:
		return "", errors.New("is of type " + kind)
	}
}

func parquetLine(columns []*parquet.Column, row parquet.Row) ([]byte, error) {
	line := map[string]any{}
	for i, values := range row.Range {
		c := columns[i] // each has one leaf
		if c.Leaf() {
			line[c.Name()] = parquetValue(values[0])
			if v, ok := line[c.Name()].(int64); ok && c.Type().String() == "INT(64,false)" {
				line[c.Name()] = uint64(v)
			}
			continue
		}
		list := []any{}
		for _, v := range values {
			if v.DefinitionLevel() >= 2 {
				list = append(list, parquetValue(v))
			}
		}
		line[c.Name()] = list
		if values[0].DefinitionLevel() == 0 {
			line[c.Name()] = nil
		}
	}
	return json.Marshal(line)
}

func parquetValue(v parquet.Value) any {
	switch {
	case v.IsNull():
		return nil
	case v.Kind() == parquet.Int64:
		return v.Int64()
	case v.Kind() == parquet.Double:
		return v.Double()
	case v.Kind() == parquet.Float:
		return v.Float()
	}
	return string(v.ByteArray())
}
