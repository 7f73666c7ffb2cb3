package formats

import (
	"crypto/sha256"
	"encoding/hex"
	"runtime"
	"sync"

	"github.com/vaeguard/vaeguard/host/picture"
)

const (
	// aheadBytes and aheadNumbers bound the files that are made ready before they are
	// asked for, and what they decode to: so many are in memory at once.
	aheadBytes   = 4 << 20
	aheadNumbers = 4 << 20
	// aheadFiles bounds how many there are, whatever the number of processors.
	aheadFiles = 16
)

// ready is an image that was decoded before it was asked for. One without is a
// file that is larger than that is good for, or cannot be read: whoever asks for it
// reads it then, and hears why.
type ready struct {
	image  *picture.Image
	digest string
}

// ahead decodes files before they are asked for, one on each processor, while
// its one user is at what came before. Its methods are for that user.
type ahead struct {
	load    func(i int) ready // of file i; called concurrently
	flying  map[int]chan ready
	running sync.WaitGroup
}

// most is how many files are under way or ready at once: one may be done and not yet
// taken.
func (a *ahead) most() int { return min(runtime.GOMAXPROCS(0), aheadFiles) + 1 }

// start begins with the first of some files, those that will be asked for next.
func (a *ahead) start(files []int) {
	if a.flying == nil {
		a.flying = map[int]chan ready{}
	}
	for _, i := range files {
		if len(a.flying) >= a.most() {
			return
		}
		if a.flying[i] != nil {
			continue
		}
		c := make(chan ready, 1)
		a.flying[i] = c
		a.running.Go(func() { c <- a.load(i) })
	}
}

// take is file i if it was begun with, else the zero value. It waits.
func (a *ahead) take(i int) ready {
	c := a.flying[i]
	if c == nil {
		return ready{}
	}
	delete(a.flying, i)
	return <-c
}

// drop waits for those that nobody asks for any more.
func (a *ahead) drop() {
	a.running.Wait()
	clear(a.flying)
}

// prepare is load of the reader's files.
func (r *imageRows) prepare(i int) ready {
	b, err := r.read(r.files[i], aheadBytes+1)
	if err != nil || len(b) > aheadBytes {
		return ready{}
	}
	h, w, c, err := picture.Measure(b)
	if err != nil || h*w > aheadNumbers/max(c, 1) {
		return ready{}
	}
	m, err := r.pixels(b)
	if err != nil {
		return ready{}
	}
	return ready{m, digestOf(b)}
}

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
