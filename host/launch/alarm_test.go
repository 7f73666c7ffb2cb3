package launch

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestAlarm: it rings after its time, once, not when it was stopped, and from the start
// after again.
func TestAlarm(t *testing.T) {
	synctest.Test(t, testAlarm) // the clock is the test's
}

func testAlarm(t *testing.T) {
	rang := make(chan time.Time, 2)
	began := time.Now()
	a := newAlarm(100*time.Millisecond, func() { rang <- time.Now() })
	time.Sleep(60 * time.Millisecond)
	a.again()
	if at := <-rang; at.Sub(began) != 160*time.Millisecond {
		t.Errorf("it rang after %v, want 160ms", at.Sub(began))
	}
	a.again()
	a.stop()
	b := newAlarm(20*time.Millisecond, func() { rang <- time.Now() })
	b.stop()
	time.Sleep(100 * time.Millisecond)
	if len(rang) > 0 {
		t.Error("it rings on")
	}
	ctx, cancel := patient(t.Context(), 30*time.Millisecond)
	defer cancel()
	<-ctx.Done()
	if !late(ctx) {
		t.Errorf("%v", context.Cause(ctx))
	}
	ctx, cancel = patient(t.Context(), time.Hour)
	cancel()
	if late(ctx) || !errors.Is(ctx.Err(), context.Canceled) {
		t.Errorf("%v", context.Cause(ctx))
	}
}

// TestAlarmStops: of the time in which nobody looked, two steps count.
func TestAlarmStops(t *testing.T) {
	a := &alarm{left: time.Minute, step: 4 * time.Second, t: time.AfterFunc(time.Hour, func() {}), ring: func() { t.Error("it rang") }}
	a.last = time.Now().Add(-time.Hour)
	a.tick()
	if a.left != 52*time.Second {
		t.Errorf("%v are left, want 52s", a.left)
	}
	a.stop()
}
