package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"k8s.io/client-go/rest"
)

var (
	workFirst = flag.Bool("work-first", true, "SIGTERM ends the work, and then the election, as controller-runtime does; "+
		"if false, the election's context is cancelled, and the work ends when client-go cancels its own")
	windDown = flag.Duration("wind-down", 0, "how long the work takes to end")
)

// note writes a fact as kopf_leader/testing/facts.py describes it, in one write.
func note(kind, run, lease string) {
	fact := map[string]any{
		"t": now(), "kind": kind, "pid": os.Getpid(), "replica": os.Getenv("KOPF_LEADER_REPLICA"), "run": run,
	}
	if kind == "start" {
		fact["handler"], fact["uid"], fact["name"], fact["change"] = "work", lease, lease, nil
	}
	line, err := json.Marshal(fact)
	if err != nil {
		log.Fatal(err)
	}
	file, err := os.OpenFile(os.Getenv("KOPF_LEADER_HISTORY"), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		log.Fatal(err)
	}
	defer file.Close()
	if _, err := file.Write(append(line, '\n')); err != nil {
		log.Fatal(err)
	}
}

// works is what runs while the process leads.
type works struct {
	sync.Mutex
	running sync.WaitGroup
	over    bool // nothing starts any more
	ending  chan struct{}
}

func (w *works) do(ctx context.Context, lease string) {
	w.Lock()
	if w.over {
		w.Unlock()
		return
	}
	w.running.Add(1)
	defer w.running.Done()
	suffix := make([]byte, 4)
	rand.Read(suffix)
	run := fmt.Sprintf("%d-%s", os.Getpid(), hex.EncodeToString(suffix))
	note("start", run, lease)
	w.Unlock()
	select {
	case <-ctx.Done():
	case <-w.ending:
	}
	time.Sleep(*windDown)
	note("cancelled", run, lease)
}

func (w *works) end() {
	w.Lock()
	w.over = true
	w.Unlock()
	close(w.ending)
	w.running.Wait()
}

// deploy stands for the Leases until SIGTERM (status 0) or until one is lost (status 1, at once, as is the custom).
func deploy(config *rest.Config, leases []string) int {
	terminated := make(chan os.Signal, 1)
	signal.Notify(terminated, syscall.SIGTERM)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	work := works{ending: make(chan struct{})}
	over := make(chan struct{})
	for _, lease := range leases {
		go func() {
			stand(ctx, config, lease, func(ctx context.Context) { work.do(ctx, lease) })
			over <- struct{}{}
		}()
	}
	select {
	case <-over:
		fmt.Println("leader election lost")
		return 1
	case <-terminated:
	}
	if *workFirst {
		work.end()
	}
	cancel()
	for range leases {
		<-over
	}
	work.running.Wait()
	return 0
}

// show prints what client-go makes of a Lease.
func show(config *rest.Config, lease string) {
	record, _, err := lock(config, lease).Get(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	line, err := json.Marshal(map[string]any{
		"holder": record.HolderIdentity, "duration": record.LeaseDurationSeconds,
		"transitions": record.LeaderTransitions,
		"acquired":    record.AcquireTime.UnixMicro(), "renewed": record.RenewTime.UnixMicro(),
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(line))
}
