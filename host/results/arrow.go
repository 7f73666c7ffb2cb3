package results

import (
	"bufio"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/ipc"
)

func newArrow(w io.Writer, o Options) Writer {
	return &typedResults{o: o, w: w, sink: &arrowSink{}, live: true}
}

// arrowSink is an Arrow IPC stream: a record batch for each batch of results.
type arrowSink struct {
	buffer *bufio.Writer
	ipc    *ipc.Writer
}

func (a *arrowSink) start(w io.Writer, s *arrow.Schema) error {
	a.buffer = bufio.NewWriterSize(w, 1<<16)
	a.ipc = ipc.NewWriter(a.buffer, ipc.WithSchema(s))
	return nil
}

func (a *arrowSink) write(r arrow.RecordBatch) error {
	if err := a.ipc.Write(r); err != nil {
		return err
	}
	return a.buffer.Flush()
}

// close writes the end of the stream, and the schema where there was no batch.
func (a *arrowSink) close() error {
	if err := a.ipc.Close(); err != nil {
		return err
	}
	return a.buffer.Flush()
}
