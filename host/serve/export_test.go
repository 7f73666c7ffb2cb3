package serve

import "context"

// Higher is for tests of the order of versions.
func Higher(a, b string) int { return higher(a, b) }

// Loading is as one who loads a model and takes long, until done.
func (m *Models) Loading(ctx context.Context, name string) (done func(), err error) {
	e, err := m.entryOf(name)
	if err != nil {
		return nil, err
	}
	select {
	case e.loading <- struct{}{}:
		return func() { <-e.loading }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Lock holds what every request takes, until done.
func (m *Models) Lock() (done func()) {
	m.mu.Lock()
	return m.mu.Unlock
}

// IsLoading reports whether somebody loads a model.
func (m *Models) IsLoading(name string) bool {
	e, err := m.entryOf(name)
	return err == nil && len(e.loading) > 0
}
