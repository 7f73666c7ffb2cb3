package dataset

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// people is a table of three rows, the second bad. It keeps what it is asked to.
type people struct{}

func (people) Traits() Traits { return Traits{Extensions: []string{".people"}, Table: true} }

func (people) Open(_ string, o ReadOptions) (Reader, error) {
	p := &peopleReader{kept: make([]Cell, 1)}
	if o.Schema != nil {
		p.schema = *o.Schema
	}
	return p, nil
}

type peopleReader struct {
	schema Schema
	at     int
	kept   []Cell
}

func (*peopleReader) Example() tensor.Shape { return tensor.Shape{1} }
func (*peopleReader) Count() int            { return -1 }
func (*peopleReader) Parts() []Part         { return nil }
func (*peopleReader) Close() error          { return nil }
func (p *peopleReader) Schema() Schema      { return p.schema }
func (*peopleReader) Notices() []string     { return nil }

func (p *peopleReader) Next(dst []float32) error {
	p.at++
	switch p.at {
	case 2:
		return &RowError{Source: "x.people", Row: 1, Err: errors.New("no age")}
	case 4:
		return io.EOF
	}
	dst[0] = float32(p.at)
	return nil
}

func (p *peopleReader) Trace() Trace {
	p.kept[0] = Cell{Kind: CellNumber, Number: float64(10 * p.at)}
	return Trace{ID: strings.Repeat("x", p.at), Kept: p.kept[:len(p.schema.Keep)]}
}

// nameless is a format of rows without names.
type nameless struct{ people }

func (nameless) Open(string, ReadOptions) (Reader, error) {
	return struct{ Reader }{&peopleReader{}}, nil
}

// Every row has its trace, the bad one too, and Keep reaches the reader.
func TestStreamTrace(t *testing.T) {
	formats := registry.NewTable("format",
		registry.Entry[Format]{Name: "people", Default: people{}, Doc: "rows"},
		registry.Entry[Format]{Name: "nameless", Default: nameless{}, Doc: "rows"},
	)
	s, err := OpenStream("x.people", formats, StreamOptions{Format: "people", Label: "y", Keep: []string{"age"}})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Schema(); got.Label != "y" || len(got.Keep) != 1 || got.Keep[0] != "age" {
		t.Errorf("schema %+v", got)
	}
	row := make([]float32, 1)
	for i := 1; i <= 3; i++ {
		err := s.ReadRow(row)
		if bad := i == 2; bad != (err != nil) {
			t.Fatalf("row %d: %v", i, err)
		}
		if got := s.Trace(); len(got.ID) != i || len(got.Kept) != 1 || got.Kept[0].Number != float64(10*i) {
			t.Errorf("row %d: trace %+v", i, got)
		}
	}
	if err := s.ReadRow(row); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}

	if s, err = OpenStream("x.people", formats, StreamOptions{Format: "nameless"}); err != nil {
		t.Fatal(err)
	}
	if got := s.Trace(); got.ID != "" || got.Kept != nil || s.Schema().ID != "" {
		t.Errorf("rows that nobody traces have %+v", got)
	}
	_, err = OpenStream("x.people", formats, StreamOptions{Format: "nameless", Keep: []string{"age"}})
	if err == nil || !strings.Contains(err.Error(), `no column "age" to keep`) {
		t.Errorf("a column of nameless rows is kept: %v", err)
	}
}
