package events

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"mime"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
	"golang.org/x/time/rate"

	"github.com/vaeguard/vaeguard/host/serve/tensors"
)

// KafkaOptions of Sink.Kafka.
type KafkaOptions struct {
	Brokers        []string // HOST:PORT, some of them
	Topic          string   // of events, as Kafka's binding of CloudEvents has them
	Group          string   // of consumers, which share the partitions
	Reply          string   // topic of replies; "": nobody is told
	TLS            bool
	User, Password string // ""; none
	Mechanism      string // of the password: plain, scram-sha-256, scram-sha-512; "": plain
}

// topic is a consumer of one.
type topic struct {
	client *kgo.Client
	reply  string

	mu    sync.Mutex
	parts map[int32]*partition
}

// partition are the records of one that were fetched and that something may yet come of, in
// order. The first of them bounds what is committed.
type partition struct{ open []*taken }

type taken struct {
	record *kgo.Record
	done   bool
}

// Kafka takes events from a topic too, until the sink is closed. They are joined as those that
// come over HTTP, and in one memory with them. No inference is dropped for want of room: fetching
// waits. A half whose other is further behind than there is room for halves gives way as one that
// came over HTTP does, and is counted as lost: to wait would keep the other from coming. A record is committed once the inference that it is of was judged and its reply was taken,
// or was given up: after a restart the others come again, and a verdict may be told twice, with the
// same id. A request and its response must be of one consumer: producers give both the same
// key. Once, before any event.
func (s *Sink) Kafka(o KafkaOptions) error {
	t := &topic{reply: o.Reply, parts: map[int32]*partition{}}
	opts := []kgo.Opt{
		kgo.ClientID("vaeguard"), kgo.SeedBrokers(o.Brokers...), kgo.ConsumeTopics(o.Topic), kgo.ConsumerGroup(o.Group),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()), // of a group that is new
		kgo.AutoCommitMarks(), kgo.AutoCommitInterval(time.Second), kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsRevoked(t.revoked), kgo.OnPartitionsLost(t.lost),
		kgo.FetchMaxBytes(int32(min(s.o.MaxBody, 64<<20))), kgo.ProducerBatchMaxBytes(8 << 20),
	}
	if o.TLS {
		opts = append(opts, kgo.DialTLSConfig(&tls.Config{MinVersion: tls.VersionTLS12}))
	}
	if o.User != "" {
		switch o.Mechanism {
		case "", "plain":
			opts = append(opts, kgo.SASL(plain.Auth{User: o.User, Pass: o.Password}.AsMechanism()))
		case "scram-sha-256":
			opts = append(opts, kgo.SASL(scram.Auth{User: o.User, Pass: o.Password}.AsSha256Mechanism()))
		case "scram-sha-512":
			opts = append(opts, kgo.SASL(scram.Auth{User: o.User, Pass: o.Password}.AsSha512Mechanism()))
		default:
			return fmt.Errorf("mechanism %q, want plain, scram-sha-256 or scram-sha-512", o.Mechanism)
		}
	}
	var err error
	if t.client, err = kgo.NewClient(opts...); err != nil {
		return err
	}
	s.topic = t
	ctx, cancel := context.WithCancel(context.Background())
	before := s.end
	s.unfetch, s.end = cancel, func() { cancel(); before() }
	s.fetched.Add(1)
	s.wg.Go(func() {
		defer s.fetched.Done()
		s.fetch(ctx)
	})
	return nil
}

