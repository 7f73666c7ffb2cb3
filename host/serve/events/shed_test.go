package events

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// unreadable is a body that nobody is to read.
type unreadable struct{ t *testing.T }

func (u unreadable) Read([]byte) (int, error) {
	u.t.Error("the event is read")
	return 0, io.EOF
}

// TestShed: where there is no room for an inference its answer is dropped unread, with the request that waited for it;
// requests are still taken.
func TestShed(t *testing.T) {
	s := &Sink{o: Options{MaxBody: 1 << 20, Memory: 1 << 20}, join: newJoiner(time.Hour, 10, 1<<20), queue: make(chan pair)} // of no room
	send := func(kind, id string, body io.Reader) int {
		r := httptest.NewRequest(http.MethodPost, "/events", body)
		for name, value := range map[string]string{"Specversion": "1.0", "Id": id, "Type": kind, "Source": "here"} {
			r.Header.Set("Ce-"+name, value)
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		return w.Code
	}
	if code := send(TypeRequest, "1", strings.NewReader("{}")); code != http.StatusOK {
		t.Fatal(code)
	}
	if waiting, _, _, _ := s.join.state(); waiting != 1 {
		t.Fatalf("%d halves wait, want 1", waiting)
	}
	if code := send(TypeResponse, "1", unreadable{t}); code != http.StatusOK {
		t.Error(code)
	}
	waiting, held, lost, _ := s.join.state()
	if c := s.Counters(); waiting != 0 || held != 0 || lost != 0 || c.Events != 2 || c.Dropped != 1 {
		t.Errorf("%d halves wait, with %d bytes, %d are lost; %+v", waiting, held, lost, c)
	}
	if send(TypeResponse, "2", strings.NewReader("{}")); s.counts.dropped.Load() != 1 { // its request may yet come
		t.Error("an answer whose request is to come is dropped")
	}
	s.reading.Store(1 << 20)
	if send(TypeRequest, "3", unreadable{t}); s.counts.dropped.Load() != 2 {
		t.Error("an event for which there is no memory is not counted")
	}
}
