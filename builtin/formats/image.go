package formats

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/picture"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Image is a file with one image: PNG, JPEG, WebP, GIF (its first frame), BMP or
// TIFF (its first page), told by its extension or its first bytes. It is one
// row, as package picture decodes it.
type Image struct{}

var _ dataset.Format = Image{}

// Traits implements dataset.Format.
func (Image) Traits() dataset.Traits {
	return dataset.Traits{Extensions: picture.Extensions(), Magic: picture.Magic()}
}

// Open implements dataset.Format.
func (Image) Open(path string, _ dataset.ReadOptions) (dataset.Reader, error) {
	r := &imageRows{name: path, single: true, files: []string{filepath.Base(path)}, close: func() error { return nil }}
	r.read = func(_ string, most int64) ([]byte, error) {
		f, err := dataset.OpenRegular(path)
		if err != nil {
			return nil, err
		}
		b, err := io.ReadAll(io.LimitReader(f, most))
		return b, errors.Join(err, f.Close())
	}
	if err := r.measure(); err != nil {
		return nil, err
	}
	return r, nil
}

// imageRows reads images as intensities in [0, 1], one a file.
type imageRows struct {
	name    string
	single  bool     // name is the file itself
	files   []string // slash-separated, below name
	class   []int    // of each file, nil without
	names   []string // of the classes, nil without
	notices []string
	read    func(file string, most int64) ([]byte, error)
	close   func() error
	shape   tensor.Shape
	at      int
	digest  []dataset.Part
	ahead   ahead
	rooms   sync.Pool      // *picture.Room, to decode with
	spare   sync.Pool      // *picture.Image that are not asked for any more
	given   *picture.Image // what was handed out last
	plan    []int          // files that are asked for next, out of order
	window  []int          // and in order
}

var (
	_ dataset.LabelledAhead = (*imageRows)(nil)
	_ dataset.Bounded       = (*imageRows)(nil)
	_ dataset.Glancer       = (*imageRows)(nil)
	_ dataset.Traced        = (*imageRows)(nil)
	_ dataset.Noticed       = (*imageRows)(nil)
)

func (r *imageRows) Example() tensor.Shape { return r.shape }
func (r *imageRows) Count() int            { return len(r.files) }
func (r *imageRows) Bounded() bool         { return true }
func (r *imageRows) White() float64        { return 1 }
func (r *imageRows) Classes() []string     { return r.names }
func (r *imageRows) Notices() []string     { return r.notices }
func (r *imageRows) Parts() []dataset.Part { return r.digest }
func (r *imageRows) Random() bool          { return true }

func (r *imageRows) Close() error {
	r.ahead.drop()
	return r.close()
}

// Skip implements dataset.Skipper.
func (r *imageRows) Skip(n int) (int, error) {
	n = min(n, len(r.files)-r.at)
	r.at += n
	r.ahead.drop() // nobody asks for those
	return n, nil
}

func (r *imageRows) Label() string {
	if r.class == nil {
		return ""
	}
	return strconv.Itoa(r.class[r.at-1])
}

// LabelsAhead implements dataset.LabelledAhead.
func (r *imageRows) LabelsAhead() ([]string, error) {
	if r.class == nil {
		return nil, nil
	}
	out := make([]string, len(r.class))
	for i, c := range r.class {
		out[i] = strconv.Itoa(c)
	}
	return out, nil
}

func (r *imageRows) Trace() dataset.Trace { return dataset.Trace{File: r.files[r.at-1]} }

// notice tells that n things are passed over, and names some.
func (r *imageRows) notice(n int, some []string, one, many string) {
	const told = 3
	if n == 0 {
		return
	}
	names := ""
	for i, name := range some[:min(len(some), told)] {
		if i > 0 {
			names += ", "
		}
		names += dataset.Shown(name)
	}
	if n > told {
		names += ", …"
	}
	if n > 1 {
		one = many
	}
	r.notices = append(r.notices, fmt.Sprintf("%d %s passed over (%s)", n, one, names))
}

// measure takes the shape of rows from the headers of the first files. A file
// whose header cannot be read is a bad row later.
func (r *imageRows) measure() error {
	const files = 256
	var first error
	for _, file := range r.files[:min(len(r.files), files)] {
		h, w, c, err := r.header(file)
		switch {
		case err != nil && first == nil:
			first = r.failed(file, err)
		case err != nil:
		case r.shape == nil:
			r.shape = tensor.Shape{h, w, c}
		default:
			r.shape[2] = max(r.shape[2], c)
		}
	}
	if r.shape == nil {
		return first
	}
	return nil
}

// header reads the first bytes of a file, and all where they do not do.
func (r *imageRows) header(file string) (h, w, c int, err error) {
	const most = 1 << 17 // Exif with its small picture, and more
	b, err := r.read(file, most)
	if err != nil {
		return 0, 0, 0, err
	}
	h, w, c, err = picture.Measure(b)
	if err == nil || len(b) < most {
		return h, w, c, err
	}
	if b, err = r.read(file, picture.MaxBytes); err != nil {
		return 0, 0, 0, err
	}
	return picture.Measure(b)
}

// failed names the file of an error.
func (r *imageRows) failed(file string, err error) error {
	if r.single {
		return fmt.Errorf("%s: %w", r.name, err)
	}
	return fmt.Errorf("%s: %s: %w", r.name, dataset.Shown(file), err)
}

