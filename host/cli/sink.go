package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// errClosed is for results that would go nowhere.
var errClosed = errors.New("standard output is closed: give --out FILE, or > /dev/null to throw the results away (from a program: the null device opened for writing alone, or --out /dev/null)")

// sink is standard output. It remembers the first write that failed: a result that
// was not written is no success, whichever line of which verb it was.
type sink struct {
	w io.Writer

	mu  sync.Mutex
	err error
}

func (s *sink) Write(b []byte) (int, error) {
	n, err := s.w.Write(b)
	if err != nil {
		s.mu.Lock()
		if s.err == nil {
			s.err = err
		}
		s.mu.Unlock()
	}
	return n, err
}

// fault is the error of the first write that failed.
func (s *sink) fault() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		return nil
	}
	return fmt.Errorf("standard output: %w", s.err)
}

// open reports an error if the caller has closed the output.
func (s *sink) open() error {
	if f, ok := s.w.(*os.File); ok && wasClosed(f) {
		return errClosed
	}
	return nil
}
