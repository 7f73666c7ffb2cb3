package parquet

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
	"github.com/pierrec/lz4/v4"
)

const (
	// maxPage bounds one page unpacked, in bytes; writers aim at 1 MiB.
	maxPage = 256 << 20
	// maxValues bounds the values of one page: run lengths make of a few bytes
	// as many as they like.
	maxValues = 1 << 24
	// maxHeader bounds the header of a page, which may hold two of its values.
	maxHeader = 1 << 20
)

// leaf is what the pages of a column must be read with.
type leaf struct{ repetition, definition int } // largest levels

// checkPages walks the pages of a row group, before the decoder claims memory for what
// they promise: sizes and counts must be within bounds, a packed page must unpack to
// what its header says, and no row may be longer than maxRow. It gives the values of
// the longest row at most.
func checkPages(r io.ReaderAt, size int64, g *format.RowGroup, leaves []leaf) (longest int, err error) {
	in := bufio.NewReaderSize(nil, maxHeader)
	for i, c := range g.Columns {
		n, err := checkChunk(in, r, size, &c.MetaData, leaves[i])
		if err != nil {
			return 0, fmt.Errorf("column %d: %w", i, err)
		}
		longest += n
	}
	if longest > maxRow {
		return 0, fmt.Errorf("a row of up to %d values, want at most %d", longest, maxRow)
	}
	return longest, nil
}

func checkChunk(in *bufio.Reader, r io.ReaderAt, size int64, m *format.ColumnMetaData, l leaf) (longest int, err error) {
	start := m.DataPageOffset
	if m.DictionaryPageOffset != 0 {
		start = m.DictionaryPageOffset
	}
	if start < 0 || m.TotalCompressedSize < 0 || start > size || m.TotalCompressedSize > size-start {
		return 0, fmt.Errorf("claims bytes %d to %d+%d of %d", start, start, m.TotalCompressedSize, size)
	}
	in.Reset(io.NewSectionReader(r, start, m.TotalCompressedSize))
	counted := rows{longest: 1}
	for {
		h, err := pageHeader(in)
		if errors.Is(err, io.EOF) {
			return counted.longest, nil
		}
		if err != nil {
			return 0, fmt.Errorf("page header: %w", err)
		}
		packed, plain := int64(h.CompressedPageSize), int64(h.UncompressedPageSize)
		v1, v2 := h.DataPageHeader.V, h.DataPageHeaderV2.V
		values := max(v1.NumValues, v2.NumValues, h.DictionaryPageHeader.V.NumValues)
		if packed < 0 || packed > m.TotalCompressedSize || plain < 0 || plain > maxPage || values > maxValues {
			return 0, fmt.Errorf("a page of %d bytes claims %d values in %d bytes", packed, values, plain)
		}
		page := make([]byte, packed)
		if _, err := io.ReadFull(in, page); err != nil {
			return 0, errors.New("truncated page")
		}
		p := dataPage{packed: page, plain: plain, codec: m.Codec, values: int(values)}
		switch h.Type {
		case format.DataPage:
			p.encoding = v1.Encoding
			err = p.checkFirst(l, &counted)
		case format.DataPageV2:
			p.encoding = v2.Encoding
			if v2.IsCompressed.Valid && !v2.IsCompressed.V {
				p.codec = format.Uncompressed
			}
			err = p.checkSecond(l, &counted, int64(v2.RepetitionLevelsByteLength), int64(v2.DefinitionLevelsByteLength))
		default:
			err = unpacks(page, plain, m.Codec)
		}
		if err != nil {
			return 0, err
		}
	}
}

// pageHeader is the next one; io.EOF ends.
func pageHeader(in *bufio.Reader) (h format.PageHeader, err error) {
	for n := 512; ; n *= 8 { // most have some 50 bytes
		b, err := in.Peek(min(n, maxHeader))
		if len(b) == 0 {
			return h, err
		}
		size, fault := thriftSize(b)
		if errors.Is(fault, errCut) && err == nil && n < maxHeader {
			continue
		}
		if fault != nil {
			return h, fault
		}
		if err := thrift.Unmarshal(&thrift.CompactProtocol{}, b[:size], &h); err != nil {
			return h, err
		}
		_, err = in.Discard(size)
		return h, err
	}
}

// dataPage is a page whose values are the table's.
type dataPage struct {
	packed   []byte
	plain    int64
	codec    format.CompressionCodec
	values   int
	encoding format.Encoding
}

// checkFirst checks one of version 1, where levels are packed with the values.
func (p dataPage) checkFirst(l leaf, counted *rows) error {
	if l.repetition == 0 && !p.growing() {
		return unpacks(p.packed, p.plain, p.codec)
	}
	b, err := unpack(p.packed, p.plain, p.codec)
	if err != nil {
		return err
	}
	if l.repetition > 0 {
		levels, rest, err := prefixed(b)
		if err != nil {
			return err
		}
		if err := counted.count(levels, p.values, l.repetition); err != nil {
			return err
		}
		b = rest
	}
	if l.definition > 0 {
		if _, b, err = prefixed(b); err != nil {
			return err
		}
	}
	return p.checkGrowth(b)
}

