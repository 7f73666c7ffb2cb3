// Package steps holds the shipped steps of data.prepare: what brings raw rows,
// as files have them, to the rows that the guard and the classifier take. Each
// goes row by row, so that a row has the same bits in any batch.
//
// To add one, write a struct with its options and the method Bind
// (signature.Step; signature.Fitter if it learns from data.train,
// signature.Undoable if it can be undone) in a file of its own, and name it in
// Table.
package steps

import (
	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/host/signature"
)

// Table lists the shipped steps.
func Table() registry.Table[signature.Step] {
	return registry.NewTable("step",
		registry.Entry[signature.Step]{Name: "resize", Default: Resize{Method: "area"},
			Doc: "images of any size become one size, as Pillow makes them\n\nPillow's for images of floats: it rounds an image of bytes to whole ones after each of the two directions, and this does not, so its pixels may differ from those by up to 1 of 255."},
		registry.Entry[signature.Step]{Name: "crop", Default: Crop{},
			Doc: "the middle of images, as torchvision's CenterCrop takes it\n\nThe usual way to photos of different sizes is resize to a little more and then crop: {height: 256, width: 256}, {height: 224, width: 224}."},
		registry.Entry[signature.Step]{Name: "color", Default: Color{Mode: "rgb"},
			Doc: "images become rgb or grey: color: rgb gives a grey one three equal channels, color: grey takes the luma of ITU-R BT.601"},
		registry.Entry[signature.Step]{Name: "rescale", Default: signature.Rescale{},
			Doc: "x·scale + offset, with one number for all or one a channel or column\n\nThe usual normalisation of images, (x/255 − mean)/std, is a scale of 1/(255·std) and an offset of −mean/std each. Image files give bytes, 0 to 255, to a rescale by less than 1/32 and intensities, 0 to 1, to any other."},
		registry.Entry[signature.Step]{Name: "standard", Default: signature.Standard{},
			Doc: "zero mean and unit deviation over data.train, feature by feature; one-hot categories stay 0 and 1"},
	)
}
