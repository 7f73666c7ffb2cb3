package formats

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/picture"
)

// maxImages bounds the files of a folder.
const maxImages = 1 << 22

// Folder is a folder of images, one subfolder per class: PNG, JPEG, WebP, GIF,
// BMP and TIFF, told by their extensions in any case, and read by package
// picture. It is read as Keras and torchvision read it:
//
//   - each subfolder that has images, at any depth, is a class; classes are in
//     the order of their names, and so are the images of each folder, before
//     those of its subfolders;
//   - beside classes, images right in the folder are passed over: they have
//     none. Where no subfolder has images they are rows without labels;
//   - other files and subfolders without images are passed over, and so is what
//     is hidden. All but the hidden is told (dataset.Noticed).
//
// Rows have the size of the first image and the most channels among the first
// 256, by their headers: an image of another size is a bad row, a grey one among
// coloured ones has three equal channels. Nothing outside the folder is opened,
// whatever links say.
type Folder struct{}

var _ dataset.Format = Folder{}

// Traits implements dataset.Format.
func (Folder) Traits() dataset.Traits { return dataset.Traits{Folder: true, Labelled: true} }

// Open implements dataset.Format.
func (Folder) Open(dir string, _ dataset.ReadOptions) (dataset.Reader, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	f := &imageFolder{name: dir, root: root}
	r := &imageRows{name: dir, read: f.read, close: root.Close}
	if err := f.list(r); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	if err := r.measure(); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return r, nil
}

// imageFolder lists the files of a folder.
type imageFolder struct {
	name   string
	root   *os.Root
	images int
	others []string // files that are no images: the first few
	passed int      // how many they are
}

// list finds the images, their classes, and what is to be told.
func (f *imageFolder) list(r *imageRows) error {
	beside, folders, err := f.entries(".")
	if err != nil {
		return err
	}
	var empty []string
	for _, folder := range folders {
		inside, err := f.below(folder)
		if err != nil {
			return err
		}
		if len(inside) == 0 {
			empty = append(empty, folder)
			continue
		}
		r.files = append(r.files, inside...)
		r.class = append(r.class, slices.Repeat([]int{len(r.names)}, len(inside))...)
		r.names = append(r.names, folder)
	}
	if r.names == nil {
		r.files = beside
	} else if n := len(beside); n > 0 {
		r.notice(n, beside, "image beside the folders of classes is", "images beside the folders of classes are")
	}
	if len(r.files) == 0 {
		return fmt.Errorf("%s: no images (%s)", f.name, strings.Join(picture.Extensions(), ", "))
	}
	r.notice(len(empty), empty, "folder without images is", "folders without images are")
	r.notice(f.passed, f.others, "file that is no image is", "files that are no images are")
	return nil
}

// below are the images of a folder and of those in it.
func (f *imageFolder) below(dir string) ([]string, error) {
	images, folders, err := f.entries(dir)
	if err != nil {
		return nil, err
	}
	for _, folder := range folders {
		inside, err := f.below(folder)
		if err != nil {
			return nil, err
		}
		images = append(images, inside...)
	}
	return images, nil
}

// entries are the images and the folders right in one, by their paths, in order.
func (f *imageFolder) entries(dir string) (images, folders []string, err error) {
	// Sorted by name. Within root it would ask for each file's state; a link is no
	// folder here, and what is listed is opened within root.
	list, err := os.ReadDir(filepath.Join(f.name, filepath.FromSlash(dir)))
	if err != nil {
		return nil, nil, err
	}
	for _, e := range list {
		at := path.Join(dir, e.Name())
		switch {
		case strings.HasPrefix(e.Name(), "."):
		case e.IsDir():
			folders = append(folders, at)
		case slices.Contains(picture.Extensions(), strings.ToLower(path.Ext(at))):
			images = append(images, at)
		default:
			const told = 3
			if f.passed++; f.passed <= told {
				f.others = append(f.others, at)
			}
		}
	}
	if f.images += len(images); f.images > maxImages {
		return nil, nil, fmt.Errorf("%s: more than %d images", f.name, maxImages)
	}
	return images, folders, nil
}

// read reads a file of the folder, at most so many bytes of it.
func (f *imageFolder) read(file string, most int64) ([]byte, error) {
	info, err := f.root.Stat(file)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > picture.MaxBytes {
		return nil, fmt.Errorf("not a regular file of at most %d bytes", picture.MaxBytes)
	}
	in, err := f.root.Open(file)
	if err != nil {
		return nil, err
	}
	b, err := readWhole(in, min(most, info.Size()), most)
	return b, errors.Join(err, in.Close())
}

// readWhole reads at most so many bytes, of which likely many are expected.
func readWhole(in io.Reader, likely, most int64) ([]byte, error) {
	b := make([]byte, likely, likely+1)
	n, err := io.ReadFull(in, b)
	switch b = b[:n]; {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return b, nil
	case err != nil || likely >= most:
		return b, err
	}
	more, err := io.ReadAll(io.LimitReader(in, most-likely)) // it has grown, or there are none
	return append(b, more...), err
}
