package events_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/vaeguard/vaeguard/host/serve/events"
	"github.com/vaeguard/vaeguard/host/serve/servetest"
)

// broker is a cluster in this process with topics in, of three partitions, and out.
func broker(t *testing.T) (events.KafkaOptions, *kgo.Client) {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, "in"), kfake.SeedTopics(1, "out"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	client, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.ConsumeTopics("out"), kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return events.KafkaOptions{Brokers: c.ListenAddrs(), Topic: "in", Group: "guards", Reply: "out"}, client
}

// produce sends an event in binary mode.
func produce(t *testing.T, c *kgo.Client, id, kind string, body []byte) {
	t.Helper()
	r := &kgo.Record{Topic: "in", Key: []byte(id), Value: body}
	for name, value := range map[string]string{"ce_specversion": "1.0", "ce_id": id, "ce_type": kind, "ce_source": "http://localhost:9081/", "content-type": "application/json"} {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: name, Value: []byte(value)})
	}
	if err := c.ProduceSync(t.Context(), r).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// forward brings n replies of the topic to where hear looks.
func (b *bench) forward(t *testing.T, c *kgo.Client, n int) map[string]int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	seen := map[string]int{}
	for n > 0 {
		got := c.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("%d replies are missing: %+v", n, b.Counters())
		}
		got.EachRecord(func(r *kgo.Record) {
			one := told{header: http.Header{}}
			for _, h := range r.Headers {
				if len(h.Key) > 3 && h.Key[:3] == "ce_" {
					one.header.Set("Ce-"+h.Key[3:], string(h.Value))
				}
			}
			if err := json.Unmarshal(r.Value, &one.Verdict); err != nil {
				t.Error(err)
			}
			seen[one.ID]++
			b.replies <- one
			n--
		})
	}
	return seen
}

// settle waits until n replies were taken.
func (b *bench) settle(t *testing.T, n int64) {
	t.Helper()
	for end := time.Now().Add(time.Minute); b.Counters().Replied < n; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%+v", b.Counters())
		}
	}
}

// Requests and responses come from a topic in any order, and replies with the bits of detect go
// to another; records that are no events do not stop it.
func TestKafka(t *testing.T) {
	b := stand(t, nil)
	o, client := broker(t)
	if err := b.Kafka(o); err != nil {
		t.Fatal(err)
	}
	request, response := b.bodies(t, false)
	produce(t, client, "a", events.TypeRequest, request)
	produce(t, client, "a", events.TypeResponse, response)
	b.forward(t, client, 1)
	b.hear(t, "a")
	produce(t, client, "b", events.TypeResponse, response)
	produce(t, client, "b", "", nil) // no event
	produce(t, client, "b", "another.type", nil)
	produce(t, client, "b", events.TypeRequest, request)
	b.forward(t, client, 1)
	b.hear(t, "b")
	structured := func(kind string, body []byte) {
		text := fmt.Sprintf(`{"specversion":"1.0","id":"s","type":%q,"source":"x","data":%s}`, kind, body)
		if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "in", Key: []byte("s"), Value: []byte(text), Headers: []kgo.RecordHeader{{Key: "content-type", Value: []byte("application/cloudevents+json; charset=UTF-8")}}}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	structured(events.TypeRequest, request)
	structured(events.TypeResponse, response)
	b.forward(t, client, 1)
	b.hear(t, "s")
	b.settle(t, 3)
	if c := b.Counters(); c.Judged != 3 || c.Replied != 3 || c.Failed != 1 || c.Ignored != 1 || c.Dropped+c.Lost != 0 {
		t.Errorf("%+v", c)
	}
}

// What was not judged when the sink ended, for the classifier was away and the queue full, is
// judged by the next one; what was judged does not come again.
func TestKafkaAtLeastOnce(t *testing.T) {
	const inferences = 12
	o, client := broker(t)
	b := stand(t, func(o *events.Options) { o.Queue = 2 })
	if err := b.Kafka(o); err != nil {
		t.Fatal(err)
	}
	request, response := b.bodies(t, false)
	produce(t, client, "first", events.TypeRequest, request)
	produce(t, client, "first", events.TypeResponse, response)
	b.forward(t, client, 1)
	b.hear(t, "first")
	b.settle(t, 1) // else it may be told again
	b.trained.Control(t, servetest.Away)
	for i := range inferences {
		produce(t, client, fmt.Sprint(i), events.TypeRequest, request)
		produce(t, client, fmt.Sprint(i), events.TypeResponse, response)
	}
	for end := time.Now().Add(time.Minute); b.guard.Counters().Away == 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("nothing was asked: %+v", b.Counters())
		}
	}
	b.Close()
	if c := b.Counters(); c.Judged != 1 || c.Dropped != 0 {
		t.Fatalf("%+v", c)
	}
	b.trained.Control(t, servetest.Works)
	b.next(t, o)
	seen := b.forward(t, client, inferences)
	for i := range inferences {
		if seen[fmt.Sprint(i)] != 1 {
			t.Errorf("inference %d was told of %d times", i, seen[fmt.Sprint(i)])
		}
	}
	b.settle(t, inferences)
	if c := b.Counters(); c.Judged != inferences || c.Dropped+c.Lost+c.Failed != 0 {
		t.Errorf("%+v", c)
	}
	b.Close()
	b.next(t, o)
	time.Sleep(time.Second)
	if c := b.Counters(); c.Events != 0 {
		t.Errorf("what was judged comes again: %+v", c)
	}
}
