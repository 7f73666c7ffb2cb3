package artifact

import (
	"crypto/sha256"
	"encoding/hex"
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
	f, size, err := openFile(path, limit)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	b := make([]byte, size)
	_, err = io.ReadFull(f, b)
	return b, err
}

// digestFile is the sha256 and the size of such a file.
func digestFile(path string, limit int64) (sum string, n int64, err error) {
	f, _, err := openFile(path, limit)
	if err != nil {
		return "", 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	h := sha256.New()
	if n, err = io.Copy(h, io.LimitReader(f, limit+1)); err == nil && n > limit {
		err = errLong
	}
	return hex.EncodeToString(h.Sum(nil)), n, err
}

func openFile(path string, limit int64) (*os.File, int64, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, 0, err
	case !info.Mode().IsRegular():
		return nil, 0, errNoFile
	case info.Size() > limit:
		return nil, 0, errLong
	}
	f, err := os.Open(path)
	return f, info.Size(), err
}