// checkSecond checks one of version 2, where they stand before, never packed.
func (p dataPage) checkSecond(l leaf, counted *rows, repetition, definition int64) error {
	levels := repetition + definition
	if repetition < 0 || definition < 0 || levels > min(int64(len(p.packed)), p.plain) {
		return errors.New("a page's levels exceed it")
	}
	if l.repetition > 0 {
		if err := counted.count(p.packed[:repetition], p.values, l.repetition); err != nil {
			return err
		}
	}
	values := p.packed[levels:]
	if !p.growing() {
		return unpacks(values, p.plain-levels, p.codec)
	}
	b, err := unpack(values, p.plain-levels, p.codec)
	if err != nil {
		return err
	}
	return p.checkGrowth(b)
}

// growing reports whether a decoder makes more of the values than they claim.
func (p dataPage) growing() bool {
	return p.encoding == format.DeltaBinaryPacked || p.encoding == format.DeltaLengthByteArray || p.encoding == format.DeltaByteArray
}

// checkGrowth bounds what the encodings of deltas make of values: texts that begin as
// the one before take next to nothing each.
func (p dataPage) checkGrowth(b []byte) error {
	if !p.growing() || len(b) == 0 {
		return nil
	}
	if p.encoding == format.DeltaBinaryPacked {
		_, _, err := deltaHeader(b, p.values)
		return err
	}
	shared := int64(0)
	if p.encoding == format.DeltaByteArray {
		var err error
		if shared, b, err = deltas(b, p.values); err != nil {
			return err
		}
	}
	own, _, err := deltas(b, p.values)
	if err != nil {
		return err
	}
	if shared > maxPage || own > maxPage || shared+own > maxPage {
		return fmt.Errorf("a page of %d bytes holds texts of more than %d", len(p.packed), maxPage)
	}
	return nil
}

// unpacks holds that a page does not unpack to more than size bytes.
func unpacks(page []byte, size int64, codec format.CompressionCodec) error {
	if codec == format.Snappy && len(page) > 0 { // it says so at its beginning
		if n, err := snappy.DecodedLen(page); err != nil || int64(n) > size {
			return larger(page, size)
		}
		return nil
	}
	r, done, err := unpacker(page, size, codec)
	if err != nil {
		return err
	}
	defer done()
	n, err := io.Copy(io.Discard, io.LimitReader(r, size+1))
	if err != nil {
		return fmt.Errorf("unpacking a page: %w", err)
	}
	if n > size {
		return larger(page, size)
	}
	return nil
}

// unpack is unpacks that gives the bytes.
func unpack(page []byte, size int64, codec format.CompressionCodec) ([]byte, error) {
	if codec == format.Snappy && len(page) > 0 {
		if n, err := snappy.DecodedLen(page); err != nil || int64(n) > size {
			return nil, larger(page, size)
		}
	}
	r, done, err := unpacker(page, size, codec)
	if err != nil {
		return nil, err
	}
	defer done()
	b, err := io.ReadAll(io.LimitReader(r, size+1))
	if err != nil {
		return nil, fmt.Errorf("unpacking a page: %w", err)
	}
	if int64(len(b)) > size {
		return nil, larger(page, size)
	}
	return b, nil
}

func larger(page []byte, size int64) error {
	return fmt.Errorf("a page of %d bytes unpacks to more than the %d it claims", len(page), size)
}

// unpacker reads what a page unpacks to.
func unpacker(page []byte, size int64, codec format.CompressionCodec) (r io.Reader, done func(), err error) {
	none := func() {}
	in := bytes.NewReader(page)
	if len(page) == 0 {
		return in, none, nil
	}
	switch codec {
	case format.Snappy:
		b, err := snappy.Decode(nil, page)
		return bytes.NewReader(b), none, err
	case format.Lz4Raw:
		// The decoder claims ever more memory for a block that is corrupt.
		b := make([]byte, size)
		n, err := lz4.UncompressBlock(page, b)
		if err != nil {
			return nil, none, fmt.Errorf("a page of %d bytes is corrupt, or unpacks to more than the %d it claims", len(page), size)
		}
		return bytes.NewReader(b[:n]), none, nil
	case format.Zstd:
		d, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxPage))
		if err != nil {
			return nil, none, err
		}
		return d, d.Close, nil
	case format.Brotli:
		return brotli.NewReader(in), none, nil
	case format.Gzip:
		d, err := gzip.NewReader(in)
		if err != nil {
			return nil, none, err
		}
		return d, none, nil
	}
	return in, none, nil
}
