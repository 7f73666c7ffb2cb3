package formats

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"image"
	"image/color"
	_ "image/jpeg" // registers the format with image.Decode
	_ "image/png"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

const (
	maxImages     = 1 << 22
	maxImageBytes = 256 << 20
	maxPixels     = 1 << 26
)

// Folder is a folder of PNG and JPEG images, one subfolder per class.
type Folder struct{}

var _ dataset.Format = Folder{}

// Traits implements dataset.Format.
func (Folder) Traits() dataset.Traits { return dataset.Traits{Folder: true, Labelled: true} }

// Open implements dataset.Format.
func (Folder) Open(path string, _ dataset.ReadOptions) (dataset.Reader, error) {
	return openFolder(path)
}

// folderRows reads PNG and JPEG images as intensities in [0, 1], grey ones as
// H×W×1, others as H×W×3; all of the first one's shape. A folder of folders
// has a class a subfolder, in sorted order; a folder of images has no labels.
// Nothing outside the folder is opened, whatever links say.
type folderRows struct {
	name   string
	root   *os.Root
	files  []string // slash-separated, sorted
	class  []int    // of each file
	names  []string // of the classes, nil without
	shape  tensor.Shape
	at     int
	digest []dataset.Part
}

func openFolder(dir string) (dataset.Reader, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	r := &folderRows{name: dir, root: root}
	if err := r.list(); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	if err := r.measure(); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return r, nil
}

// list finds the images. Hidden files and folders are passed over; anything
// else that is not an image is an error.
func (r *folderRows) list() error {
	images, folders, err := r.entries(".")
	if err != nil {
		return err
	}
	switch {
	case len(images) > 0 && len(folders) > 0:
		return fmt.Errorf("%s: both images (%s) and subfolders (%s), want one kind", r.name, images[0], folders[0])
	case len(images) > 0:
		r.files = images
		return nil
	case len(folders) == 0:
		return fmt.Errorf("%s: no PNG or JPEG images", r.name)
	}
	for c, folder := range folders {
		inside, deeper, err := r.entries(folder)
		if err != nil {
			return err
		}
		if len(deeper) > 0 {
			return fmt.Errorf("%s: %s/%s: a folder below the classes", r.name, folder, deeper[0])
		}
		if len(inside) == 0 {
			return fmt.Errorf("%s: class %s has no PNG or JPEG images", r.name, folder)
		}
		r.names = append(r.names, folder)
		for _, f := range inside {
			r.files = append(r.files, path.Join(folder, f))
			r.class = append(r.class, c)
		}
		if len(r.files) > maxImages {
			return fmt.Errorf("%s: more than %d images", r.name, maxImages)
		}
	}
	return nil
}

func (r *folderRows) entries(dir string) (images, folders []string, err error) {
	list, err := fs.ReadDir(r.root.FS(), dir) // sorted by name
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", r.name, err)
	}
	for _, e := range list {
		name := e.Name()
		if strings.HasPrefix(name, ".") {
			continue
		}
		switch ext := strings.ToLower(path.Ext(name)); {
		case e.IsDir():
			folders = append(folders, name)
		case ext == ".png" || ext == ".jpg" || ext == ".jpeg":
			images = append(images, name)
		default:
			return nil, nil, fmt.Errorf("%s: %s is neither PNG nor JPEG nor a folder", r.name, path.Join(dir, name))
		}
	}
	return images, folders, nil
}

// measure takes the shape of the first image.
func (r *folderRows) measure() error {
	f, err := r.open(r.files[0])
	if err != nil {
		return err
	}
	config, _, err := image.DecodeConfig(bufio.NewReader(f))
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("%s: %s: %w", r.name, r.files[0], err)
	}
	r.shape, err = imageShape(config)
	if err != nil {
		return fmt.Errorf("%s: %s: %w", r.name, r.files[0], err)
	}
	return nil
}

func (r *folderRows) open(file string) (*os.File, error) {
	info, err := r.root.Stat(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.name, err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxImageBytes {
		return nil, fmt.Errorf("%s: %s is not a regular file of at most %d bytes", r.name, file, maxImageBytes)
	}
	f, err := r.root.Open(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.name, err)
	}
	return f, nil
}

func imageShape(c image.Config) (tensor.Shape, error) {
	if c.Width < 1 || c.Height < 1 || c.Width > maxPixels/c.Height {
		return nil, fmt.Errorf("%d×%d pixels, want at most %d", c.Height, c.Width, maxPixels)
	}
	channels := 3
	if c.ColorModel == color.GrayModel || c.ColorModel == color.Gray16Model {
		channels = 1
	}
	return tensor.Shape{c.Height, c.Width, channels}, nil
}

var (
	_ dataset.RowLabels = (*folderRows)(nil)
	_ dataset.Bounded   = (*folderRows)(nil)
)

func (r *folderRows) Example() tensor.Shape { return r.shape }
func (r *folderRows) Count() int            { return len(r.files) }
func (r *folderRows) Bounded() bool         { return true }
func (r *folderRows) Classes() []string     { return r.names }
func (r *folderRows) Parts() []dataset.Part { return r.digest }
func (r *folderRows) Close() error          { return r.root.Close() }

func (r *folderRows) Label() string {
	if r.class == nil {
		return ""
	}
	return strconv.Itoa(r.class[r.at-1])
}

func (r *folderRows) Next(dst []float32) error {
	if r.at == len(r.files) {
		return io.EOF
	}
	file := r.files[r.at]
	r.at++
	b, err := r.read(file)
	if err == nil {
		sum := sha256.Sum256(b)
		r.digest = append(r.digest, dataset.Part{Digest: hex.EncodeToString(sum[:]), Rows: 1})
		err = decodeImage(dst, b, r.shape)
	}
	if err != nil {
		return &dataset.RowError{Source: r.name, Row: r.at - 1, Err: fmt.Errorf("%s: %w", file, err)}
	}
	return nil
}

func (r *folderRows) read(file string) ([]byte, error) {
	f, err := r.open(file)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, maxImageBytes))
	return b, errors.Join(err, f.Close())
}

// decodeImage fills dst (H, W, C) with intensities in [0, 1].
func decodeImage(dst []float32, b []byte, want tensor.Shape) error {
	config, _, err := image.DecodeConfig(bytes.NewReader(b))
	if err != nil {
		return err
	}
	shape, err := imageShape(config)
	if err != nil {
		return err
	}
	if !shape.Equal(want) {
		return fmt.Errorf("%v, the first image is %v", shape, want)
	}
	m, _, err := image.Decode(bytes.NewReader(b))
	if err != nil {
		return err
	}
	box := m.Bounds()
	if !slices.Equal([]int{box.Dy(), box.Dx()}, want[:2]) {
		return errors.New("the image is not of the size that its header gives")
	}
	const most = 65535 // RGBA gives 16 bits
	i := 0
	for y := box.Min.Y; y < box.Max.Y; y++ {
		for x := box.Min.X; x < box.Max.X; x++ {
			red, green, blue, alpha := m.At(x, y).RGBA()
			if alpha != most {
				return errors.New("transparent pixels: flatten the image first")
			}
			dst[i] = float32(red) / most
			if i++; want[2] == 3 {
				dst[i], dst[i+1] = float32(green)/most, float32(blue)/most
				i += 2
			}
		}
	}
	return nil
}
