package artifact

import (
	"errors"
	"io"
	"os"
)

// errNoFile is for a pipe, a device or a folder in the place of a file.
var errNoFile = errors.New("no file")

// errLong is for a file of more bytes than it may have.
var errLong = errors.New("too long")

// readFile reads the regular file at path, which must have at most limit
// bytes: what lies in a detector's folder may be a pipe, or have any size.
func readFile(path string, limit int64) (_ []byte, err error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errNoFile
	case info.Size() > limit:
		return nil, errLong
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	b := make([]byte, info.Size())
	_, err = io.ReadFull(f, b)
	return b, err
}
