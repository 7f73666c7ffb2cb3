package jpeg

import "encoding/binary"

// orientation is tag 0x112 of the first directory of Exif, 0 if there is none.
func orientation(tiff []byte) int {
	if len(tiff) < 8 {
		return 0
	}
	var order binary.ByteOrder = binary.BigEndian
	if string(tiff[:2]) == "II" {
		order = binary.LittleEndian
	} else if string(tiff[:2]) != "MM" {
		return 0
	}
	at := uint64(order.Uint32(tiff[4:]))
	if at+2 > uint64(len(tiff)) {
		return 0
	}
	n := int(order.Uint16(tiff[at:]))
	for i := range n {
		const size = 12 // of an entry: tag, type, count, value
		e := at + 2 + uint64(i)*size
		if e+size > uint64(len(tiff)) {
			return 0
		}
		const tag, short = 0x112, 3
		if order.Uint16(tiff[e:]) == tag && order.Uint16(tiff[e+2:]) == short {
			if o := int(order.Uint16(tiff[e+8:])); o <= 8 {
				return o
			}
			return 0
		}
	}
	return 0
}
