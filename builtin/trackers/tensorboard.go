package trackers

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/vaeguard/vaeguard/host/track"
)

// TensorBoard writes event files: records of TFRecord (a length, a masked CRC-32C of
// it, the message, and its masked CRC-32C), each a message tensorflow.Event. The
// messages are those of tensorboard/compat/proto and plugins/hparams, of which it
// writes the few fields that TensorBoard reads.
type TensorBoard struct{}

// Check implements track.Tracker.
func (TensorBoard) Check(target string) error {
	if _, ok := track.Local(target); !ok {
		return fmt.Errorf("%s is no folder", track.Shown(target))
	}
	return nil
}

// eventFile marks a file of events, whose name TensorBoard sorts by: seconds, ten
// digits of them.
const eventFile = "events.out.tfevents."

// Start implements track.Tracker.
func (TensorBoard) Start(_ context.Context, r track.Run) (track.Log, error) {
	dir := r.File("tensorboard")
	if r.Target != "" {
		below, _ := track.Local(r.Target)
		dir = filepath.Join(below, fileName(r.Name))
	}
	switch {
	case r.Resume && r.ID != "":
		dir = r.ID
	case !r.Resume: // another run of this name keeps its folder
		first := dir
		for n := 2; len(eventFiles(dir)) > 0; n++ {
			dir = fmt.Sprintf("%s-%d", first, n)
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	second, old := r.At.Unix(), eventFiles(dir)
	for _, name := range old { // the newest file comes last, also within a second
		if n, err := strconv.ParseInt(strings.SplitN(strings.TrimPrefix(name, eventFile), ".", 2)[0], 10, 64); err == nil {
			second = max(second, n+1)
		}
	}
	f, err := os.OpenFile(filepath.Join(dir, fmt.Sprintf("%s%010d.vaeguard", eventFile, second)), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	b := &board{dir: dir, f: f, purge: r.Resume && len(old) > 0}
	if err := b.start(r); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return b, nil
}

// fileName is a name as a folder has it.
func fileName(name string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(`/\:*?"<>|`, r) || r < ' ' {
			return '_'
		}
		return r
	}, name)
}

// eventFiles are the names of the event files of a folder.
func eventFiles(dir string) []string {
	entries, _ := os.ReadDir(dir) // of one that is not there yet: none
	var out []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), eventFile) {
			out = append(out, e.Name())
		}
	}
	return out
}

// board is an open event file.
type board struct {
	dir   string
	f     *os.File
	purge bool // the next step replaces those from it on
}

// Fields of tensorflow.Event.
const (
	eventWallTime = 1
	eventStep     = 2
	eventVersion  = 3
	eventSummary  = 5
	eventSession  = 7
)

func (b *board) start(r track.Run) error {
	if err := b.event(r.At, 0, protowire.AppendString(protowire.AppendTag(nil, eventVersion, protowire.BytesType), "brain.Event:2")); err != nil {
		return err
	}
	if b.purge {
		return nil // the first file has the params
	}
	params := bytesField(nil, 1, summaryText("spec", table(r.Params)))
	params = bytesField(params, 1, hparams(sessionStart(r)))
	return b.event(r.At, 0, bytesField(nil, eventSummary, params))
}

// ID implements track.Log: the folder.
func (b *board) ID() string { return b.dir }

// Metrics implements track.Log.
func (b *board) Metrics(_ context.Context, step int, at time.Time, values []track.Value) error {
	if b.purge {
		b.purge = false
		start := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 1) // SessionLog.status = START
		if err := b.event(at, step, bytesField(nil, eventSession, start)); err != nil {
			return err
		}
	}
	var summary []byte
	for _, v := range values {
		value := bytesField(nil, 1, []byte(v.Name)) // Summary.Value.tag
		value = protowire.AppendFixed32(protowire.AppendTag(value, 2, protowire.Fixed32Type), math.Float32bits(float32(v.Value)))
		summary = bytesField(summary, 1, value)
	}
	return b.event(at, step, bytesField(nil, eventSummary, summary))
}

// Artifact implements track.Log: event files hold none.
func (*board) Artifact(context.Context, string) error { return nil }

// Close implements track.Log.
func (b *board) Close(_ context.Context, o track.Outcome) error {
	var err error
	if o != track.Interrupted {
		err = b.event(time.Now(), 0, bytesField(nil, eventSummary, bytesField(nil, 1, hparams(sessionEnd(o, time.Now())))))
	}
	return errors.Join(err, b.f.Close())
}

