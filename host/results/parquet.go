package results

import (
	"bufio"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
)

func newParquet(w io.Writer, o Options) Writer {
	return &typedResults{o: o, w: w, sink: &parquetSink{}}
}

// parquetSink is a Parquet file: a row group for each group of rows, written
// when it is full.
type parquetSink struct {
	buffer  *bufio.Writer // also hides the file: it is not the library's to close
	parquet *pqarrow.FileWriter
}

func (p *parquetSink) start(w io.Writer, s *arrow.Schema) (err error) {
	p.buffer = bufio.NewWriterSize(w, 1<<16)
	p.parquet, err = pqarrow.NewFileWriter(s, p.buffer,
		parquet.NewWriterProperties(parquet.WithCompression(compress.Codecs.Snappy)),
		pqarrow.NewArrowWriterProperties(pqarrow.WithStoreSchema()))
	return err
}

func (p *parquetSink) write(r arrow.RecordBatch) error { return p.parquet.Write(r) }

func (p *parquetSink) close() error {
	if err := p.parquet.Close(); err != nil {
		return err
	}
	return p.buffer.Flush()
}
