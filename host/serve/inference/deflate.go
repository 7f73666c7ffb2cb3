package inference

import (
	"compress/zlib"
	"io"
	"sync"

	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/gzip" // the other coding that clients compress with
)

// Deflate is the coding of gRPC by that name, zlib's format, which clients on gRPC's C core offer and Triton takes.
const Deflate = "deflate"

// gRPC takes codings in an init alone.
func init() { encoding.RegisterCompressor(&deflate{}) }

// deflate implements encoding.Compressor.
type deflate struct{ writers sync.Pool }

// Name implements encoding.Compressor.
func (*deflate) Name() string { return Deflate }

// Compress implements encoding.Compressor.
func (d *deflate) Compress(w io.Writer) (io.WriteCloser, error) {
	z, ok := d.writers.Get().(*zlib.Writer)
	if !ok {
		var err error
		if z, err = zlib.NewWriterLevel(nil, zlib.BestSpeed); err != nil {
			return nil, err
		}
	}
	z.Reset(w)
	return &deflating{z, d}, nil
}

// Decompress implements encoding.Compressor. Its caller bounds what it reads.
func (*deflate) Decompress(r io.Reader) (io.Reader, error) { return zlib.NewReader(r) }

// deflating is a writer that is used again.
type deflating struct {
	*zlib.Writer
	of *deflate
}

// Close implements io.Closer.
func (d *deflating) Close() error {
	defer d.of.writers.Put(d.Writer)
	return d.Writer.Close()
}
