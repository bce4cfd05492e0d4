// Command clientgo is a candidate of client-go's leader election, told what to do by lines on its standard input
// ("stand LEASE", "resign LEASE"), that prints a line of JSON for each write of a Lease and each change of leadership.
//
// It elects as controller-runtime does by default (15 s, 10 s, 2 s, a client with a time-out of half the renew
// deadline and a rate limiter of its own per election), with ReleaseOnCancel. bench/ours.py is its counterpart and
// prints the same lines.
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

const (
	leaseDuration = 15 * time.Second
	renewDeadline = 10 * time.Second
	retryPeriod   = 2 * time.Second
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

func stand(ctx context.Context, base *rest.Config, namespace, name, identity string) {
	config := rest.CopyConfig(base)
	config.Timeout = renewDeadline / 2
	config.ContentType = "application/json" // the body is read by stamper; it is also what ours sends
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return stamper{name, next} })
	client := kubernetes.NewForConfigOrDie(config)
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Namespace: namespace, Name: name},
			Client:     client.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: identity},
		},
		LeaseDuration:   leaseDuration,
		RenewDeadline:   renewDeadline,
		RetryPeriod:     retryPeriod,
		ReleaseOnCancel: true,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(context.Context) { tell(now(), "leading", name, identity) },
			OnStoppedLeading: func() {},
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	elector.Run(ctx)
	tell(now(), "over", name, "")
}

func main() {
	kubeconfig := flag.String("kubeconfig", "", "")
	namespace := flag.String("namespace", "default", "")
	identity := flag.String("identity", "", "")
	flag.Parse()
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		log.Fatal(err)
	}
	resigning := map[string]context.CancelFunc{}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		verb, lease, _ := strings.Cut(lines.Text(), " ")
		switch verb {
		case "stand":
			ctx, cancel := context.WithCancel(context.Background())
			resigning[lease] = cancel
			go stand(ctx, config, *namespace, lease, *identity)
		case "resign":
			resigning[lease]()
		default:
			log.Fatalf("unknown command %q", verb)
		}
	}
}