// fetch takes events until ctx is done.
func (s *Sink) fetch(ctx context.Context) {
	s.wg.Go(func() { // halves wait in vain also while no others come
		tick := time.NewTicker(max(s.o.Wait/4, 10*time.Millisecond))
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				s.join.state()
			}
		}
	})
	const most = 100 // records at once: a rebalance waits for them
	some := &rate.Sometimes{First: 1, Interval: time.Minute}
	for ctx.Err() == nil {
		got := s.topic.client.PollRecords(ctx, most)
		got.EachError(func(topic string, part int32, err error) {
			if !errors.Is(err, context.Canceled) {
				some.Do(func() {
					s.o.Logger.Warn("Kafka does not give events", "topic", topic, "partition", part, "error", err)
				})
			}
		})
		got.EachRecord(func(r *kgo.Record) {
			if ctx.Err() != nil {
				return
			}
			done := s.topic.take(r)
			e, err := fromRecord(r, s.o.MaxBody)
			if err != nil {
				s.counts.events.Add(1)
				s.counts.failed.Add(1)
				s.o.Logger.Debug("a record is no event", "partition", r.Partition, "offset", r.Offset)
				done()
				return
			}
			e.kafka, e.done = true, done
			s.take(ctx, e)
		})
		s.topic.client.AllowRebalance()
	}
}

// fromRecord reads an event in binary or structured mode.
func fromRecord(r *kgo.Record, most int64) (event, error) {
	if int64(len(r.Value)) > most {
		return event{}, fmt.Errorf("it has %d bytes, want at most %d", len(r.Value), most)
	}
	h := map[string]string{}
	for _, one := range r.Headers {
		h[strings.ToLower(one.Key)] = string(one.Value)
	}
	if media, _, _ := mime.ParseMediaType(h["content-type"]); strings.HasPrefix(media, "application/cloudevents") {
		if media != "application/cloudevents+json" {
			return event{}, fmt.Errorf("an event in %s, want JSON", tensors.Quote(media))
		}
		return structured(r.Value)
	}
	if v := h["ce_specversion"]; v != "1.0" {
		return event{}, fmt.Errorf("ce_specversion is %.20q, want 1.0", v)
	}
	e := event{id: h["ce_id"], kind: h["ce_type"], source: h["ce_source"], service: h["ce_inferenceservicename"], space: h["ce_namespace"], endpoint: h["ce_endpoint"],
		traceParent: h["ce_traceparent"], traceState: h["ce_tracestate"], length: h["inference-header-content-length"], data: r.Value}
	return e, e.valid()
}

// take notes a record that was fetched, and gives what tells that nothing more comes of it.
func (t *topic) take(r *kgo.Record) func() {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.parts[r.Partition]
	if p == nil {
		p = &partition{}
		t.parts[r.Partition] = p
	}
	one := &taken{record: r}
	p.open = append(p.open, one)
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		one.done = true
		if t.parts[r.Partition] != p {
			return // it is another's by now
		}
		var last *kgo.Record
		for len(p.open) > 0 && p.open[0].done {
			last, p.open = p.open[0].record, p.open[1:]
		}
		if last != nil {
			t.client.MarkCommitRecords(last)
		}
	}
}

// revoked commits what is done of partitions that go to another consumer.
func (t *topic) revoked(ctx context.Context, c *kgo.Client, gone map[string][]int32) {
	_ = c.CommitMarkedOffsets(ctx) // what is not committed comes again
	t.lost(ctx, c, gone)
}

// lost forgets partitions.
func (t *topic) lost(_ context.Context, _ *kgo.Client, gone map[string][]int32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, list := range gone {
		for _, p := range list {
			delete(t.parts, p)
		}
	}
}

// tell sends a reply to the topic of replies. It waits for the brokers until ctx is done.
func (t *topic) tell(ctx context.Context, about map[string]string, body []byte) error {
	r := &kgo.Record{Topic: t.reply, Key: []byte(about["requestid"]), Value: body, Headers: []kgo.RecordHeader{{Key: "content-type", Value: []byte("application/json")}}}
	for name, value := range about {
		if value != "" {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: "ce_" + name, Value: []byte(value)})
		}
	}
	return t.client.ProduceSync(ctx, r).FirstErr()
}

// close commits what is done, and leaves.
func (t *topic) close() {
	ctx, cancel := context.WithTimeout(context.Background(), replyTime)
	defer cancel()
	_ = t.client.CommitMarkedOffsets(ctx) // what is not committed comes again
	t.client.CloseAllowingRebalance()
}
