// Command clientgo is a candidate of client-go's leader election, of any number of Leases.
//
// Without -stand it is told what to do by lines on its standard input ("stand LEASE", "resign LEASE"): the benchmarks'
// candidate, whose counterpart bench/ours.py prints the same lines. With -stand it is a replica as they are deployed
// (candidate.go). With -read it prints a Lease as client-go understands it, and ends.
//
// It elects as controller-runtime does by default (15 s, 10 s, 2 s, a client with a time-out of half the renew deadline
// and a rate limiter of its own per election), with ReleaseOnCancel, and prints a line of JSON for each write of a
// Lease and each change of leadership.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

var (
	kubeconfig     = flag.String("kubeconfig", "", "")
	namespace      = flag.String("namespace", "default", "")
	identity       = flag.String("identity", "", "")
	leaseDuration  = flag.Duration("lease-duration", 15*time.Second, "")
	renewDeadline  = flag.Duration("renew-deadline", 10*time.Second, "")
	retryPeriod    = flag.Duration("retry-period", 2*time.Second, "")
	requestTimeout = flag.Duration("request-timeout", 0, "of one request; half of the renew deadline if not given")
	release        = flag.Bool("release-on-cancel", true, "")
	standing       = flag.String("stand", "", "the Leases to stand for from the start, with commas")
	reading        = flag.String("read", "", "a Lease to print")
)

type fact struct {
	T      int64  `json:"t"` // nanoseconds of CLOCK_BOOTTIME, taken when the thing happened
	Kind   string `json:"kind"`
	Lease  string `json:"lease"`
	Holder string `json:"holder"`
}

var printing sync.Mutex

func tell(t int64, kind, lease, holder string) {
	line, err := json.Marshal(fact{t, kind, lease, holder})
	if err != nil {
		log.Fatal(err)
	}
	printing.Lock()
	defer printing.Unlock()
	fmt.Println(string(line))
}

func now() int64 {
	var reading unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &reading); err != nil {
		log.Fatal(err)
	}
	return reading.Nano()
}

// stamper notes when a request leaves and when its answer is there.
type stamper struct {
	lease string
	next  http.RoundTripper
}

func (s stamper) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.Body == nil || (request.Method != http.MethodPut && request.Method != http.MethodPost) {
		response, err := s.next.RoundTrip(request)
		if err == nil && response.StatusCode == http.StatusOK {
			tell(now(), "read", s.lease, "")
		}
		return response, err
	}
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return nil, err
	}
	request.Body = io.NopCloser(bytes.NewReader(body))
	var lease coordinationv1.Lease
	if err := json.Unmarshal(body, &lease); err != nil {
		return nil, err
	}
	holder := ""
	if lease.Spec.HolderIdentity != nil {
		holder = *lease.Spec.HolderIdentity
	}
	sent := now()
	response, err := s.next.RoundTrip(request)
	answered := now()
	tell(sent, "sent", s.lease, holder)
	if err == nil && response.StatusCode < 300 {
		tell(answered, "accepted", s.lease, holder)
	}
	return response, err
}

func lock(base *rest.Config, name string) *resourcelock.LeaseLock {
	config := rest.CopyConfig(base)
	config.Timeout = *requestTimeout
	if config.Timeout == 0 {
		config.Timeout = *renewDeadline / 2
	}
	config.ContentType = "application/json" // the body is read by stamper; it is also what ours sends
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return stamper{name, next} })
	return &resourcelock.LeaseLock{
		LeaseMeta:  metav1.ObjectMeta{Namespace: *namespace, Name: name},
		Client:     kubernetes.NewForConfigOrDie(config).CoordinationV1(),
		LockConfig: resourcelock.ResourceLockConfig{Identity: *identity},
	}
}

func stand(ctx context.Context, base *rest.Config, name string, work func(context.Context)) {
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock:            lock(base, name),
		LeaseDuration:   *leaseDuration,
		RenewDeadline:   *renewDeadline,
		RetryPeriod:     *retryPeriod,
		ReleaseOnCancel: *release,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(ctx context.Context) {
				tell(now(), "leading", name, *identity)
				work(ctx)
			},
			OnStoppedLeading: func() {},
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	elector.Run(ctx)
	tell(now(), "over", name, "")
}

func obey(config *rest.Config) {
	resigning := map[string]context.CancelFunc{}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		verb, lease, _ := strings.Cut(lines.Text(), " ")
		switch verb {
		case "stand":
			ctx, cancel := context.WithCancel(context.Background())
			resigning[lease] = cancel
			go stand(ctx, config, lease, func(context.Context) {})
		case "resign":
			resigning[lease]()
		default:
			log.Fatalf("unknown command %q", verb)
		}
	}
}

func main() {
	flag.Parse()
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		log.Fatal(err)
	}
	switch {
	case *reading != "":
		show(config, *reading)
	case *standing != "":
		os.Exit(deploy(config, strings.Split(*standing, ",")))
	default:
		obey(config)
	}
}
