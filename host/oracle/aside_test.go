package oracle

import (
	"context"
	"errors"
	"testing"
)

func TestAside(t *testing.T) {
	for _, turns := range []bool{true, false} {
		a := NewAside(turns)
		asked, free := make(chan struct{}, 1), make(chan struct{}, 1)
		if turns {
			free <- struct{}{}
		}
		gone := errors.New("gone")
		for _, want := range []error{nil, gone, nil} {
			a.Ask(t.Context(), QuestionFunc(func(context.Context) error {
				asked <- struct{}{}
				<-free
				free <- struct{}{}
				return want
			}))
			<-asked
			if !turns {
				free <- struct{}{} // the question waits for what its host does
			}
			if err := a.Wait(); !errors.Is(err, want) {
				t.Errorf("in turns %v: %v, want %v", turns, err, want)
			}
			if !turns {
				<-free
			}
		}
		func() {
			defer func() {
				if p := recover(); p != "broken" {
					t.Errorf("in turns %v: recovered %v", turns, p)
				}
			}()
			a.Ask(t.Context(), QuestionFunc(func(context.Context) error { panic("broken") }))
			_ = a.Wait()
			t.Errorf("in turns %v: the panic is lost", turns)
		}()
	}
}