func (r *imageRows) Next(dst []float32) error {
	m, err := r.decode(r.fits)
	if err != nil {
		return err
	}
	return r.copy(dst, m)
}

// copy gives dst the pixels of the row that was read last.
func (r *imageRows) copy(dst []float32, m *picture.Image) error {
	if err := r.fits(m.H, m.W, m.C); err != nil {
		return r.bad(err)
	}
	if m.C < r.shape[2] {
		picture.RGB(&picture.Image{Pix: dst}, m)
		return nil
	}
	copy(dst, m.Pix)
	return nil
}

func (r *imageRows) NextImage() (data []float32, shape [3]int, err error) {
	m, err := r.decode(nil)
	if err != nil {
		return nil, shape, err
	}
	return m.Pix, [3]int{m.H, m.W, m.C}, nil
}

// fits refuses pictures of another size than that of the rows.
func (r *imageRows) fits(h, w, c int) error {
	if h != r.shape[0] || w != r.shape[1] {
		return fmt.Errorf("%d×%d×%d, the rows are %v: data.prepare: resize makes them equal", h, w, c, r.shape)
	}
	if c > r.shape[2] {
		return fmt.Errorf("%d×%d×%d, the rows are %v: data.prepare: color makes them equal", h, w, c, r.shape)
	}
	return nil
}

// decode decodes the next file, and begins with those after it. What its header
// says goes to fits first, if there is one: pixels that are not wanted take no memory.
func (r *imageRows) decode(fits func(h, w, c int) error) (*picture.Image, error) {
	if r.at == len(r.files) {
		return nil, io.EOF
	}
	i := r.at
	if r.at++; !r.single {
		r.window = r.window[:0]
		for k := i; k < len(r.files) && len(r.window) < r.ahead.most(); k++ {
			r.window = append(r.window, k)
		}
		r.begin(r.window)
	}
	m, digest, err := r.file(i, fits)
	if digest != "" {
		r.digest = append(r.digest, dataset.Part{Digest: digest, Rows: 1})
	}
	return m, err
}

// begin begins with files that are asked for next.
func (r *imageRows) begin(files []int) {
	if r.ahead.load == nil {
		r.ahead.load = r.prepare
	}
	r.ahead.start(files)
}

// file decodes file i, and gives the digest of what could be read.
func (r *imageRows) file(i int, fits func(h, w, c int) error) (m *picture.Image, digest string, err error) {
	if r.given != nil { // it was valid until this call
		r.spare.Put(r.given)
	}
	defer func() { r.given = m }()
	if done := r.ahead.take(i); done.image != nil {
		return done.image, done.digest, nil
	}
	b, err := r.read(r.files[i], picture.MaxBytes+1) // one more: Decode refuses it
	if err != nil {
		return nil, "", r.wrong(i, err)
	}
	digest = digestOf(b)
	if fits != nil {
		h, w, c, err := picture.Measure(b)
		if err == nil {
			err = fits(h, w, c)
		}
		if err != nil {
			return nil, digest, r.wrong(i, err)
		}
	}
	if m, err = r.pixels(b); err != nil {
		return nil, digest, r.wrong(i, err)
	}
	return m, digest, nil
}

// pixels decodes a file with memory of those before. It may be called concurrently.
func (r *imageRows) pixels(b []byte) (*picture.Image, error) {
	room, _ := r.rooms.Get().(*picture.Room)
	if room == nil {
		room = new(picture.Room)
	}
	defer r.rooms.Put(room)
	var pix []float32
	if old, _ := r.spare.Get().(*picture.Image); old != nil {
		pix = old.Pix
	}
	return room.Decode(b, pix)
}

// Ahead implements dataset.ImageAccess.
func (r *imageRows) Ahead(rows []int) {
	r.ahead.drop() // of another plan
	r.plan = append(r.plan[:0], rows...)
	r.begin(r.plan)
}

// At implements dataset.RandomAccess.
func (r *imageRows) At(dst []float32, i int) error {
	m, err := r.again(i, r.fits)
	if err != nil {
		return err
	}
	return r.copy(dst, m)
}

// ImageAt implements dataset.ImageAccess.
func (r *imageRows) ImageAt(i int) (data []float32, shape [3]int, err error) {
	m, err := r.again(i, nil)
	if err != nil {
		return nil, shape, err
	}
	return m.Pix, [3]int{m.H, m.W, m.C}, nil
}

// again decodes a file that was read before, and holds it to what it was.
func (r *imageRows) again(i int, fits func(h, w, c int) error) (*picture.Image, error) {
	r.at = i + 1 // for errors and labels
	m, digest, err := r.file(i, fits)
	if len(r.plan) > 0 && r.plan[0] == i {
		r.plan = r.plan[1:]
		r.begin(r.plan)
	}
	if err == nil && i < len(r.digest) && digest != r.digest[i].Digest {
		err = r.wrong(i, errors.New("the file has changed since it was first read"))
	}
	return m, err
}

// bad is a fault of the row that was read last.
func (r *imageRows) bad(err error) error { return r.wrong(r.at-1, err) }

// wrong is a fault of a row.
func (r *imageRows) wrong(i int, err error) error {
	if !r.single {
		err = fmt.Errorf("%s: %w", dataset.Shown(r.files[i]), err)
	}
	return &dataset.RowError{Source: r.name, Row: i, Err: err}
}