// event writes one message Event, whose other fields are given.
func (b *board) event(at time.Time, step int, fields []byte) error {
	m := protowire.AppendTag(nil, eventWallTime, protowire.Fixed64Type)
	m = protowire.AppendFixed64(m, math.Float64bits(float64(at.UnixMicro())/1e6))
	m = protowire.AppendTag(m, eventStep, protowire.VarintType)
	m = protowire.AppendVarint(m, uint64(step)) //nolint:gosec // an epoch is not negative
	_, err := b.f.Write(record(append(m, fields...)))
	return err
}

// record frames a message as TFRecord does.
func record(message []byte) []byte {
	out := binary.LittleEndian.AppendUint64(nil, uint64(len(message)))
	out = binary.LittleEndian.AppendUint32(out, masked(out))
	out = append(out, message...)
	return binary.LittleEndian.AppendUint32(out, masked(message))
}

// masked is the CRC-32C of data, turned and shifted, so that a checksum of data that
// hold one is a good one.
func masked(data []byte) uint32 {
	crc := crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli))
	return (crc>>15 | crc<<17) + 0xa282ead8
}

func bytesField(b []byte, field protowire.Number, data []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), data)
}

// plugin is a Summary.Value for a plugin of TensorBoard: a tag, metadata that name
// the plugin and hold its content, and a tensor, if there is one.
func plugin(tag, name string, content, tensor []byte) []byte {
	data := bytesField(nil, 1, []byte(name)) // SummaryMetadata.PluginData
	if content != nil {
		data = bytesField(data, 2, content)
	}
	v := bytesField(nil, 1, []byte(tag))
	v = bytesField(v, 9, bytesField(nil, 1, data)) // metadata.plugin_data
	if tensor != nil {
		v = bytesField(v, 8, tensor)
	}
	return v
}

// summaryText is a text for the tab Text, Markdown.
func summaryText(tag, text string) []byte {
	shape := bytesField(nil, 2, protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 1)) // of one dimension, of size 1
	tensor := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 7)                    // DT_STRING
	tensor = bytesField(tensor, 2, shape)
	tensor = bytesField(tensor, 8, []byte(text))
	return plugin(tag+"/text_summary", "text", nil, tensor)
}

// table are params as a table in Markdown.
func table(params []track.Param) string {
	var b strings.Builder
	b.WriteString("| key | value |\n|---|---|\n")
	cell := strings.NewReplacer("|", "\\|", "\n", " ", "<", "&lt;")
	for _, p := range params {
		fmt.Fprintf(&b, "| %s | %s |\n", cell.Replace(p.Name), cell.Replace(p.Value))
	}
	return b.String()
}

// hparams is a Summary.Value of the tab HParams.
func hparams(tag string, content []byte) []byte {
	tensor := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 1) // DT_FLOAT
	tensor = bytesField(tensor, 2, bytesField(nil, 2, nil))                                // of one dimension, of size 0
	return plugin(tag, "hparams", content, tensor)
}

// sessionStart is HParamsPluginData with the params and the run's name.
func sessionStart(r track.Run) (tag string, content []byte) {
	var info []byte
	for _, p := range r.Params {
		value := bytesField(nil, 3, []byte(p.Value)) // google.protobuf.Value.string_value
		if v, err := strconv.ParseFloat(p.Value, 64); err == nil && !math.IsNaN(v) && !math.IsInf(v, 0) {
			value = protowire.AppendFixed64(protowire.AppendTag(nil, 2, protowire.Fixed64Type), math.Float64bits(v))
		}
		info = bytesField(info, 1, bytesField(bytesField(nil, 1, []byte(p.Name)), 2, value))
	}
	info = bytesField(info, 4, []byte(r.Name)) // group_name
	info = protowire.AppendFixed64(protowire.AppendTag(info, 5, protowire.Fixed64Type), math.Float64bits(float64(r.At.Unix())))
	return "_hparams_/session_start_info", bytesField(nil, 3, info)
}

// sessionEnd is HParamsPluginData with how the run ended.
func sessionEnd(o track.Outcome, at time.Time) (tag string, content []byte) {
	status := uint64(1) // STATUS_SUCCESS
	if o != track.Finished {
		status = 2 // STATUS_FAILURE
	}
	info := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), status)
	info = protowire.AppendFixed64(protowire.AppendTag(info, 2, protowire.Fixed64Type), math.Float64bits(float64(at.Unix())))
	return "_hparams_/session_end_info", bytesField(nil, 4, info)
}
