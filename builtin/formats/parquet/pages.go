package parquet

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/andybalholm/brotli"
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
)

// checkPages walks the headers of a row group's pages, before the decoder claims memory
// for what they promise: sizes and counts must be within bounds, and a packed
// page must unpack to what its header says.
func checkPages(r io.ReaderAt, size int64, g *format.RowGroup) error {
	for i, c := range g.Columns {
		if err := checkChunk(r, size, &c.MetaData); err != nil {
			return fmt.Errorf("column %d: %w", i, err)
		}
	}
	return nil
}

func checkChunk(r io.ReaderAt, size int64, m *format.ColumnMetaData) error {
	start := m.DataPageOffset
	if m.DictionaryPageOffset != 0 {
		start = m.DictionaryPageOffset
	}
	if start < 0 || m.TotalCompressedSize < 0 || start > size || m.TotalCompressedSize > size-start {
		return fmt.Errorf("claims bytes %d to %d+%d of %d", start, start, m.TotalCompressedSize, size)
	}
	in := bufio.NewReader(io.NewSectionReader(r, start, m.TotalCompressedSize))
	var protocol thrift.CompactProtocol
	headers := thrift.NewDecoder(protocol.NewReader(in))
	for {
		if _, err := in.Peek(1); errors.Is(err, io.EOF) {
			return nil
		}
		var h format.PageHeader
		if err := headers.Decode(&h); err != nil {
			return fmt.Errorf("page header: %w", err)
		}
		packed, plain := int64(h.CompressedPageSize), int64(h.UncompressedPageSize)
		values := max(h.DataPageHeader.V.NumValues, h.DataPageHeaderV2.V.NumValues, h.DictionaryPageHeader.V.NumValues)
		if packed < 0 || packed > m.TotalCompressedSize || plain < 0 || plain > maxPage || values > maxValues {
			return fmt.Errorf("a page of %d bytes claims %d values in %d bytes", packed, values, plain)
		}
		page := make([]byte, packed)
		if _, err := io.ReadFull(in, page); err != nil {
			return errors.New("truncated page")
		}
		if h.Type == format.DataPageV2 {
			// The levels stand before the values, never packed.
			v2 := h.DataPageHeaderV2.V
			levels := int64(v2.DefinitionLevelsByteLength) + int64(v2.RepetitionLevelsByteLength)
			if v2.DefinitionLevelsByteLength < 0 || v2.RepetitionLevelsByteLength < 0 || levels > min(packed, plain) {
				return errors.New("a page's levels exceed it")
			}
			page, plain = page[levels:], plain-levels
			if v2.IsCompressed.Valid && !v2.IsCompressed.V {
				continue
			}
		}
		if err := unpacks(page, plain, m.Codec); err != nil {
			return err
		}
	}
}

// unpacks holds that a page does not unpack to more than size bytes.
func unpacks(page []byte, size int64, codec format.CompressionCodec) error {
	if len(page) == 0 {
		return nil
	}
	more := fmt.Errorf("a page of %d bytes unpacks to more than the %d it claims", len(page), size)
	var r io.Reader
	switch codec {
	case format.Snappy:
		if n, k := binary.Uvarint(page); k <= 0 || n > uint64(size) {
			return more
		}
		return nil
	case format.Lz4Raw:
		// The decoder claims ever more memory for a block that is corrupt.
		n, err := lz4.UncompressBlock(page, make([]byte, size))
		if err != nil {
			return fmt.Errorf("a page of %d bytes is corrupt, or unpacks to more than the %d it claims", len(page), size)
		}
		if int64(n) > size {
			return more
		}
		return nil
	case format.Zstd:
		d, err := zstd.NewReader(bytes.NewReader(page), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxPage))
		if err != nil {
			return err
		}
		defer d.Close()
		r = d
	case format.Brotli:
		r = brotli.NewReader(bytes.NewReader(page))
	default: // not packed, or by gzip, which is bounded by 1032 to 1
		return nil
	}
	n, err := io.Copy(io.Discard, io.LimitReader(r, size+1))
	if err != nil {
		return fmt.Errorf("unpacking a page: %w", err)
	}
	if n > size {
		return more
	}
	return nil
}
